"""C-BSN: a blind-spot network whose blindness is a switch, trained on noisy pictures alone.

Source: Jang, Lee, Park, Kim, Cho 2023, "Self-supervised image denoising with downsampled invariance loss and
conditional blind-spot network", ICCV 2023, arXiv 2304.09507; section 3 and the released graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.denoiser.base import Card, Denoiser, Sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.estimate import autocorrelation
from unnoise.noise.seeds import Randomness, uniform_like

RAMP_STEPS = 200_000
MODES = ("unmasked", "blind", "blind-pd")
WHITE = 0.1  # correlation below which noise counts as independent


class MaskedConv(nn.Module):
    """Convolution k x k of which the centre tap is multiplied by 0 when `masked`, by 1 when not."""

    def __init__(self, width: int, k: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, k, padding=k // 2)
        nn.init.normal_(self.conv.weight, std=(2 / (k * k * width)) ** 0.5)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]  # it has one
        mask = torch.ones(k, k)
        mask[k // 2, k // 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    mask: Tensor

    def forward(self, h: Tensor, masked: bool) -> Tensor:
        """Shape in, shape out."""
        weight = self.conv.weight * self.mask if masked else self.conv.weight
        return F.conv2d(h, weight, self.conv.bias, padding=self.conv.padding)


class DilatedModule(nn.Module):
    """`h + relu(conv1x1(relu(conv3x3(h))))` with dilation d; nothing after the sum."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilated = _conv(width, width, 3, dilation)
        self.mix = _conv(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out."""
        return h + F.relu(self.mix(F.relu(self.dilated(h))))


class Branch(nn.Module):
    """Masked convolution k x k, two 1 x 1, modules of dilation d, 1 x 1.

    Its offsets are those of the mask plus multiples of d. With k = 2 d - 1 none of them can be zero, which is the
    blindness; any other pairing breaks it.
    """

    def __init__(self, width: int, modules: int, dilation: int) -> None:
        super().__init__()
        self.head = MaskedConv(width, 2 * dilation - 1)
        self.before = nn.ModuleList([_conv(width, width), _conv(width, width)])
        self.body = nn.ModuleList([DilatedModule(width, dilation) for _ in range(modules)])
        self.after = _conv(width, width)
        self.reach = dilation - 1 + dilation * modules

    def forward(self, h: Tensor, masked: bool) -> Tensor:
        """Shape in, shape out."""
        h = F.relu(self.head(h, masked))
        for layer in self.before:
            h = F.relu(layer(h))
        for module in self.body:
            h = module(h)
        return F.relu(self.after(h))


class BlindSpotNet(nn.Module):
    """The network f(x; masked) on normalised pictures `(B, C, H, W)`; 3 656 131 parameters at the paper's size.

    Parameters
    ----------
    in_channels : of the pictures: 1 gray, 3 RGB, 4 packed raw, or any other number.
    width : F, features; n_modules : M, dilated modules a branch; tail : width of the last layers but one.

    >>> sum(p.numel() for p in BlindSpotNet().parameters())
    3656131
    """

    def __init__(self, in_channels: int = 3, width: int = 128, n_modules: int = 9, tail: int = 64) -> None:
        super().__init__()
        self.head = _conv(in_channels, width)
        self.branches = nn.ModuleList([Branch(width, n_modules, 2), Branch(width, n_modules, 3)])
        self.tail = nn.ModuleList([_conv(2 * width, width), _conv(width, tail), _conv(tail, tail)])
        self.last = _conv(tail, in_channels)
        self.reach: int = max(branch.reach for branch in self.branches)  # type: ignore[type-var, assignment]

    def forward(self, x: Tensor, masked: bool) -> Tensor:
        """Clean estimate; when `masked`, no output depends on the input at its own pixel."""
        h = F.relu(self.head(x))
        h = torch.cat([branch(h, masked) for branch in self.branches], 1)
        for layer in self.tail:
            h = F.relu(layer(h))
        return self.last(h)


def _conv(c_in: int, c_out: int, k: int = 1, dilation: int = 1) -> nn.Conv2d:
    """He-normal (truncated at two deviations, variance kept), bias 0, size kept."""
    conv = nn.Conv2d(c_in, c_out, k, padding=dilation * (k // 2), dilation=dilation)
    std = (2 / (c_in * k * k)) ** 0.5 / 0.87962566  # deviation of a normal truncated at 2
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has one
    return conv


def space_to_batch(x: Tensor, s: int) -> Tensor:
    """The s * s sub-images of stride s as a batch: `(s * s * B, C, H / s, W / s)`, phase-major.

    Entry `(dy * s + dx) * B + b` is `x[b, :, dy::s, dx::s]`. Raises `InputError` when H or W is no multiple of s.
    """
    b, c, h, w = _divisible(x, s)
    return x.reshape(b, c, h // s, s, w // s, s).permute(3, 5, 0, 1, 2, 4).reshape(s * s * b, c, h // s, w // s)


def batch_to_space(x: Tensor, s: int) -> Tensor:
    """Inverse of `space_to_batch`.

    >>> x = torch.rand(2, 3, 6, 9)
    >>> bool((batch_to_space(space_to_batch(x, 3), 3) == x).all())
    True
    """
    n, c, h, w = x.shape
    if n % (s * s):
        raise InputError(f"a batch of {n} does not hold {s} x {s} sub-images: make it with space_to_batch")
    b = n // (s * s)
    return x.reshape(s, s, b, c, h, w).permute(2, 3, 4, 0, 5, 1).reshape(b, c, h * s, w * s)


def random_subsample(
    x: Tensor, s: int, index: Tensor | None = None, generator: Randomness = None
) -> tuple[Tensor, Tensor]:
    """One pixel of every s x s cell, drawn uniformly, the same for all channels: `(B, C, H / s, W / s)` and the index.

    `index` (B, H / s, W / s) holds `row * s + column` within a cell; pass it on to take the same pixels of another
    tensor. Raises `InputError` when H or W is no multiple of s.
    """
    b, c, h, w = _divisible(x, s)
    if index is None:
        u = uniform_like(x.new_empty(b, h // s, w // s, dtype=torch.float32), generator)
        index = (u * (s * s)).long().clamp(max=s * s - 1)
    cells = x.reshape(b, c, h // s, s, w // s, s).permute(0, 1, 2, 4, 3, 5).flatten(4)
    return cells.gather(4, index[:, None, :, :, None].expand(b, c, -1, -1, 1))[..., 0], index


def _divisible(x: Tensor, s: int) -> tuple[int, int, int, int]:
    b, c, h, w = x.shape
    if h % s or w % s:
        raise InputError(f"height {h} and width {w} must be multiples of the stride {s}: crop or pad the picture")
    return b, c, h, w


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population deviation of each picture and channel, `(B, C, 1, 1)`; never below `1 / sqrt(H W)`."""
    floor = (x.shape[2] * x.shape[3]) ** -0.5
    return x.mean((2, 3), keepdim=True), x.std((2, 3), correction=0, keepdim=True).clamp(min=floor)


def ramp(step: int, ramp_steps: int | None = RAMP_STEPS) -> float:
    """Weight w(t) of the losses on the unmasked output: without it that path learns the identity first.

    `None` is a plain blind-spot network, whose unmasked output never learns.

    >>> [ramp(t) for t in (0, 100_000, 200_000, 500_000)]
    [0.0, 0.5, 1.0, 1.0]
    """
    if ramp_steps is None:
        return 0.0
    return min(max(step / ramp_steps, 0.0), 1.0) if ramp_steps > 0 else 1.0


def cbsn_loss(
    net: Callable[..., Tensor],
    x: Tensor,
    step: int,
    *,
    stride_blind: int = 5,
    stride_inv: int = 2,
    lam: float = 2.0,
    ramp_steps: int | None = RAMP_STEPS,
    generator: Randomness = None,
    index: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """`L_blind + w(t) (L_self + lam L_inv)` on normalised noisy crops.

    Parameters
    ----------
    net : `net(x, masked=bool)`.
    x : `(B, C, H, W)`, sides multiples of both strides.
    step : t, from 0. stride_blind 0 leaves pixel-shuffling out of the blind loss, like 1.
    index : of the random subsampler, drawn from `generator` when `None`.

    Returns
    -------
    The loss and its parts `blind`, `self`, `inv`, `weight`.

    Raises
    ------
    InputError : sides that are no multiples of a stride.
    """
    s_b, w = max(stride_blind, 1), ramp(step, ramp_steps)
    b = batch_to_space(net(space_to_batch(x, s_b), masked=True), s_b)
    loss = blind = (b - x).abs().mean()
    parts = {"blind": float(blind.detach()), "self": 0.0, "inv": 0.0, "weight": w}
    if w == 0:
        return loss, parts
    u = net(x, masked=False)
    own = (u - x).abs().mean()
    loss, parts["self"] = loss + w * own, float(own.detach())
    if lam > 0:
        sub, index = random_subsample(x, stride_inv, index, generator)
        with torch.no_grad():
            target = net(sub, masked=True)
        inv = (random_subsample(u, stride_inv, index)[0] - target).abs().mean()
        loss, parts["inv"] = loss + w * lam * inv, float(inv.detach())
    return loss, parts


def suggest_stride(y: Tensor, longest: int = 5) -> int:
    """The smallest stride of the blind loss at which the noise of y `(B, C, H, W)` is independent, 1 to `longest`.

    White noise gives 1; camera noise after demosaicking and JPEG 3 to 5. From the noise's autocorrelation in
    the flattest places; the channel with the largest decides.

    >>> white = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    >>> suggest_stride(white)
    1
    """
    worst = autocorrelation(y, longest).amax((0, 1, 2))
    for stride in range(1, longest):
        # sub-images of a stride see lags of its multiples
        if float(worst[stride - 1 :: stride].max()) < WHITE:
            return stride
    return longest


class CBSN(Denoiser):
    """The denoiser round the network: normalised by the statistics of the whole picture, one plain unmasked pass.

    Parameters
    ----------
    in_channels, width, n_modules, tail : of `BlindSpotNet`.
    mode : "unmasked", the paper's; "blind": the masked pass; "blind-pd": the masked pass on the sub-images of
        `stride_blind`, for comparison.
    tile : edge of the tiles that larger pictures are cut into; they agree with the whole to rounding, since the
        statistics are taken before. "blind-pd" works on the whole.
    pad : pixels of the mirrored frame, the size of the reach or more.

    Attributes
    ----------
    card : blind (sigma is ignored); `reach` is `None` because of the statistics.

    Examples
    --------
    >>> denoiser = CBSN(width=8, n_modules=1, tail=8).eval()
    >>> y = torch.rand(1, 3, 21, 34)
    >>> with torch.no_grad():
    ...     bool(torch.allclose(denoiser(2 * y + 1), 2 * denoiser(y) + 1, atol=1e-4))
    True
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 128,
        n_modules: int = 9,
        tail: int = 64,
        mode: str = "unmasked",
        stride_blind: int = 5,
        tile: int = 256,
        pad: int = 32,
    ) -> None:
        super().__init__()
        self.config = {"in_channels": in_channels, "width": width, "n_modules": n_modules, "tail": tail}
        self.set_mode(mode)
        self.net = BlindSpotNet(in_channels, width, n_modules, tail)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.in_channels, self.stride_blind, self.tile = in_channels, stride_blind, tile
        self.pad = max(pad, self.net.reach)
        self.card = Card(kind="any", channels=in_channels, value_range=None, reach=None)

    def set_mode(self, mode: str) -> None:
        """Choose which pass cleans: one of `MODES`."""
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
        self.mode = mode

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y `(B, in_channels, H, W)`; nothing is clipped."""
        if y.ndim != 4 or y.shape[1] != self.in_channels:
            raise InputError(
                f"this C-BSN was made for {self.in_channels} channels, got data of shape {tuple(y.shape)}: adapt one "
                "to the data"
            )
        if not bool(torch.isfinite(y).all()):
            raise InputError("the picture holds values that are NaN or infinite: fill them first")
        mean, deviation = statistics(y.float())
        x = (y.float() - mean) / deviation
        height, width = x.shape[2:]
        if self.mode == "blind-pd":
            s = self.stride_blind
            out = self._pixel_shuffled(reflect(x, (0, -height % s, 0, -width % s)), s)
        else:
            out = self._passes(x)
        return (out[..., :height, :width] * deviation + mean).to(y.dtype)

    def _pixel_shuffled(self, x: Tensor, s: int) -> Tensor:
        return batch_to_space(self.net(space_to_batch(x, s), masked=True), s)

    def _passes(self, x: Tensor) -> Tensor:
        masked, halo = self.mode == "blind", self.net.reach
        height, width = x.shape[2:]
        out = torch.empty_like(x)
        # the mirrored frame hides the zero padding of the convolutions, which no picture has
        frame = reflect(x, (self.pad,) * 4)
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                bottom, right = min(top + self.tile, height), min(left + self.tile, width)
                a, b = top + self.pad - halo, left + self.pad - halo
                window = frame[..., a : bottom + self.pad + halo, b : right + self.pad + halo]
                window = window.contiguous(memory_format=torch.channels_last)
                inner = self.net(window, masked=masked)[..., halo : halo + bottom - top, halo : halo + right - left]
                out[..., top:bottom, left:right] = inner
        return out


def reflect(x: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """Mirror `(top, bottom, left, right)` pixels about the border pixels, as often as a small picture needs."""
    top, bottom, left, right = pad
    while top or bottom or left or right:
        most_y, most_x = x.shape[2] - 1, x.shape[3] - 1
        if most_y < 1 or most_x < 1:
            return F.pad(x, (left, right, top, bottom), mode="replicate")
        now = (min(left, most_x), min(right, most_x), min(top, most_y), min(bottom, most_y))
        x = F.pad(x, now, mode="reflect")
        left, right, top, bottom = left - now[0], right - now[1], top - now[2], bottom - now[3]
    return x
