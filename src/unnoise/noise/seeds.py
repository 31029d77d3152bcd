"""Random numbers that belong to a sample, not to its place in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unnoise.errors import InputError

Randomness = torch.Generator | Sequence[torch.Generator] | None
"""One generator for a whole batch, one a sample (the same draw in any batch), or torch's global one."""


def generator(seed: int, *indices: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator derived from a seed and any number of indices (sample, epoch, worker...), all >= 0.

    Different `(seed, *indices)` give unrelated streams: they are mixed by numpy's `SeedSequence` hash.

    Raises `InputError` for a seed below 0.

    >>> a, b = generator(7, 0, 3), generator(7, 0, 3)
    >>> bool((torch.randn(4, generator=a) == torch.randn(4, generator=b)).all())
    True
    """
    if seed < 0:
        raise InputError(f"a seed must be a whole number from 0 on, got {seed}")
    words = np.random.SeedSequence(seed, spawn_key=indices).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(words[0]) << 32 | int(words[1])) & (2**63 - 1))


def generators(seed: int, indices: Sequence[int], device: str | torch.device = "cpu") -> list[torch.Generator]:
    """One generator a sample: `generator(seed, i)` for i in `indices`."""
    return [generator(seed, i, device=device) for i in indices]


def _per_sample(like: Tensor, source: Sequence[torch.Generator], draw: str) -> Tensor:
    out = torch.empty_like(like, memory_format=torch.contiguous_format)
    for row, g in zip(out, source, strict=True):
        row.copy_(_one(row, g, draw))
    return out


def _one(like: Tensor, g: torch.Generator | None, draw: str) -> Tensor:
    device = like.device if g is None else g.device
    rand = torch.randn if draw == "normal" else torch.rand
    return rand(like.shape, generator=g, dtype=like.dtype, device=device).to(like.device)


def normal_like(x: Tensor, source: Randomness = None) -> Tensor:
    """Standard normal numbers of x's shape, dtype and device."""
    return _per_sample(x, source, "normal") if isinstance(source, Sequence) else _one(x, source, "normal")


def uniform_like(x: Tensor, source: Randomness = None) -> Tensor:
    """Numbers uniform in [0, 1) of x's shape, dtype and device."""
    return _per_sample(x, source, "uniform") if isinstance(source, Sequence) else _one(x, source, "uniform")


def poisson_like(rate: Tensor, source: Randomness = None) -> Tensor:
    """Poisson counts of mean `rate` (>= 0), of its shape, dtype and device."""
    if isinstance(source, Sequence):
        return torch.stack([poisson_like(r, g) for r, g in zip(rate, source, strict=True)])
    device = rate.device if source is None else source.device
    return torch.poisson(rate.to(device), generator=source).to(rate.device)
