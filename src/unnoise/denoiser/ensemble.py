"""The mean over the eight flips and rotations of the square."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma


class Ensemble(Denoiser):
    """Average a denoiser over the eight flips and rotations of its input: slower by eight, a little better.

    Also known as self-ensemble (Lim et al. 2017, "Enhanced deep residual networks", section 3.4). Spatial maps
    among sigma and conditions are turned with the picture.

    Flips move the padded border to another side, so on a stride above 1 the mean is not equivariant on any grid
    and its `reach` is `None`: tile inside, `Ensemble(Tiled(D))`.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        card = denoiser.card
        self.card = card if card.stride == 1 else replace(card, reach=None, stride=1)

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y (B, C, H, W)."""
        total = torch.zeros_like(y)
        for flip in (False, True):
            for turns in range(4):

                def turn(value: Any, flip: bool = flip, turns: int = turns) -> Any:
                    if not isinstance(value, Tensor) or value.ndim != y.ndim:
                        return value
                    value = value.flip(-1) if flip else value
                    return torch.rot90(value, turns, (-2, -1))

                given = {name: turn(value) for name, value in conditions.items()}
                x_hat = torch.rot90(self.denoiser(turn(y), turn(sigma), **given), -turns, (-2, -1))
                total += x_hat.flip(-1) if flip else x_hat
        return total / 8
