"""A bias-free residual U-Net on pixel-unshuffled input: homogeneous, local and made of plain 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.errors import InputError


def conv3x3(c_in: int, c_out: int) -> nn.Conv2d:
    """3x3 convolution without bias that keeps the size."""
    return nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)


class ResBlock(nn.Module):
    """`h + conv(relu(conv(h)))`; its branch starts small, so that a deep stack trains without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(width, width)
        self.conv2 = conv3x3(width, width)
        nn.init.kaiming_normal_(self.conv1.weight)
        nn.init.kaiming_normal_(self.conv2.weight)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out."""
        return h + self.conv2(F.relu(self.conv1(h)))


class UNet(nn.Module):
    """Maps `(B, in_channels, H, W)` to `(B, out_channels, H, W)`, any H and W.

    Without biases and with ReLU alone, `net(a * z) == a * net(z)` for a > 0 (Mohan et al. 2020, "Robust and
    interpretable blind image denoising via bias-free convolutional neural networks"). The picture is packed by
    pixel-unshuffling, so that even the first stage works at reduced resolution.

    Parameters
    ----------
    in_channels, out_channels : of the picture-sized tensors.
    widths : channels of each stage, multiples of 16; the last is the middle, every stage halves the resolution.
    blocks : residual blocks of each stage on the way down, the middle last.
    decoder_blocks : residual blocks of each stage but the middle on the way up; the same as down when `None`.
    unshuffle : side of the pixel block packed into channels.

    Attributes
    ----------
    stride : grid in pixels on which the net is shift-equivariant.
    reach : receptive-field radius in pixels.

    Examples
    --------
    >>> net = UNet(4, 3, widths=(16, 32), blocks=(1, 1))
    >>> net(torch.zeros(1, 4, 7, 9)).shape, net.stride, net.reach
    (torch.Size([1, 3, 7, 9]), 4, 23)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (48, 96, 192),
        blocks: Sequence[int] = (2, 2, 2),
        decoder_blocks: Sequence[int] | None = None,
        unshuffle: int = 2,
    ) -> None:
        super().__init__()
        widths, blocks = tuple(widths), tuple(blocks)
        up_blocks = blocks[:-1] if decoder_blocks is None else tuple(decoder_blocks)
        if not widths or len(blocks) != len(widths) or len(up_blocks) != len(widths) - 1:
            raise InputError(
                f"a U-Net of widths {list(widths)} needs {len(widths)} numbers in blocks and {len(widths) - 1} in "
                "decoder_blocks"
            )
        if any(w < 16 or w % 16 for w in widths):
            raise InputError(f"widths of a U-Net must be multiples of 16, got {list(widths)}")
        self.unshuffle = unshuffle
        self.stride = unshuffle * 2 ** (len(widths) - 1)
        self.reach = _reach(unshuffle, blocks, up_blocks)
        self.head = conv3x3(in_channels * unshuffle**2, widths[0])
        self.encoder = nn.ModuleList(_stack(w, n) for w, n in zip(widths, blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2, bias=False) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_stack(w, n) for w, n in zip(widths, up_blocks, strict=False))
        self.tail = conv3x3(widths[0], out_channels * unshuffle**2)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, in_channels, H, W)` to `(B, out_channels, H, W)`; the last convolution runs in the weights' dtype."""
        height, width = z.shape[-2:]
        # Right and bottom only: the packing grid stays tied to the picture's corner, so tiles agree with the whole.
        z = F.pad(z, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        h = self.head(F.pixel_unshuffle(z, self.unshuffle).contiguous(memory_format=torch.channels_last))
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=False):
            h = stage(h)
            skips.append(h)
            h = down(h)
        h = self.encoder[-1](h)
        for stage, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            h = stage(up(h) + skips.pop())
        with torch.autocast(h.device.type, enabled=False):
            out = F.pixel_shuffle(self.tail(h.to(self.tail.weight.dtype)), self.unshuffle)
        return out[..., :height, :width]


def _stack(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResBlock(width) for _ in range(blocks)))


def _reach(unshuffle: int, blocks: tuple[int, ...], up_blocks: tuple[int, ...]) -> int:
    """Largest distance between an output pixel and an input pixel it sees, over all phases of the output pixel.

    The interval [lo, hi] of cells seen is traced from the output back to the input through the deepest path, which
    contains what every skip connection sees.
    """
    stride = unshuffle * 2 ** len(up_blocks)
    far = 0
    for p in range(stride):
        lo = hi = p // unshuffle
        lo, hi = lo - 1, hi + 1  # tail
        for n in up_blocks:
            lo, hi = (lo - 2 * n) // 2, (hi + 2 * n) // 2
        lo, hi = lo - 2 * blocks[-1], hi + 2 * blocks[-1]
        for n in reversed(blocks[:-1]):
            lo, hi = 2 * lo - 2 * n, 2 * hi + 1 + 2 * n
        lo, hi = lo - 1, hi + 1  # head
        far = max(far, p - unshuffle * lo, unshuffle * hi + unshuffle - 1 - p)
    return far
