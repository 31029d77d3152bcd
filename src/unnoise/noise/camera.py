"""The camera as a noise model for sRGB photographs: back to the sensor, noise there, and forward again.

A picture is taken back to linear camera colours, mosaicked, given photon and read-out noise, demosaicked, white
balanced, brought to sRGB, smoothed and sharpened as cameras do, resized and stored as JPEG. What comes out has the
noise of real photographs: dependent on the signal, correlated over pixels and channels, with JPEG on top.
Source: Brooks et al. 2019, "Unprocessing images for learned raw denoising", section 3 (colour matrices, gains, tone
curve, noise line); the smoothing, sharpening, resizing and JPEG steps are ours, fitted to what cameras deliver.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.models import Jpeg
from unnoise.noise.seeds import Randomness, normal_like, poisson_like

Range = tuple[float, float]

# XYZ to camera colours of four cameras (Brooks et al., released code), and linear sRGB to XYZ (D65).
_XYZ_TO_CAMERA = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.6130, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.8380, -0.2630, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.0970, 0.1581, 0.5181)),
)
_RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


@dataclass(frozen=True)
class CameraParameters:
    """One camera and one exposure; noise in units of the white level of linear raw data.

    The raw value x has variance `shot * x + read**2`. `rgb_to_camera` has rows that sum to one. Widths are standard
    deviations in pixels; a strength or amount of 0 leaves the step out. `scale` is the sensor's pixels a pixel of
    the picture. `jpeg` is the quality, 0 for none.
    """

    shot: float
    read: float
    rgb_to_camera: tuple[tuple[float, ...], ...]
    gains: tuple[float, float, float]
    tone: bool
    demosaicking: str
    ideal_demosaicking: bool
    shift: tuple[int, int]
    width_fine: float
    smooth_luma: float
    width_luma: float
    smooth_chroma: float
    width_chroma: float
    chroma: float
    sharpen: float
    width_sharpen: float
    scale: float
    jpeg: int
    subsampling: str


@dataclass(frozen=True)
class CameraPipeline:
    """Ranges from which the camera of every sample is drawn, and the way of a picture through it.

    Attributes
    ----------
    shot : photon noise (variance a unit of raw signal), drawn log-uniformly; the read-out noise follows on the
        line `log(read**2) = 2.18 log(shot) + 1.20 + N(0, 0.26)` of Brooks et al.
    red, blue : white-balance gains; brightness : `1 / N(mean, std)` is the digital gain.
    tone_share : share of cameras with an S-shaped tone curve.
    bilinear_share : share of bilinear demosaicking, else gradient-corrected.
    ideal_share : share of cameras whose demosaicking restores the signal perfectly and filters only the noise.
    smooth_share : share of cameras that reduce noise: a fine kernel `width_fine` (pixels) on all of it, then the
        luma is mixed with strength `smooth_luma` with itself smoothed by `width_luma`, the chroma likewise with
        `smooth_chroma` and `width_chroma`, and `chroma` of it is left. Edges are taken as preserved: the smoothing
        acts on the noise.
    sharpen_share, sharpen, width_sharpen : unsharp masking.
    scale_share, scale : pictures not kept in sensor pixels; sensor pixels a picture pixel, log-uniform.
    jpeg_share, quality : pictures stored as JPEG, and its quality; 4:2:0 or 4:4:4 with equal chance.

    Examples
    --------
    >>> x = torch.rand(2, 3, 32, 32)
    >>> y, clean = CameraPipeline().pair(x, torch.Generator().manual_seed(0))
    >>> y.shape == clean.shape == x.shape
    True
    """

    shot: Range = (1e-4, 3e-2)
    red: Range = (1.6, 2.4)
    blue: Range = (1.4, 2.0)
    brightness: Range = (0.8, 0.1)
    tone_share: float = 0.6
    bilinear_share: float = 0.3
    ideal_share: float = 0.5
    smooth_share: float = 0.92
    width_fine: Range = (0.4, 1.0)
    smooth_luma: Range = (0.0, 0.5)
    width_luma: Range = (0.6, 4.0)
    smooth_chroma: Range = (0.85, 1.0)
    width_chroma: Range = (1.3, 4.0)
    chroma: Range = (0.4, 1.2)
    sharpen_share: float = 0.3
    sharpen: Range = (0.1, 0.8)
    width_sharpen: Range = (0.6, 1.5)
    scale_share: float = 0.25
    scale: Range = (0.75, 1.6)
    jpeg_share: float = 0.6
    quality: tuple[int, int] = (75, 100)

    def draw(self, generator: torch.Generator | None = None) -> CameraParameters:
        """One camera."""
        device = "cpu" if generator is None else generator.device
        uniform = iter(torch.rand(32, generator=generator, device=device, dtype=torch.float64).tolist())
        read_off, gain_off = torch.randn(2, generator=generator, device=device, dtype=torch.float64).tolist()

        def between(bounds: Range) -> float:
            return bounds[0] + (bounds[1] - bounds[0]) * next(uniform)

        def log_between(bounds: Range) -> float:
            return math.exp(between((math.log(bounds[0]), math.log(bounds[1]))))

        def chance(share: float) -> bool:
            return next(uniform) < share

        shot = log_between(self.shot)
        weights = [next(uniform) + 1e-8 for _ in _XYZ_TO_CAMERA]
        gain = 1 / max(0.4, self.brightness[0] + self.brightness[1] * gain_off)
        smooth, sharpen, resize = chance(self.smooth_share), chance(self.sharpen_share), chance(self.scale_share)
        stored = chance(self.jpeg_share)
        return CameraParameters(
            shot=shot,
            read=math.exp(0.5 * (2.18 * math.log(shot) + 1.20 + 0.26 * read_off)),
            rgb_to_camera=_colour_matrix(weights),
            gains=(gain * between(self.red), gain, gain * between(self.blue)),
            tone=chance(self.tone_share),
            demosaicking="bilinear" if chance(self.bilinear_share) else "malvar",
            ideal_demosaicking=chance(self.ideal_share),
            shift=(int(chance(0.5)), int(chance(0.5))),
            width_fine=between(self.width_fine) * smooth,
            smooth_luma=between(self.smooth_luma) * smooth,
            width_luma=log_between(self.width_luma),
            smooth_chroma=between(self.smooth_chroma) * smooth,
            width_chroma=log_between(self.width_chroma),
            chroma=between(self.chroma) if smooth else 1.0,
            sharpen=between(self.sharpen) * sharpen,
            width_sharpen=between(self.width_sharpen),
            scale=log_between(self.scale) if resize else 1.0,
            jpeg=round(between(self.quality)) * stored,
            subsampling="4:2:0" if chance(0.5) else "4:4:4",
        )

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """A photograph of x, `(B, 3, H, W)` sRGB in [0, 1], every sample by its own camera."""
        return self.pair(x, generator)[0]

    def pair(self, x: Tensor, generator: Randomness = None) -> tuple[Tensor, Tensor]:
        """`(y, x_clean)`: photographs of x, and what the same cameras make of x without noise and JPEG.

        Parameters
        ----------
        x : `(B, 3, H, W)` sRGB in [0, 1], sizes at least 8.
        generator : one for the batch, or a list of one a sample.

        Returns
        -------
        Two tensors of x's shape, in [0, 1]; y holds 8-bit values.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < 8:
            raise InputError(f"a camera takes RGB pictures (B, 3, H, W) of 8 pixels or more, got {tuple(x.shape)}")
        sources = generator if isinstance(generator, Sequence) else [generator] * len(x)
        shots = [photograph(p[None], self.draw(g), g) for p, g in zip(x, sources, strict=True)]
        return torch.cat([y for y, _ in shots]), torch.cat([c for _, c in shots])


