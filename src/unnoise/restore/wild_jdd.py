"""Wild-JDD: a Bayer mosaic to a clean RGB picture in one pass, trained under uncertainty of its references.

The reference y is an uncertain observation of the clean z: `s ~ IG(alpha, beta)`, `z | s ~ N(y, s / lambda)`, and the
interpolated input `x~ | z, s ~ N(z, s)`. The network gives the posterior `q(z, s)` of the same form. Source: Chen, Wen,
Chan 2021, "Joint demosaicking and denoising in the wild: the case of training under ground truth uncertainty", AAAI,
arXiv 2101.04442; closed forms derived, and the network defined, here: the paper's widths are not public.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
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
    """Squared difference smoothed by a Gaussian window of spatial deviation `(window - 1) / 2`; mirrored borders.

    Takes the interpolation error along, so it is larger at edges: not the sensor's noise alone.
    """
    if window < 3 or window % 2 == 0:
        raise InputError(f"the window must be odd and at least 3, got {window}")
    r = window // 2
    k = torch.exp(-0.5 * (torch.arange(-r, r + 1, dtype=x_tilde.dtype, device=x_tilde.device) / r) ** 2)
    k = k / k.sum()
    channels = x_tilde.shape[1]
    e = F.pad((x_tilde - y).square(), (r, r, r, r), mode="reflect")
    e = F.conv2d(e, k.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(e, k.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


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
        network of their own, better for small trunks, which sees the mosaic and the logarithm of its local variance.
    precision : "bfloat16" or "float32" arithmetic inside when not training; the last convolutions and the sum are
        always float32. `None`: what `restore.photo.fast_precision` says.

    Attributes
    ----------
    stride, reach : pixel grid of equivariance and receptive-field radius.
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
            small = max(8, width // 2)
            self.noise = nn.Sequential(nn.Conv2d(8, small, 3, padding=1), nn.ReLU())
            self.noise_last = nn.Conv2d(small, 36, 3, padding=1)
            layers.append(self.noise_last)
        for layer in layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
        self.register_buffer("log_beta", torch.zeros(()))
        self.stride = 4 if groups else 2
        inner = 2 * groups * blocks * convs + 4 if groups else 2 * blocks
        # in packed pixels, head and last convolution included; a packed pixel is two, of which either may be the edge
        self.reach = 2 * (inner + 2) + 2
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
        height, width = mosaic.shape[2:]
        padded = _even(mosaic, self.stride)
        packed = F.pixel_unshuffle(padded, 2).contiguous(memory_format=torch.channels_last)
        device, fast = mosaic.device.type, self.precision == "bfloat16"
        # while training, the training loop has chosen the arithmetic already
        with nullcontext() if self.training else torch.autocast(device, torch.bfloat16, enabled=fast):
            first = self.head(packed)
            h = self.up(self.body(self.down(first))) + first
            g = self.noise(torch.cat([packed, _log_variance(packed)], 1)) if self.separate else None
        with torch.autocast(device, enabled=False):
            maps = self.last(h.to(self.last.weight.dtype))
            if g is not None:
                maps = torch.cat([maps, self.noise_last(g.to(maps.dtype))], 1)
        maps = F.pixel_shuffle(maps, 2)[..., :height, :width].to(x_tilde.dtype)
        dy, log_lam, log_alpha, log_beta = maps.chunk(4, 1)

        def positive(log: Tensor, offset: float | Tensor) -> Tensor:
            return (log + offset).clamp(*LOGS).exp()

        return JDDOutput(
            x_tilde + dy,
            positive(log_lam, math.log(self.lam)),
            positive(log_alpha, math.log(self.pairs)),
            positive(log_beta, self.log_beta),
        )


def _log_variance(packed: Tensor) -> Tensor:
    """Logarithm of the variance of each colour over 3 x 3 samples, about 0 for noise of level 8 (of 255).

    The maps are logarithms of variances: from values alone, two small layers would have to learn the logarithm, whose
    slope is steepest where noise is weakest, and training would run away.
    """
    planes = F.pad(packed, (1, 1, 1, 1), mode="replicate")
    mean, square = F.avg_pool2d(planes, 3, 1), F.avg_pool2d(planes.square(), 3, 1)
    return ((square - mean.square()).clamp(min=0) + FLOOR / 10).log() / 2 + 3.5


def _even(mosaic: Tensor, stride: int) -> Tensor:
    """Mirrored at the bottom and right to multiples of the stride; mirroring about a pixel keeps the CFA's phase."""
    height, width = mosaic.shape[2:]
    pad = (0, -width % stride, 0, -height % stride)
    return F.pad(mosaic, pad, mode="reflect") if any(pad) else mosaic


Parts = Callable[[JDDOutput, Tensor], tuple[Tensor, ...]]


def tiled(
    net: WildJDD,
    mosaic: Tensor,
    tile: int = 512,
    keep: Parts = lambda out, mosaic: tuple(out),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, ...]:
    """`keep(net(mosaic), mosaic)` tile by tile, equal to rounding: origins on the stride, halos of the reach, clipped
    at borders. `keep` makes maps `(B, C, H, W)` out of the posterior, so that no more than those is held."""
    if tile < 1:
        raise InputError(f"tile must be at least 1 pixel, got {tile}")
    step, halo = (-(-n // net.stride) * net.stride for n in (tile, net.reach))
    height, width = mosaic.shape[2:]
    wholes: tuple[Tensor, ...] = ()
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(top + step, height), min(left + step, width)
            a, b = max(top - halo, 0), max(left - halo, 0)
            piece = mosaic[..., a : min(bottom + halo, height), b : min(right + halo, width)]
            parts = keep(net(piece), piece)
            if not wholes:
                wholes = tuple(p.new_empty(*p.shape[:2], height, width) for p in parts)
            for whole, part in zip(wholes, parts, strict=True):
                whole[..., top:bottom, left:right] = part[..., top - a : bottom - a, left - b : right - b]
            if progress is not None:
                progress(top * width + (bottom - top) * right, height * width)
    return wholes
