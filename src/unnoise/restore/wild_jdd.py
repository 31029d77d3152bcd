"""Wild-JDD: a Bayer mosaic to a clean RGB picture in one pass, trained under uncertainty of its references.

The reference y is an uncertain observation of the clean z: `s ~ IG(alpha, beta)`, `z | s ~ N(y, s / lambda)`, and the
interpolated input `x~ | z, s ~ N(z, s)`. The network gives the posterior `q(z, s)` of the same form. Source: Chen, Wen,
Chan 2021, "Joint demosaicking and denoising in the wild: the case of training under ground truth uncertainty", AAAI,
arXiv 2101.04442; closed forms derived, and the network defined, here: the paper's widths are not public.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.denoiser.base import Card
from unnoise.errors import InputError, unknown
from unnoise.noise.demosaick import demosaick
from unnoise.restore.photo import fast_precision

FLOOR = (0.8 / 255) ** 2  # of the local variance: smaller ones make KL_IG hundreds of nats and drown the picture
LOGS = (math.log(1e-8), math.log(1e4))
HEADS = ("shared", "separate")
MEASURED = [0, 5, 6, 11]
"""Of the packed maps (colour, place in the cell), those of the colour that the sensor measured at the place."""
SEEN = 2 + 6 + 6  # packed pixels around one that `_levels` looks at


class JDDOutput(NamedTuple):
    """Posterior of a picture, four maps `(B, 3, H, W)`: `z ~ N(mean, s / lam)`, `s ~ IG(alpha, beta)`."""

    mean: Tensor
    lam: Tensor
    alpha: Tensor
    beta: Tensor

    def variance(self) -> Tensor:
        """Noise variance `E[s] = beta / (alpha - 1)`, and the mode `beta / (alpha + 1)` where that does not exist."""
        return torch.where(
            self.alpha > 1.01, self.beta / (self.alpha - 1).clamp(min=0.01), self.beta / (self.alpha + 1)
        )

    def std(self) -> Tensor:
        """Posterior standard deviation of the clean picture."""
        return (self.variance() / self.lam).sqrt()

    def debiased(self, x_tilde: Tensor, lam: float) -> Tensor:
        """The mean without the share `1 / (lam + 1)` of the noisy input that its optimum keeps, section 2.2."""
        return ((lam + 1) * self.mean - x_tilde) / lam


class ELBO(NamedTuple):
    """The bound and its three parts, of the data's shape: `elbo = rec - kl_normal - kl_ig`."""

    elbo: Tensor
    rec: Tensor
    kl_normal: Tensor
    kl_ig: Tensor


def nig_elbo(
    x_tilde: Tensor, y: Tensor, out: JDDOutput, lam: float, alpha: float, beta: Tensor, kl_ig_weight: float = 1.0
) -> ELBO:
    """Evidence lower bound of the normal-inverse-gamma model in closed form, per pixel and channel, in nats.

    Parameters
    ----------
    x_tilde : interpolated noisy input; y : reference; out : the network's maps; all of one shape.
    lam, alpha, beta : of the prior: confidence in y, and 2 alpha pseudo-observations of squared deviation 2 beta.
    kl_ig_weight : below 1 early in training, so that the noise map does not outweigh the picture.

    Computed in float32 or better: lgamma and digamma mean nothing in 16 bits.
    """
    kind = torch.promote_types(x_tilde.dtype, torch.float32)
    x, y, b = x_tilde.to(kind), y.to(kind), beta.to(kind)
    m, lam_q, a_q, b_q = (t.to(kind) for t in out)
    psi, weight = torch.digamma(a_q), a_q / b_q
    rec = -0.5 * (math.log(2 * math.pi) + b_q.log() - psi + (x - m).square() * weight + 1 / lam_q)
    kl_normal = 0.5 * ((lam_q / lam).log() + lam / lam_q + lam * (m - y).square() * weight - 1)
    kl_ig = (
        (a_q - alpha) * psi - torch.lgamma(a_q) + math.lgamma(alpha)
        + alpha * (b_q.log() - b.log()) + a_q * (b / b_q - 1)
    )  # fmt: skip
    return ELBO(rec - kl_normal - kl_ig_weight * kl_ig, rec, kl_normal, kl_ig)


