"""Structural similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unnoise.errors import InputError
from unnoise.metrics.arrays import samples

if TYPE_CHECKING:
    from torch import Tensor


def ssim(
    x_hat: NDArray[Any] | Tensor,
    x: NDArray[Any] | Tensor,
    data_range: float = 1.0,
    clip: bool = True,
    border: int = 0,
    sigma: float | None = 1.5,
) -> float:
    """Mean structural similarity, at most 1, of a picture or over a batch.

    Wang et al. 2004 as its authors computed it and the field reports it: Gaussian window of standard deviation
    1.5 and 11 x 11 pixels, K1 = 0.01, K2 = 0.03, moments with the window's weights, mean over the positions at
    which the window lies inside the picture, and over the channels. Computed by `skimage.metrics` in float64;
    torchmetrics gives the same map but averages over reflected borders too, up to 0.001 more or less.

    Parameters
    ----------
    x_hat, x : estimate and truth of one shape: numpy (H, W) or (H, W, C), torch (C, H, W) or (B, C, H, W).
    data_range : the value that means white.
    clip : clip the estimate to [0, data_range].
    border : pixels left out at each side before anything else.
    sigma : of the window, whose radius is `int(3.5 * sigma + 0.5)`; `None` for an even window of 7 x 7 with sample
        covariances, which is scikit-image's default and what papers on raw denoising report.

    Raises
    ------
    InputError : shapes that differ, or a picture smaller than the window.

    Examples
    --------
    >>> ssim(np.ones((16, 16)), np.ones((16, 16)))
    1.0
    """
    from skimage.metrics import structural_similarity

    ((a, b),) = samples(x_hat, x, False, border)
    height, width = a.shape[:2]
    window = 7 if sigma is None else 2 * int(3.5 * sigma + 0.5) + 1
    if min(height, width) < window:
        raise InputError(f"a picture of {height} x {width} pixels is smaller than the window of {window}")
    estimate, truth = (v.astype(np.float64).reshape(height, width, -1) for v in (a, b))
    if clip:
        np.clip(estimate, 0, data_range, out=estimate)
    value = structural_similarity(
        estimate,
        truth,
        data_range=data_range,
        gaussian_weights=sigma is not None,
        sigma=sigma or 0.0,
        win_size=window,
        use_sample_covariance=sigma is None,
        channel_axis=2,
    )
    return float(value)