def photograph(x: Tensor, camera: CameraParameters, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """One picture `(1, 3, H, W)` through one camera: `(y, x_clean)`, see `CameraPipeline.pair`."""
    size = x.shape[2:]
    if camera.scale != 1:
        x = _resize(x, [max(8, round(n * camera.scale)) for n in size])
    linear = unprocess(x, camera)
    clean_raw = mosaic(linear.roll(camera.shift, (2, 3)))
    noise = _sensor_noise(clean_raw, camera, generator)
    clean = linear
    if not camera.ideal_demosaicking:
        clean = demosaick(clean_raw, camera.demosaicking).roll((-camera.shift[0], -camera.shift[1]), (2, 3))
    noise = demosaick(noise, camera.demosaicking).roll((-camera.shift[0], -camera.shift[1]), (2, 3))
    # half the difference: a tone curve makes noise brighten or darken on average, and a picture whose brightness a
    # denoiser corrects by what a simulation says of that is worse than one left as it is
    clean, above, below = process(torch.cat([clean, clean + noise, clean - noise]), camera).chunk(3)
    noisy = clean + _reduce_noise((above - below) / 2, camera)
    if camera.sharpen > 0 or camera.scale != 1:
        both = torch.cat([clean, noisy])
        if camera.sharpen > 0:
            both = both + camera.sharpen * (both - _blur(both, camera.width_sharpen))
        if camera.scale != 1:
            both = _resize(both.clamp(0, 1), size)
        clean, noisy = both.chunk(2)
    clean, noisy = clean.clamp(0, 1), noisy.clamp(0, 1)
    if camera.jpeg:
        return Jpeg(camera.jpeg, camera.subsampling).sample(noisy), clean
    return (noisy * 255).round() / 255, clean


def unprocess(x: Tensor, camera: CameraParameters) -> Tensor:
    """sRGB `(B, 3, H, W)` to linear camera colours: the inverse of `process`."""
    x = x.clamp(0, 1)
    if camera.tone:
        x = 0.5 - torch.sin(torch.asin(1 - 2 * x) / 3)
    x = x.clamp(min=1e-8) ** 2.2
    to_camera = _matrix(camera.rgb_to_camera, x) / torch.tensor(camera.gains, dtype=x.dtype, device=x.device)[:, None]
    return torch.einsum("ij,bjhw->bihw", to_camera, x)


def process(linear: Tensor, camera: CameraParameters) -> Tensor:
    """Linear camera colours to sRGB: white balance, colour matrix, gamma, tone curve; clipped to [0, 1]."""
    gains = torch.tensor(camera.gains, dtype=linear.dtype, device=linear.device)
    balanced = (linear * gains[:, None, None]).clamp(0, 1)
    to_rgb = torch.linalg.inv(_matrix(camera.rgb_to_camera, linear).double()).to(linear.dtype)
    x = torch.einsum("ij,bjhw->bihw", to_rgb, balanced).clamp(1e-8, 1) ** (1 / 2.2)
    return x * x * (3 - 2 * x) if camera.tone else x


def _colour_matrix(weights: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Mixed colour matrix, linear sRGB to white-balanced camera colours, rows summing to one."""
    mixed = (torch.tensor(_XYZ_TO_CAMERA, dtype=torch.float64) * torch.tensor(weights)[:, None, None]).sum(0)
    m = mixed @ torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)
    return tuple(tuple(row) for row in (m / m.sum(1, keepdim=True)).tolist())


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def _sensor_noise(raw: Tensor, camera: CameraParameters, generator: torch.Generator | None) -> Tensor:
    x = raw.clamp(min=0)
    photons = poisson_like(x / camera.shot, generator) * camera.shot - x
    # the sensor clips at its white level, here on both sides alike so that the mean stays; the black level leaves room
    room = 1 - raw.clamp(max=1)
    return (photons + camera.read * normal_like(raw, generator)).clamp(-room, room)


def _reduce_noise(noise: Tensor, camera: CameraParameters) -> Tensor:
    if camera.smooth_luma == 0 and camera.smooth_chroma == 0 and camera.width_fine == 0 and camera.chroma == 1:
        return noise
    if camera.width_fine > 0.25:  # a narrower kernel is a single pixel
        noise = _blur(noise, camera.width_fine)
    luma = (noise[:, 0:1] + 2 * noise[:, 1:2] + noise[:, 2:3]) / 4
    red_blue = noise[:, 0::2] - luma
    luma = torch.lerp(luma, _blur(luma, camera.width_luma), camera.smooth_luma)
    red_blue = camera.chroma * torch.lerp(red_blue, _blur(red_blue, camera.width_chroma), camera.smooth_chroma)
    green = -0.5 * red_blue.sum(1, keepdim=True)  # the chroma part of the luma is zero
    return luma + torch.cat([red_blue[:, :1], green, red_blue[:, 1:]], 1)


def _blur(x: Tensor, width: float) -> Tensor:
    """Gaussian blur with kernels renormalised at the border; two products beat convolutions at the size of crops."""
    rows = _blur_matrix(x.shape[2], width, x)
    columns = rows if x.shape[2] == x.shape[3] else _blur_matrix(x.shape[3], width, x)
    return rows @ x @ columns.T


def _blur_matrix(n: int, width: float, like: Tensor) -> Tensor:
    offsets = torch.arange(1 - n, n, dtype=like.dtype, device=like.device) / width
    k = torch.exp(-0.5 * offsets.square()).unfold(0, n, 1).flip(0)  # Toeplitz
    return k / k.sum(1, keepdim=True)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