def bound_loss(
    x_tilde: Tensor,
    y: Tensor,
    out: JDDOutput,
    lam: float,
    alpha: float,
    beta: Tensor,
    kl_ig_weight: float = 1.0,
    window: int = 7,
) -> Tensor:
    """Minus the bound, per pixel and channel, for a mean that is still learning: its errors are not taken for noise.

    With y* the best mean for a known y, minus the bound of q is that of q with y* for its mean, plus
    `(lam + 1) / 2 alpha^ / beta^ (mean - y*)²`. Together they are least at `beta^ = beta + (lam + 1) / 2 (mean - y*)²`:
    a mean that is off by more than `sigma / sqrt(lam)` would be a noise map many times too large. So the maps learn
    from the first part alone, and the mean from the second, weighted as if they had learnt its error over a window.
    """
    best = (lam * y + x_tilde) / (lam + 1)
    rest = nig_elbo(x_tilde, y, out._replace(mean=best), lam, alpha, beta, kl_ig_weight).elbo
    gap = (lam + 1) / 2 * (out.mean - best).square()
    return (out.alpha / (out.beta + smooth(gap, window))).detach() * gap - rest


def nig_posterior(x_tilde: Tensor, y: Tensor, lam: float, alpha: float, beta: Tensor) -> JDDOutput:
    """The exact posterior for a known y, at which the bound equals the evidence."""
    shape = torch.ones_like(x_tilde)
    return JDDOutput(
        (lam * y + x_tilde) / (lam + 1),
        (lam + 1) * shape,
        (alpha + 0.5) * shape,
        beta + lam * (x_tilde - y).square() / (2 * (lam + 1)),
    )


def student_t_evidence(x_tilde: Tensor, y: Tensor, lam: float, alpha: float, beta: Tensor) -> Tensor:
    """Log evidence: Student's t with 2 alpha degrees of freedom about y, squared scale `beta (1 + 1 / lam) / alpha`."""
    scale = (beta * (1 + 1 / lam) / alpha).sqrt()
    return torch.distributions.StudentT(2 * alpha, y, scale).log_prob(x_tilde)


def local_variance(x_tilde: Tensor, y: Tensor, window: int = 7) -> Tensor:
    """Mean squared difference at the samples of a colour nearby, `(B, 3, H, W)`: the sensor's noise.

    Weights are those of a Gaussian window of spatial deviation `(window - 1) / 2`, mirrored at borders. Only what the
    sensor measured counts, at all places: interpolated values are off by the interpolation, which at an edge outweighs
    weak noise.
    """
    at = measured(x_tilde)
    return smooth(at * (x_tilde - y).square(), window) / smooth(at, window)


