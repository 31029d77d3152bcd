"""A small U-Net for diffusion: told the noise level and a class, with attention at its lowest resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.errors import InputError


class Modulated(nn.Module):
    """Residual block whose second normalisation is scaled and shifted by an embedding (Dhariwal and Nichol 2021).

    `h + conv(silu(norm(conv(silu(norm(h)))) (1 + a) + b))`, with a and b linear in the embedding; the last convolution
    starts at zero, so that the block starts as the identity.
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(width // 8, width), nn.GroupNorm(width // 8, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.modulate = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.modulate.weight)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """h (B, width, H, W), e (B, embedding) to h's shape."""
        a, b = self.modulate(e)[..., None, None].chunk(2, 1)
        z = self.norm2(self.conv1(F.silu(self.norm1(h)))) * (1 + a) + b
        return h + self.conv2(F.silu(z))


class Attention(nn.Module):
    """Self-attention over all pixels, residual, starting as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(width // 8, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, h: Tensor) -> Tensor:
        """(B, width, H, W), shape in, shape out."""
        b, c, height, width = h.shape
        q, k, v = self.qkv(self.norm(h)).reshape(b, 3, self.heads, c // self.heads, -1).transpose(-1, -2).unbind(1)
        z = F.scaled_dot_product_attention(q, k, v)
        return h + self.out(z.transpose(-1, -2).reshape(b, c, height, width))


class DiffusionUNet(nn.Module):
    """`net(x, t, label)` with x (B, channels, H, W), a time t (B,) and a class label (B,), -1 or `None` for none.

    Parameters
    ----------
    channels : of the picture.
    classes : number of classes; 0 for an unconditional net.
    widths : channels of each stage, multiples of 16; every stage halves the resolution.
    blocks : residual blocks of each stage, on the way down and again on the way up; the last once.
    embedding : width of the embedding of time and class.
    unshuffle : side of the pixel block packed into channels.
    guided : it takes a guidance scale (B,) too, whose embedding starts at zero.

    Examples
    --------
    >>> net = DiffusionUNet(1, 10, widths=(16, 32), blocks=(1, 1), embedding=32)
    >>> net(torch.zeros(2, 1, 12, 12), torch.zeros(2), torch.tensor([3, -1])).shape
    torch.Size([2, 1, 12, 12])
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 0,
        widths: Sequence[int] = (32, 80),
        blocks: Sequence[int] = (2, 2),
        embedding: int = 96,
        unshuffle: int = 2,
        guided: bool = False,
    ) -> None:
        super().__init__()
        widths, blocks = tuple(widths), tuple(blocks)
        if not widths or len(blocks) != len(widths) or any(w < 16 or w % 16 for w in widths):
            raise InputError(f"widths must be multiples of 16 with one number of blocks each, got {widths}, {blocks}")
        self.classes, self.unshuffle, self.embedding = classes, unshuffle, embedding
        self.stride = unshuffle * 2 ** (len(widths) - 1)
        self.embed = nn.Sequential(
            nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        self.scale = nn.Linear(embedding, embedding) if guided else None
        if self.scale is not None:
            nn.init.zeros_(self.scale.weight)
            nn.init.zeros_(self.scale.bias)
        self.head = nn.Conv2d(channels * unshuffle**2, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stack(w, n, embedding) for w, n in zip(widths[:-1], blocks, strict=False))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = _stack(widths[-1], blocks[-1], embedding)
        self.attention = Attention(widths[-1], max(1, widths[-1] // 32))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_stack(w, n, embedding) for w, n in zip(widths[:-1], blocks, strict=False))
        self.norm = nn.GroupNorm(widths[0] // 8, widths[0])
        self.tail = nn.Conv2d(widths[0], channels * unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """Shape of x; H and W any multiple of `stride`."""
        if any(n % self.stride for n in x.shape[-2:]):
            raise InputError(f"this network takes heights and widths that are multiples of {self.stride}")
        e = self.embed(_fourier(t, self.embedding))
        if self.label is not None:
            none = torch.full((len(x),), -1, device=x.device) if label is None else label
            e = e + self.label(none.long() % (self.classes + 1))  # -1 is the last row
        if self.scale is not None and scale is not None:
            e = e + self.scale(_fourier(scale.clamp(min=0.1).log(), self.embedding))
        h = self.head(F.pixel_unshuffle(x, self.unshuffle))
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            h = _run(stage, h, e)
            skips.append(h)
            h = down(h)
        h = self.attention(_run(self.middle, h, e))
        for stage, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            h = _run(stage, up(h) + skips.pop(), e)
        out = self.tail(F.silu(self.norm(h)))
        return F.pixel_shuffle(out.float(), self.unshuffle)


def _stack(width: int, blocks: int, embedding: int) -> nn.ModuleList:
    return nn.ModuleList(Modulated(width, embedding) for _ in range(blocks))


def _run(stage: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    for block in stage.children():
        h = block(h, e)
    return h


def _fourier(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of t at frequencies from 1/2 to 32, geometric, (B, width)."""
    f = torch.logspace(-0.3, 1.5, width // 2, device=t.device) * 2 * math.pi / 4
    angle = t.float()[:, None] * f
    return torch.cat([angle.sin(), angle.cos()], 1)
