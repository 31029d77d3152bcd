"""Trained weights: `load` a shipped or own file, `save` one, and list `models` without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unnoise.zoo.header import Model, models

if TYPE_CHECKING:
    from unnoise.zoo.files import ARCHITECTURES, load, load_model, save

__all__ = ["ARCHITECTURES", "Model", "load", "load_model", "models", "save"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'unnoise.zoo' has no attribute '{name}'")
    from unnoise.zoo import files

    return getattr(files, name)