def smooth(x: Tensor, window: int) -> Tensor:
    """x `(B, C, H, W)` under a Gaussian window of spatial deviation `(window - 1) / 2`, mirrored at borders."""
    if window < 3 or window % 2 == 0:
        raise InputError(f"the window must be odd and at least 3, got {window}")
    r, channels = window // 2, x.shape[1]
    k = torch.exp(-0.5 * (torch.arange(-r, r + 1, dtype=x.dtype, device=x.device) / r) ** 2)
    k = k / k.sum()
    x = F.pad(x, (r, r, r, r), mode="reflect")
    x = F.conv2d(x, k.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, k.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def measured(like: Tensor) -> Tensor:
    """1 where the sensor of an RGGB mosaic measured the colour, else 0, `(1, 3, H, W)`."""
    at = like.new_zeros(1, 3, *like.shape[2:])
    at[:, 0, 0::2, 0::2] = at[:, 1, 0::2, 1::2] = at[:, 1, 1::2, 0::2] = at[:, 2, 1::2, 1::2] = 1
    return at


def prior(variance: Tensor, window: int = 7) -> tuple[float, Tensor]:
    """alpha and beta of the prior whose mode `beta / (alpha + 1)` is `variance`, floored: `p²/2 - 1`, `p²/2 xi`."""
    half = window * window / 2
    return half - 1, half * variance.clamp(min=FLOOR)


class ResidualDense(nn.Module):
    """RDB: `convs` 3 x 3 convolutions with ReLU, each seeing all before it, 1 x 1 fusion, plus the input."""

    def __init__(self, width: int, convs: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(width + i * growth, growth, 3, padding=1) for i in range(convs)])
        self.fuse = nn.Conv2d(width + convs * growth, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out."""
        seen = h
        for conv in self.convs:
            seen = torch.cat([seen, F.relu(conv(seen))], 1)
        return h + self.fuse(seen)


class Grouped(nn.Module):
    """GRDB: `blocks` RDBs in series, their outputs fused by 1 x 1, plus the input (Kim et al. 2019, GRDN)."""

    def __init__(self, width: int, blocks: int, convs: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ResidualDense(width, convs, growth) for _ in range(blocks)])
        self.fuse = nn.Conv2d(width * blocks, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out."""
        outputs, g = [], h
        for block in self.blocks:
            g = block(g)
            outputs.append(g)
        return h + self.fuse(torch.cat(outputs, 1))


class Residual(nn.Module):
    """`h + conv(relu(conv(h)))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out."""
        return h + self.second(F.relu(self.first(h)))


class WildJDD(nn.Module):
    """Mosaic `(B, 1, H, W)` in RGGB order to the posterior of its RGB picture, any H and W of 4 or more.

    Parameters
    ----------
    width : F; groups, blocks, convs, growth : G, R, C, g of the grouped residual dense blocks, which work at half the
        resolution of the packed mosaic. groups 0: the small net, `blocks` plain residual blocks at packed resolution.
    window : p of the prior, which sets the scale of alpha; lam : confidence in the references.
    heads : "shared": one last convolution for all four maps; "separate": the three uncertainty maps from a small
        network of their own, better for small trunks, which sees the mosaic and the levels of `_levels`.
    precision : "bfloat16" or "float32" arithmetic inside when not training; the last convolutions and the sum are
        always float32. `None`: what `restore.photo.fast_precision` says.

    Attributes
    ----------
    stride, reach : pixel grid of equivariance and receptive-field radius of all maps; sight : that of the mean.
    card : of the weights.

    >>> net = WildJDD(width=8, groups=0, blocks=1)
    >>> mosaic = torch.rand(1, 1, 10, 15)
    >>> bool(torch.equal(net(mosaic).mean, demosaick(mosaic, "bilinear")))
    True
    """

    def __init__(
        self,
        width: int = 64,
        groups: int = 3,
        blocks: int = 4,
        convs: int = 4,
        growth: int = 32,
        window: int = 7,
        lam: float = 300.0,
        heads: str = "separate",
        precision: str | None = None,
    ) -> None:
        super().__init__()
        if heads not in HEADS:
            raise unknown("heads", heads, HEADS)
        if not lam > 0:
            raise InputError(f"lam must be > 0, got {lam:g}")
        self.lam, self.pairs, self.separate = lam, window * window / 2, heads == "separate"
        self.head = nn.Conv2d(4, width, 3, padding=1)
        self.down: nn.Module = nn.Identity()
        self.up: nn.Module = nn.Identity()
        if groups:
            self.down = nn.Conv2d(width, width, 4, 2, 1)
            self.body = nn.Sequential(*(Grouped(width, blocks, convs, growth) for _ in range(groups)))
            self.up = nn.ConvTranspose2d(width, width, 4, 2, 1)
        else:
            self.body = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 12 if self.separate else 48, 3, padding=1)
        layers = [self.last]
        if self.separate:
            small = max(16, width)
            self.noise = nn.Sequential(nn.Conv2d(13, small, 3, padding=1), nn.ReLU())
            self.noise_last = nn.Conv2d(small, 36, 3, padding=1)
            layers.append(self.noise_last)
        for layer in layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
        self.register_buffer("log_beta", torch.zeros(()))
        self.stride = 4 if groups else 2
        inner = 2 * groups * blocks * convs + 4 if groups else 2 * blocks
        # in packed pixels, head and last convolution included; a packed pixel is two, of which either may be the edge
        self.sight = 2 * (inner + 2) + 2
        self.reach = self.sight + 2 * (SEEN + 2) * self.separate
        self.precision = precision or fast_precision()
        self.card = Card(
            kind="raw",
            channels=1,
            reach=self.reach,
            stride=self.stride,
            precision="bfloat16 where the processor has it, else float32",
        )

    log_beta: Tensor

    def forward(self, mosaic: Tensor) -> JDDOutput:
        """The posterior maps, `(B, 3, H, W)`, in the units of the mosaic."""
        if mosaic.ndim != 4 or mosaic.shape[1] != 1 or min(mosaic.shape[2:]) < 4:
            what = "is demosaicked already" if mosaic.ndim == 4 and mosaic.shape[1] == 3 else "is no mosaic"
            raise InputError(f"data of shape {tuple(mosaic.shape)} {what}: give (B, 1, H, W) of 4 x 4 or more")
        x_tilde = demosaick(mosaic, "bilinear")
        packed, maps = self._trunk(mosaic)
        if self.separate:
            # without a gradient: the noise map must not shape the picture
            seen = torch.cat([packed, _levels(maps[:, MEASURED].detach())], 1)
            with self._arithmetic(mosaic):
                g = self.noise(seen)
            with torch.autocast(mosaic.device.type, enabled=False):
                maps = torch.cat([maps, self.noise_last(g.to(maps.dtype))], 1)
        dy, log_lam, log_alpha, log_beta = _whole(maps, x_tilde).chunk(4, 1)

        def positive(log: Tensor, offset: float | Tensor) -> Tensor:
            return (log + offset).clamp(*LOGS).exp()

        return JDDOutput(
            x_tilde + dy,
            positive(log_lam, math.log(self.lam)),
            positive(log_alpha, math.log(self.pairs)),
            positive(log_beta, self.log_beta),
        )

    def mean(self, mosaic: Tensor) -> Tensor:
        """The mean alone, `(B, 3, H, W)`, for less."""
        x_tilde = demosaick(mosaic, "bilinear")
        return x_tilde + _whole(self._trunk(mosaic)[1], x_tilde)[:, :3]

    def _trunk(self, mosaic: Tensor) -> tuple[Tensor, Tensor]:
        """The packed mosaic, mirrored to the stride, and the maps of the last convolution, at its resolution."""
        packed = F.pixel_unshuffle(_even(mosaic, self.stride), 2).contiguous(memory_format=torch.channels_last)
        with self._arithmetic(mosaic):
            first = self.head(packed)
            h = self.up(self.body(self.down(first))) + first
        with torch.autocast(mosaic.device.type, enabled=False):
            return packed, self.last(h.to(self.last.weight.dtype))

    def _arithmetic(self, mosaic: Tensor) -> AbstractContextManager[None]:
        """Of the inner layers; while training, the training loop has chosen it already."""
        if self.training:
            return nullcontext()
        return torch.autocast(mosaic.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def _whole(maps: Tensor, like: Tensor) -> Tensor:
    """Packed maps at the resolution, and of the size and dtype, of a picture."""
    return F.pixel_shuffle(maps, 2)[..., : like.shape[2], : like.shape[3]].to(like.dtype)


def _levels(taken: Tensor) -> Tensor:
    """What tells noise from texture: nine logarithms of variances, about 0 for noise of level 8 (of 255).

    Of what the trunk took away from the samples `(B, 4, h, w)`: its power over 5 x 5, a colour at a time; the least of
    that over 9 x 9, which texture that the trunk does not know cannot raise; and the least over 13 x 13 of all colours
    together. Logarithms, as the maps are: from values alone, two small layers would have to learn the logarithm, whose
    slope is steepest where noise is weakest, and training would run away.
    """
    power = _mean_of(taken.square(), 5)
    parts = [power, _least(power, 9), _least(power.mean(1, keepdim=True), 13)]
    return (torch.cat(parts, 1) + FLOOR / 10).log() / 2 + 3.5


def _least(x: Tensor, window: int) -> Tensor:
    """Of each window, evened out over as large a one."""
    return _mean_of(-F.max_pool2d(-x, window, 1, window // 2), window)


def _mean_of(x: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)


def _even(mosaic: Tensor, stride: int) -> Tensor:
    """Mirrored at the bottom and right to multiples of the stride; mirroring about a pixel keeps the CFA's phase."""
    height, width = mosaic.shape[2:]
    pad = (0, -width % stride, 0, -height % stride)
    return F.pad(mosaic, pad, mode="reflect") if any(pad) else mosaic


def tiled(
    net: WildJDD,
    mosaic: Tensor,
    tile: int = 512,
    keep: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    reach: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, ...]:
    """`keep(mosaic)` tile by tile, equal to rounding: origins on the stride, halos of the reach, clipped at borders.

    `keep` makes maps `(B, C, H, W)` out of a piece that see no further than `reach`, so that no more than those is
    held; by default all four of the posterior.
    """
    if tile < 1:
        raise InputError(f"tile must be at least 1 pixel, got {tile}")
    make = keep or (lambda piece: tuple(net(piece)))
    step, halo = (-(-n // net.stride) * net.stride for n in (tile, net.reach if reach is None else reach))
    height, width = mosaic.shape[2:]
    wholes: tuple[Tensor, ...] = ()
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(top + step, height), min(left + step, width)
            a, b = max(top - halo, 0), max(left - halo, 0)
            parts = make(mosaic[..., a : min(bottom + halo, height), b : min(right + halo, width)])
            if not wholes:
                wholes = tuple(p.new_empty(*p.shape[:2], height, width) for p in parts)
            for whole, part in zip(wholes, parts, strict=True):
                whole[..., top:bottom, left:right] = part[..., top - a : bottom - a, left - b : right - b]
            if progress is not None:
                progress(top * width + (bottom - top) * right, height * width)
    return wholes
