"""QRNN U-Net for cubes: convolutions see space, and a recurrence with learnt gates carries along the bands."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = ((16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
"""Channels in, channels out and spatial stride of the encoder's layers; the decoder mirrors them."""


def scan(z: Tensor, f: Tensor, reverse: bool = False) -> Tensor:
    """`h_t = f_t h_{t-1} + (1 - f_t) z_t` along the bands of z and f (B, C, bands, H, W), from `h_{-1} = 0`.

    `reverse` starts at the last band.

    >>> z = torch.ones(1, 1, 3, 1, 1)
    >>> scan(z, torch.full_like(z, 0.5)).flatten().tolist()
    [0.5, 0.75, 0.875]
    """
    order = range(z.shape[2])[::-1] if reverse else range(z.shape[2])
    h, states = torch.zeros_like(z[:, :, 0]), []
    for t in order:
        h = torch.lerp(z[:, :, t], h, f[:, :, t])
        states.append(h)
    return torch.stack(states[::-1] if reverse else states, 1).transpose(1, 2)  # bands outermost: `flat` need not copy


def flat(x: Tensor) -> Tensor:
    """(B, C, bands, H, W) as pictures (B * bands, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


class Layer(nn.Module):
    """Batch normalisation, a convolution to z and one or two gates, and the recurrence; two gates run both ways.

    Parameters
    ----------
    c_in, c_out : channels; `depth`: bands that the convolution sees, 1 or 3; `stride`: over rows and columns.
    gates : 1, or 2 for both directions, whose states are added.
    transposed : a transposed convolution, which at stride 1 is one with its kernel turned round.
    upsample : rows and columns are doubled before the convolution, linearly.
    bias : of the convolution.

    Source: Wei, Fu and Huang 2020, "3-D quasi-recurrent neural network for hyperspectral image denoising", TNNLS.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        depth: int,
        *,
        stride: int = 1,
        gates: int = 1,
        transposed: bool = False,
        upsample: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        wide = c_out * (1 + gates)
        self.gates, self.stride, self.transposed, self.upsample = gates, stride, transposed, upsample
        self.norm = nn.BatchNorm3d(c_in)
        shape = (c_in, wide) if transposed else (wide, c_in)
        self.weight = nn.Parameter(torch.empty(*shape, depth, 3, 3))
        self.bias = nn.Parameter(torch.zeros(wide)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_in" if transposed else "fan_out")

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:
        """(B, c_in, bands, H, W) to (B, c_out, bands, H', W'); `reverse` lets a single gate run backwards."""
        z, *gates = self._convolve(x).chunk(1 + self.gates, 1)
        z = torch.tanh(z)
        if self.gates == 2:
            forwards, backwards = (torch.sigmoid(g) for g in gates)
            return scan(z, forwards) + scan(z, backwards, reverse=True)
        return scan(z, torch.sigmoid(gates[0]), reverse)

    def _convolve(self, x: Tensor) -> Tensor:
        batch = len(x)
        weight: Tensor = self.weight
        if self.transposed:
            weight = weight.transpose(0, 1).flip(2, 3, 4)
        n = self.norm
        x = F.batch_norm(flat(x), n.running_mean, n.running_var, n.weight, n.bias, n.training, n.momentum or 0.0, n.eps)
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        if weight.shape[2] == 1:
            x = F.conv2d(x, weight[:, :, 0], self.bias, self.stride, 1)
            return x.unflatten(0, (batch, -1)).transpose(1, 2)
        x = x.unflatten(0, (batch, -1)).transpose(1, 2)
        return F.conv3d(x, weight, self.bias, (1, self.stride, self.stride), 1)


class QRNN(nn.Module):
    """Clean cubes of (B, 1, bands, H, W), any number of bands, H and W multiples of `multiple`.

    `depth` is 3 for `qrnn3d`, or 1 for `qrnn2d`, whose bands meet in the recurrence alone. Layers of one direction
    take turns, the first one forwards; the way up adds what the way down has made.

    Examples
    --------
    >>> QRNN(depth=1)(torch.zeros(1, 1, 5, 8, 12)).shape
    torch.Size([1, 1, 5, 8, 12])
    """

    multiple = 4

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.head = Layer(1, 16, depth, gates=2)
        self.down = nn.ModuleList(Layer(a, b, depth, stride=s) for a, b, s in WIDTHS)
        self.up = nn.ModuleList(Layer(b, a, depth, transposed=s == 1, upsample=s == 2) for a, b, s in WIDTHS[::-1])
        self.tail = Layer(16, 1, depth, gates=2, transposed=True, bias=True)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near the identity, which saves the first hundred steps

    def forward(self, y: Tensor) -> Tensor:
        """Shape of y."""
        h = head = self.head(y)
        skips, reverse = [], False
        for layer in self.down:
            h = layer(h, reverse)
            skips.append(h)
            reverse = not reverse
        skips.pop()  # the last layer's output goes straight up
        for i, layer in enumerate(self.up):
            h = layer(h if i == 0 else h + skips.pop(), reverse)
            reverse = not reverse
        return y + self.tail(h + head)
