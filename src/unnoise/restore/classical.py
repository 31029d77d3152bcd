"""Classical denoisers of well-kept libraries, with parameters from the noise level by measured rules.

The rules were measured on held-out training photographs of BSDS500 with Gaussian noise of 15, 25 and 50 levels of
255, and the results on the test sets are in docs/choosing.md.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unnoise.denoiser.base import Card
from unnoise.errors import InputError
from unnoise.restore.classical_base import Array, Classical, check, in_threads
from unnoise.restore.classical_dct import dct_matrix, mirrored

_ANY = (0.0, math.inf)


class NonLocalMeans(Classical):
    """Non-local means with mean patch distances (Darbon et al. 2008) corrected for the noise they contain.

    Channels are compared together, each in units of its own noise. The library's running sums are kept in
    float64: in float32 the rounding of a sum over a whole tile is larger than the distance of two patches.

    Parameters
    ----------
    patch_size : edge of the patches compared, in pixels.
    patch_distance : how far in rows and columns a patch may lie to be compared.
    h : decay of the weights in noise standard deviations.

    Source: Buades, Coll and Morel 2005; `skimage.restoration.denoise_nl_means`. OpenCV's `fastNlMeansDenoising`
    rounds to 8 bits and is worse at equal time.
    """

    def __init__(self, patch_size: int = 5, patch_distance: int = 6, h: float = 0.5) -> None:
        super().__init__()
        check("patch_size", patch_size, 1, whole=True)
        check("patch_distance", patch_distance, 1, whole=True)
        check("h", h, 1e-3)
        self.patch_size, self.patch_distance, self.h = patch_size, patch_distance, h
        self.card = Card(sigma_range=_ANY, value_range=None, reach=patch_distance + patch_size // 2)

    def picture(self, y: Array, sigma: Array) -> Array:
        """One picture (H, W, C); channels without noise are kept."""
        from skimage.restoration import denoise_nl_means

        noisy = sigma > 0
        out = y.copy()
        if not noisy.any():
            return out
        scale = sigma[noisy].astype(np.float64)
        unit = np.ascontiguousarray(y[..., noisy] / scale)
        reach = self.card.reach or 0
        parts = np.array_split(np.arange(len(y)), max(1, min(torch.get_num_threads(), len(y) // (4 * reach))))

        def rows(k: int) -> Array:
            first, last = parts[k][0], parts[k][-1] + 1
            top = max(first - reach, 0)
            clean = denoise_nl_means(
                unit[top : last + reach], self.patch_size, self.patch_distance, h=self.h, sigma=1.0, channel_axis=-1
            )
            return clean.reshape(-1, *unit.shape[1:])[first - top : last - top]

        out[..., noisy] = np.concatenate(in_threads(rows, len(parts))) * scale
        return out


class TotalVariation(Classical):
    """Total-variation denoising by a fixed number of Chambolle's iterations, channel by channel.

    The number is fixed (no stopping rule), so an iteration widens what a pixel sees by one and the reach is finite.
    RGB is denoised in an orthonormal basis of luminance and two colour differences.

    Parameters
    ----------
    weight : of the total variation, in noise standard deviations, for luminance and single channels.
    colour : the weight of the colour differences, in noise standard deviations.
    iterations : number of steps.

    Source: Chambolle 2004; `skimage.restoration.denoise_tv_chambolle`.
    """

    def __init__(self, weight: float = 0.65, colour: float = 1.6, iterations: int = 30) -> None:
        super().__init__()
        check("weight", weight, 1e-3)
        check("colour", colour, 1e-3)
        check("iterations", iterations, 1, whole=True)
        self.weight, self.colour, self.iterations = weight, colour, iterations
        self.card = Card(sigma_range=_ANY, value_range=None, reach=iterations)

    def picture(self, y: Array, sigma: Array) -> Array:
        """One picture (H, W, C)."""
        from skimage.restoration import denoise_tv_chambolle

        basis = dct_matrix(3).numpy() if y.shape[2] == 3 else np.eye(y.shape[2], dtype=np.float32)
        planes = np.ascontiguousarray(np.moveaxis(y @ basis.T, -1, 0))
        level = np.sqrt(np.square(basis) @ np.square(sigma))

        def plane(c: int) -> Array:
            weight = float(level[c]) * (self.weight if c == 0 or len(basis) != 3 else self.colour)
            if weight == 0:
                return planes[c]
            return denoise_tv_chambolle(planes[c], weight, eps=0, max_num_iter=self.iterations)

        return np.stack(in_threads(plane, len(planes)), -1) @ basis


class Wavelet(Classical):
    """BayesShrink of an orthonormal wavelet transform, averaged over shifts of the picture (cycle spinning).

    Thresholds come from the statistics of whole subbands: the result at a pixel depends on the whole picture, which
    therefore cannot be tiled. RGB is denoised as YCbCr.

    Parameters
    ----------
    wavelet : name in PyWavelets.
    shifts : number of diagonal shifts averaged; 1 for none.
    scale : noise level assumed relative to sigma.

    Source: Chang, Yu and Vetterli 2000; Coifman and Donoho 1995; `skimage.restoration.denoise_wavelet`.
    """

    def __init__(self, wavelet: str = "db1", shifts: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        import pywt

        if wavelet not in pywt.wavelist(kind="discrete"):
            raise InputError(f"unknown wavelet '{wavelet}': use one of pywt.wavelist(), for instance db2 or sym4")
        check("shifts", shifts, 1, whole=True)
        check("scale", scale, 1e-3)
        self.wavelet, self.shifts, self.scale = wavelet, shifts, scale
        self.card = Card(sigma_range=_ANY, value_range=None)

    def picture(self, y: Array, sigma: Array) -> Array:
        """One picture (H, W, C)."""
        from skimage.restoration import denoise_wavelet

        if not sigma.any() or min(y.shape[:2]) < 2:
            return y.copy()
        colour = y.shape[2] == 3

        def shifted(k: int) -> Array:
            clean = denoise_wavelet(
                np.roll(y, (k, k), (0, 1)),
                sigma=[self.scale * float(s) for s in sigma],
                wavelet=self.wavelet,
                convert2ycbcr=colour,
                channel_axis=-1,
            )
            return np.roll(clean, (-k, -k), (0, 1))

        return np.stack(in_threads(shifted, self.shifts)).mean(0, dtype=np.float32)


class Bilateral(Classical):
    """Means over near pixels, weighted by closeness in place and in colour.

    Parameters
    ----------
    spatial : standard deviation in pixels of the weight of place; the window ends at two of them.
    colour : standard deviation of the weight of colour distance, in noise standard deviations.

    Source: Tomasi and Manduchi 1998; `cv2.bilateralFilter`. Other than RGB is filtered channel by channel.
    """

    def __init__(self, spatial: float = 1.5, colour: float = 3.0) -> None:
        super().__init__()
        check("spatial", spatial, 0.1)
        check("colour", colour, 1e-3)
        self.spatial, self.colour, self.radius = spatial, colour, max(1, math.ceil(2 * spatial))
        self.card = Card(sigma_range=_ANY, value_range=None, reach=self.radius)

    def picture(self, y: Array, sigma: Array) -> Array:
        """One picture (H, W, C); channels without noise are kept."""
        import cv2

        out = y.copy()
        noisy = np.flatnonzero(sigma > 0)
        groups = [noisy] if len(noisy) == 3 else [noisy[k : k + 1] for k in range(len(noisy))]
        for group in groups:
            unit = np.ascontiguousarray(y[..., group] / sigma[group])
            # OpenCV adds the absolute differences of the channels
            width = self.colour * (1.0 if len(group) == 1 else 1.5)
            clean = cv2.bilateralFilter(unit, 2 * self.radius + 1, width, self.spatial)
            out[..., group] = clean.reshape(unit.shape) * sigma[group]
        return out


class Median(Classical):
    """Replaces impulses by the median of the sound pixels near them.

    Parameters
    ----------
    selective : change only pixels that `noise.impulse_mask` flags; otherwise every pixel becomes the median of its
        window, which also takes fine detail.
    size : edge of the window in pixels, 3 or 5. A flagged pixel with no sound one in the window gets the median
        of the whole 5 x 5 window.

    Source: switching median, Sun and Neuvo 1994; `cv2.medianBlur`.
    """

    def __init__(self, selective: bool = True, size: int = 3) -> None:
        super().__init__()
        if size not in (3, 5):
            raise InputError(f"size of the median window must be 3 or 5, got {size}")
        self.selective, self.size = selective, size
        self.card = Card(value_range=None, reach=4 if selective else size // 2)

    def picture(self, y: Array, sigma: Array) -> Array:
        """One picture (H, W, C), channel by channel."""
        if not self.selective:
            import cv2

            return np.stack([cv2.medianBlur(np.ascontiguousarray(y[..., c]), self.size) for c in range(y.shape[2])], -1)
        from unnoise.noise.estimate import impulse_mask

        planes = torch.from_numpy(y).permute(2, 0, 1)[None]
        mask = impulse_mask(planes)
        return median_of_sound(planes, mask, self.size)[0].permute(1, 2, 0).numpy()


def median_of_sound(y: Tensor, mask: Tensor, size: int = 3) -> Tensor:
    """y (B, C, H, W) with the pixels where `mask` is true replaced by the median of the others in their window.

    A window without sound pixels grows to 5 x 5, and there the median of all is taken if none is sound either.

    >>> y = torch.tensor([[[[0.2, 0.3, 0.4], [0.2, 1.0, 0.4], [0.2, 0.3, 0.4]]]])
    >>> float(median_of_sound(y, y == 1)[0, 0, 1, 1])
    0.30000001192092896
    """
    out = y.clone()
    b, c, i, j = mask.nonzero(as_tuple=True)
    if not len(b):
        return out
    rows, cols = mirrored(y.shape[2], 2, 2), mirrored(y.shape[3], 2, 2)
    d = torch.arange(5)
    near = (b[:, None, None], c[:, None, None], rows[i[:, None] + d][..., None], cols[j[:, None] + d][:, None, :])
    values, bad = y[near], mask[near]
    cut = (5 - size) // 2
    small = bad.clone()
    small[:, :cut], small[:, 5 - cut :], small[:, :, :cut], small[:, :, 5 - cut :] = True, True, True, True
    small, bad = small.flatten(1), bad.flatten(1)
    skip = torch.where(small.all(1, keepdim=True), bad & ~bad.all(1, keepdim=True), small)
    ordered = values.flatten(1).masked_fill(skip, math.inf).sort(1).values
    count = (~skip).sum(1, keepdim=True)
    middle = ordered.gather(1, (count - 1) // 2) + ordered.gather(1, count // 2)
    out[b, c, i, j] = middle[:, 0] / 2
    return out
