"""MemNet for cubes: blocks that remember what all blocks before them made, and choose from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit(c_in: int, c_out: int, dims: int, kernel: int = 3) -> nn.Sequential:
    """Normalise, rectify, convolve: the only kind of layer there is."""
    norm, conv = (nn.BatchNorm2d, nn.Conv2d) if dims == 2 else (nn.BatchNorm3d, nn.Conv3d)
    layer = conv(c_in, c_out, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return nn.Sequential(norm(c_in), nn.ReLU(), layer)


class Residual(nn.Module):
    """`x + unit(unit(x))`."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.units = nn.Sequential(unit(width, width, dims), unit(width, width, dims))

    def forward(self, x: Tensor) -> Tensor:
        """Shape in, shape out."""
        return x + self.units(x)


class Memory(nn.Module):
    """Residual blocks in a row, then a gate of kernel 1 over what each made and what earlier blocks left."""

    def __init__(self, width: int, residuals: int, earlier: int, dims: int) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(Residual(width, dims) for _ in range(residuals))
        self.gate = unit((residuals + earlier) * width, width, dims, kernel=1)

    def forward(self, x: Tensor, long: list[Tensor]) -> Tensor:
        """`long` holds the outputs of everything before, x the last of them."""
        short = []
        for block in self.residuals:
            x = block(x)
            short.append(x)
        return self.gate(torch.cat(short + long, 1))


class MemNet(nn.Module):
    """Clean cubes: of (B, channels, H, W) with `dims` 2, of (B, channels, bands, H, W) with `dims` 3.

    Parameters
    ----------
    channels : of input and output; `width`: inside.
    blocks : memory blocks; `residuals`: residual blocks in each.

    Source: Tai, Yang, Liu and Xu 2017, "MemNet: a persistent memory network for image restoration", ICCV; these widths
    are those of Wei et al. 2020 and HyDe.

    Examples
    --------
    >>> MemNet(10, 16, 2, 2, dims=2)(torch.zeros(1, 10, 7, 9)).shape
    torch.Size([1, 10, 7, 9])
    """

    multiple = 1

    def __init__(self, channels: int = 10, width: int = 64, blocks: int = 6, residuals: int = 6, dims: int = 2) -> None:
        super().__init__()
        self.feature = unit(channels, width, dims)
        self.blocks = nn.ModuleList(Memory(width, residuals, i, dims) for i in range(1, blocks + 1))
        self.reconstruct = unit(width, channels, dims)

    def forward(self, y: Tensor) -> Tensor:
        """Shape of y."""
        long = [self.feature(y)]
        for block in self.blocks:
            long.append(block(long[-1], long))
        return y + self.reconstruct(long[-1])
