"""What a denoiser needs to be differentiated, forwards and backwards, along many directions at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from unnoise.denoiser.base import Denoiser, Sigma
from unnoise.errors import InputError


def require_gradients(denoiser: Denoiser, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> None:
    """Raise `InputError` for a denoiser that computes without gradients: all its derivatives would come out as 0."""
    with torch.enable_grad():
        if not denoiser(y.detach().requires_grad_(), sigma, **conditions).requires_grad:
            raise InputError(f"{type(denoiser).__name__} computes without gradients, so it has no Jacobian to look at")


@contextmanager
def differentiable(denoiser: nn.Module) -> Iterator[None]:
    """While it lasts, networks compute exactly, and in ways of which torch knows every derivative.

    Arithmetic is float32 where it would be bfloat16, whose derivative is too coarse; attention takes its plain form and
    group normalisation contiguous input, since the fast forms lack a forward derivative or a batched backward one.
    """
    coarse = [m for m in denoiser.modules() if getattr(m, "precision", None) == "bfloat16"]
    norms = [m for m in denoiser.modules() if isinstance(m, nn.GroupNorm)]
    hooks = [m.register_forward_pre_hook(lambda m, given: (given[0].contiguous(),)) for m in norms]
    for m in coarse:
        m.precision = "float32"  # type: ignore[assignment]
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for m in coarse:
            m.precision = "bfloat16"  # type: ignore[assignment]
        for hook in hooks:
            hook.remove()
