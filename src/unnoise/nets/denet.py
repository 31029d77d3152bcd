"""DeNet for cubes: a plain stack of convolutions, with wider eyes in its middle and without a residual."""

from __future__ import annotations

from torch import nn

WIDTHS = {
    2: (64, 64, 64, 128, 128, 128, 256, 256, 256, 128, 128, 128, 64, 64, 64, 64),
    3: (32, 32, 32, 64, 64, 64, 128, 64, 32, 32, 32),
}
"""Dimensions -> channels of the inner layers; of two dimensions, the widest are dilated by 2."""


def denet(dims: int = 2) -> nn.Sequential:
    """The network: (B, 10, H, W) to the same with `dims` 2, (B, 1, bands, H, W) with `dims` 3.

    Source: Chang et al. 2019, "HSI-DeNet: hyperspectral image restoration via convolutional neural network", TGRS;
    these widths are HyDe's.

    >>> import torch
    >>> denet(3)(torch.zeros(1, 1, 4, 7, 9)).shape
    torch.Size([1, 1, 4, 7, 9])
    """
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    channels, widths = (10 if dims == 2 else 1), WIDTHS[dims]
    first = widths[0]
    layers: list[nn.Module] = [conv(channels, first, 3, padding=1), nn.ReLU()]
    for c_in, c_out in zip((first, *widths), widths, strict=False):
        spread = 2 if dims == 2 and c_out == max(widths) else 1
        layers += [conv(c_in, c_out, 3, padding=spread, dilation=spread, bias=False), norm(c_out), nn.ReLU()]
    layers.append(conv(widths[-1], channels, 3, padding=1, bias=False))
    for layer in layers:
        if isinstance(layer, conv):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return nn.Sequential(*layers)
