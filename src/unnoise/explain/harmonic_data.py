"""Pictures of known geometry, (n, 1, H, W) in [0, 1]: C-alpha images and low-dimensional families.

Source: 2310.02557, appendix E, and its code.
Picture i is made from `(seed, i)`, the same whatever n.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.seeds import generator


def c_alpha(
    n: int, alpha: float, beta: float | None = None, size: int = 80, blur: tuple[int, int] = (2, 2), seed: int = 0
) -> Tensor:
    """Two backgrounds of regularity beta on either side of a contour of regularity alpha.

    Parameters
    ----------
    alpha, beta : decay exponents of the Fourier coefficients of contour and backgrounds; beta is alpha unless told.
    blur : size of the box that softens the edge.

    Raises
    ------
    InputError : n or size below 1, alpha or beta not positive.
    """
    beta = alpha if beta is None else beta
    if n < 1 or size < 2 or alpha <= 0 or beta <= 0:
        raise InputError("C-alpha images need n >= 1, size >= 2 and positive exponents")
    return torch.stack([_c_alpha(alpha, beta, size, blur, generator(seed, i)) for i in range(n)])


def _c_alpha(alpha: float, beta: float, size: int, blur: tuple[int, int], g: torch.Generator) -> Tensor:
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    line = f.abs()
    line[0] = line[1]  # the mean gets its neighbour's weight
    u = 2 * torch.rand(size, generator=g, dtype=torch.float64) - 1
    contour = torch.fft.ifft(torch.fft.fft(u) / (size * line) ** alpha).real
    edge = (contour * size).round() + size / 2
    grounds = background(2, beta, size, g)
    # one of the grounds is bright, the other dark, each in a range of its own
    r = torch.rand(2, generator=g, dtype=torch.float64)
    low = torch.stack([r[0], torch.zeros(())])
    high = torch.stack([torch.ones((), dtype=torch.float64), r[1]])
    if float(torch.rand((), generator=g)) < 0.5:
        low, high = low.flip(0), high.flip(0)
    grounds = low[:, None, None] + (high - low)[:, None, None] * _unit(grounds)
    mask = (torch.arange(size, dtype=torch.float64)[:, None] >= edge).double()
    padded = F.pad(mask[None, None], (0, blur[1] - 1, 0, blur[0] - 1), mode="reflect")
    mask = F.avg_pool2d(padded, blur, stride=1)[0, 0]
    return (mask * grounds[0] + (1 - mask) * grounds[1]).float()[None]


def background(n: int, beta: float, size: int, g: torch.Generator) -> Tensor:
    """Uniform white noise whose Fourier coefficients are divided by `(N |f|)**beta`, (n, size, size), float64."""
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    plane = (f[:, None] ** 2 + f**2).sqrt()
    plane[0, 0] = plane[0, 1]
    u = 2 * torch.rand(n, size, size, generator=g, dtype=torch.float64) - 1
    return torch.fft.ifft2(torch.fft.fft2(u) / (size * plane) ** beta).real


def _unit(x: Tensor) -> Tensor:
    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-12)


def disks(n: int, size: int = 80, seed: int = 0, softness: float = 1.0) -> Tensor:
    """Disks: centre, radius and both gray levels at random, five parameters.

    Centres lie in the middle three quarters, radii between a sixteenth of the size and the distance to the border. The
    edge is a ramp of `softness` pixels, so that the picture is a smooth function of its parameters.
    """
    return disk(*disk_parameters(n, size, seed), size, softness)


def disk_parameters(n: int, size: int = 80, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `disks` draws: centres (n, 2) and radii (n,) in pixels, gray levels inside and outside (n,), float64."""
    x = torch.empty(n, 5, dtype=torch.float64)
    for i in range(n):
        x[i] = torch.rand(5, generator=generator(seed, i), dtype=torch.float64)
    centre = size / 8 + x[:, :2] * (size - 1 - size / 4)
    least = size / 16
    most = torch.minimum(centre, size - 1 - centre).amin(1)
    return centre, least + x[:, 2] * (most - least), x[:, 3], x[:, 4]


def disk(centre: Tensor, radius: Tensor, inside: Tensor, outside: Tensor, size: int, softness: float = 1.0) -> Tensor:
    """Disks of given parameters: centre (n, 2) as row and column in pixels, the others (n,); differentiable."""
    at = torch.arange(size, dtype=centre.dtype)
    rows, columns = at[None, :, None] - centre[:, :1, None], at[None, None] - centre[:, 1:, None]
    distance = (rows**2 + columns**2 + 1e-12).sqrt()  # a gradient at the centre, too
    share = torch.sigmoid((radius[:, None, None] - distance) * (4 / softness))
    return (outside[:, None, None] + (inside - outside)[:, None, None] * share).float()[:, None]


def ray(x: Tensor, n: int, seed: int = 0) -> Tensor:
    """One picture (1, H, W) times random factors in (0, 1): a ray, one dimension."""
    factors = torch.stack([torch.rand((), generator=generator(seed, i)) for i in range(n)])
    return factors[:, None, None, None] * x


def sine_cone(n: int, size: int = 80, seed: int = 0) -> Tensor:
    """A sine of one period across the picture's diagonal, phase and intensity at random: a cone of two dimensions."""
    at = torch.arange(size) / size
    u = torch.stack([torch.rand(2, generator=generator(seed, i)) for i in range(n)])
    angle = 2 * math.pi * (at[:, None] + at + u[:, :1, None])
    return (u[:, 1:, None] * (0.5 + 0.5 * torch.sin(angle)))[:, None]


def shuffle_pixels(x: Tensor, seed: int = 0) -> Tensor:
    """The same permutation of the pixels of every picture (n, C, H, W)."""
    order = torch.randperm(x.shape[-1] * x.shape[-2], generator=generator(seed))
    return x.flatten(2)[..., order].reshape(x.shape)
