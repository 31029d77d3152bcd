"""unnoise: a denoiser goes in, something useful comes out.

>>> import unnoise
>>> from skimage.data import camera
>>> cleaned = unnoise.denoise(camera()[:64, :64], sigma=10)
>>> cleaned.shape, cleaned.dtype
((64, 64), dtype('uint8'))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unnoise._version import __version__

if TYPE_CHECKING:
    from unnoise.denoiser import Blind, Card, Denoiser, Ensemble, Stabilised, Tiled, as_denoiser, expand_sigma, score
    from unnoise.generate.guidance import Guided
    from unnoise.generate.sample import sample
    from unnoise.restore.door import Restored, denoise, denoise_file
    from unnoise.studies.papers import papers
    from unnoise.zoo import load, save

# name -> module it is imported from at first use (PEP 562), so that `import unnoise` is instant
_DOOR = {
    "Blind": "unnoise.denoiser",
    "Card": "unnoise.denoiser",
    "Denoiser": "unnoise.denoiser",
    "Ensemble": "unnoise.denoiser",
    "Guided": "unnoise.generate.guidance",
    "Restored": "unnoise.restore.door",
    "Stabilised": "unnoise.denoiser",
    "Tiled": "unnoise.denoiser",
    "as_denoiser": "unnoise.denoiser",
    "denoise": "unnoise.restore.door",
    "denoise_file": "unnoise.restore.door",
    "expand_sigma": "unnoise.denoiser",
    "load": "unnoise.zoo",
    "papers": "unnoise.studies.papers",
    "sample": "unnoise.generate.sample",
    "save": "unnoise.zoo",
    "score": "unnoise.denoiser",
}

__all__ = [
    "Blind",
    "Card",
    "Denoiser",
    "Ensemble",
    "Guided",
    "Restored",
    "Stabilised",
    "Tiled",
    "__version__",
    "as_denoiser",
    "denoise",
    "denoise_file",
    "expand_sigma",
    "load",
    "papers",
    "sample",
    "save",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'unnoise' has no attribute '{name}'")
    value = getattr(importlib.import_module(_DOOR[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
