"""A camera's noise from dark ("bias") frames and evenly lit ("flat") frames: photon transfer, rows, read-out.

Source: Wei et al. 2020, section 4; the gain from differences of two frames as in EMVA 1288 release 3.1, section 6,
which leaves out what is the same in both: fixed pattern and uneven light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.errors import InputError, unknown
from unnoise.noise.sensor import CameraNoise, Line
from unnoise.noise.tukey import fit_shape, probability_plot, standard_deviation, thinned

Array = NDArray[np.float64]
Frames = Sequence[NDArray[Any]]

METHODS = ("pairs", "spatial")
SATURATION = 0.7  # of the brightest level that is not clipped; above it the response bends
ENOUGH = 16  # frames from which their mean is the fixed pattern; that of fewer holds their noise, and softens its tails
LIT = 0.05  # of the brightest flat, from which a dark frame is none
CLIPPED = 0.01  # share of pixels at an end of the scale from which a frame tells nothing
BAYER = {"RGGB": (0, 1, 2, 3), "GRBG": (1, 0, 3, 2), "GBRG": (2, 3, 0, 1), "BGGR": (3, 2, 1, 0)}
"""Bayer order -> place in the 2 x 2 cell, row by row, of R, the green beside R, the green beside B, and B."""


@dataclass(frozen=True)
class IsoFit:
    """What was found at one ISO; DN unless said otherwise.

    Attributes
    ----------
    gain : K, from the line through the dark point; slope, intercept : of the line with a free intercept.
    mean, variance : the photon transfer points, dark level subtracted; used : which of them the line went through.
    black : level of no light; bias : channel offsets from it.
    read, shape, row, gauss, column : one a frame, in the sense of `SensorNoise`; with 16 or more bias frames of the
        noise alone, with fewer of noise and fixed pattern together.
    normality : Shapiro-Wilk p of the row means of the first frame.
    row_correlation : of the means of neighbouring rows, which the model takes as 0.
    fit_tukey, fit_normal : squared correlations of the probability plots of the first frame.
    residual : order statistics and probabilities of the first frame, rows removed; rows : its row means; spectrum :
        its `spectrum`.
    """

    iso: float
    gain: float
    slope: float
    intercept: float
    mean: Array
    variance: Array
    used: NDArray[np.bool_]
    black: float
    bias: tuple[float, ...]
    read: Array
    shape: Array
    row: Array
    gauss: Array
    column: Array
    normality: float
    row_correlation: float
    fit_tukey: float
    fit_normal: float
    residual: tuple[Array, Array]
    rows: Array
    spectrum: Array

    def to_row(self) -> dict[str, float]:
        """The line of the table that the camera file keeps."""
        return {
            "iso": self.iso,
            "gain": self.gain,
            "gain_free_intercept": self.slope,
            "intercept": self.intercept,
            "black": self.black,
            "read": float(self.read.mean()),
            "shape": float(self.shape.mean()),
            "row": float(self.row.mean()),
            "gauss": float(self.gauss.mean()),
            "column": float(self.column.mean()),
            "row_normality_p": self.normality,
            "row_correlation": self.row_correlation,
            "fit_tukey": self.fit_tukey,
            "fit_normal": self.fit_normal,
        }


def calibrate(
    bias: Mapping[float, Frames],
    flats: Mapping[float, Sequence[Frames]],
    *,
    name: str = "camera",
    pattern: str = "mono",
    black: float | None = None,
    white: float | None = None,
    method: str = "pairs",
    debias: bool = True,
) -> tuple[CameraNoise, list[IsoFit]]:
    """The noise of a camera from its own frames.

    Parameters
    ----------
    bias : ISO -> dark frames (H, W), at least two, in DN.
    flats : ISO -> exposures, each the frames (H, W) of one exposure of an evenly lit surface.
    pattern : Bayer order of the frames, or "mono".
    black : nominal DN of no light; `None`: the mean of the bias frames.
    white : DN of saturation; `None`: the largest value that any frame holds.
    method : "pairs" takes the gain from differences of two frames of an exposure, "spatial" from the variance within
        single frames, which fixed pattern makes too large.
    debias : take sampling noise out of the row and column deviations, and rounding out of the read noise, which
        `SensorNoise` adds again.

    Returns
    -------
    The camera, and what was found at each ISO in ascending order.

    Raises
    ------
    InputError : frames that cannot be used, naming the numbers: mixed sizes, bias frames that are lit or clipped, one
        frame where two are needed, saturated flats, fewer than two brightness levels, an ISO with only one kind.
    """
    if method not in METHODS:
        raise unknown("calibration method", method, METHODS)
    if pattern != "mono" and pattern not in BAYER:
        raise unknown("Bayer order", pattern, ["mono", *BAYER])
    _check(bias, flats, pattern, method, black)
    top = max(float(np.max(f)) for groups in flats.values() for g in groups for f in g) if white is None else white
    fits = [_fit_iso(iso, bias[iso], flats[iso], pattern, black, top, method, debias) for iso in sorted(bias)]
    per_frame = [(math.log(f.gain), i, f) for f in fits for i in range(len(f.read))]
    log_gain = np.array([g for g, _, _ in per_frame])

    def line(attribute: str) -> Line:
        # a level that sampling noise pushed to 0 has no logarithm; a hundredth of a DN is nothing beside rounding
        y = np.log([max(float(getattr(f, attribute)[i]), 1e-2) for _, i, f in per_frame])
        return regression(log_gain, y)

    level = float(np.mean([f.black for f in fits])) if black is None else black
    camera = CameraNoise(
        name=name,
        pattern=pattern,
        black=level,
        white=top,
        gains=(min(f.gain for f in fits), max(f.gain for f in fits)),
        shapes=tuple(round(float(s), 4) for f in fits for s in f.shape),
        bias=tuple(f.bias for f in fits),
        read=line("read"),
        row=line("row"),
        gauss=line("gauss"),
        column=line("column"),
        table=tuple(f.to_row() for f in fits),
    )
    return camera, fits


def regression(log_gain: Array, y: Array) -> Line:
    """Least squares of y against log K; at a single gain the slope is 0 and the line goes through the mean.

    >>> regression(np.array([0.0, 1.0]), np.array([1.0, 1.5]))
    Line(slope=0.5, intercept=1.0, spread=0.0)
    """
    centred = log_gain - log_gain.mean()
    spread = float((centred**2).sum())
    slope = float((centred * y).sum()) / spread if spread > 1e-12 else 0.0
    intercept = float(y.mean() - slope * log_gain.mean())
    residual = y - slope * log_gain - intercept
    return Line(slope, intercept, float(np.sqrt((residual**2).mean())))


def photon_transfer(
    groups: Sequence[Frames], dark: Frames, pattern: str, white: float, method: str
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Mean and variance above the dark ones of every exposure and channel, and which lie below saturation.

    A variance is half that of the difference of two frames, or with "spatial" that within a frame.
    """
    mean, variance, clipped = [], [], []
    dark_channels = [_channels(np.asarray(f, np.float64), pattern) for f in dark]
    for group in groups:
        channels = [_channels(np.asarray(f, np.float64), pattern) for f in group]
        for c in range(len(channels[0])):
            stack, black = [f[c] for f in channels], [f[c] for f in dark_channels]
            mean.append(float(np.mean(stack) - np.mean(black)))
            variance.append(_variance(stack, method) - _variance(black, method))
            clipped.append(float(np.mean([(f >= white).mean() for f in stack])))
    m, v, share = np.array(mean), np.array(variance), np.array(clipped)
    sound = share <= CLIPPED
    if not sound.any():
        raise InputError(
            f"all {len(groups)} flat exposures clip: {share.min():.0%} or more of their pixels are at {white:g}; "
            "expose them shorter"
        )
    # the variance of a clipping pixel falls, so the brightest sound level marks saturation only where others clip
    limit = SATURATION * m[sound].max() if not sound.all() else m[sound].max()
    return m, v, sound & (m <= limit)


def temporal(frames: Frames) -> list[Array]:
    """Frames without what is the same in all of them, at the variance of one frame.

    >>> [f.tolist() for f in temporal([np.array([[1.0]]), np.array([[3.0]])])]
    [[[-1.4142135623730951]], [[1.4142135623730951]]]
    """
    stack = [np.asarray(f, np.float64) for f in frames]
    mean = sum(stack[1:], stack[0].copy()) / len(stack)
    return [(f - mean) * math.sqrt(len(stack) / (len(stack) - 1)) for f in stack]


def spectrum(frame: Array, block: int = 128) -> Array:
    """Centred power of the spatial frequencies of a frame, mean over blocks, 1 for white noise of its variance.

    Noise that sensor rows share is a bright vertical line through the centre, that of columns a horizontal one.
    """
    height, width = (min(n, block) for n in frame.shape)
    tops, lefts = (range(0, n - s + 1, s) for n, s in zip(frame.shape, (height, width), strict=True))
    blocks = [frame[a : a + height, b : b + width] for a in tops for b in lefts]
    power = sum(np.abs(np.fft.fft2(b)) ** 2 for b in blocks) / (len(blocks) * height * width)
    return np.asarray(np.fft.fftshift(power) / max(float(frame.var()), 1e-300), np.float64)


def _fit_iso(
    iso: float,
    bias: Frames,
    flats: Sequence[Frames],
    pattern: str,
    black: float | None,
    white: float,
    method: str,
    debias: bool,
) -> IsoFit:
    m, v, used = photon_transfer(flats, bias, pattern, white, method)
    if used.sum() < 2 or np.ptp(m[used]) <= 0:
        raise InputError(
            f"the flats have {int(used.sum())} brightness levels below saturation, a line needs 2: add exposures"
        )
    gain = float((m[used] * v[used]).sum() / (m[used] ** 2).sum())
    slope, intercept = np.polyfit(m[used], v[used], 1)
    if not gain > 0:
        raise InputError(f"the variance of the flats does not grow with their mean (K = {gain:.3g}): are they raw?")
    nominal = float(np.mean([np.mean(f) for f in bias])) if black is None else black
    offsets = np.mean([[c.mean() for c in _channels(np.asarray(f, np.float64), pattern)] for f in bias], 0) - nominal
    # with few frames as in the paper, whose read and row noise contain the fixed pattern
    dark = temporal(bias) if len(bias) >= ENOUGH else [_centred(np.asarray(f, np.float64), pattern) for f in bias]
    found = [_fit_frame(frame, debias) for frame in dark]
    read, shape, row, gauss, column = (np.array([f[k] for f in found]) for k in range(5))
    first = dark[0]
    rows = first.mean(1)
    ordered, p = thinned(first - rows[:, None])
    return IsoFit(
        iso=iso,
        gain=gain,
        slope=float(slope),
        intercept=float(intercept) + _dark_variance(bias, method),
        mean=m,
        variance=v,
        used=used,
        black=nominal,
        bias=tuple(round(float(o), 4) for o in offsets),
        read=read,
        shape=shape,
        row=row,
        gauss=gauss,
        column=column,
        normality=_shapiro(rows),
        row_correlation=float(np.mean([_lag_one(f.mean(1)) for f in dark])),
        fit_tukey=probability_plot(ordered, p, float(shape[0]))[2],
        fit_normal=probability_plot(ordered, p, None)[2],
        residual=(ordered, p),
        rows=rows,
        spectrum=spectrum(first),
    )


def _fit_frame(frame: Array, debias: bool) -> tuple[float, float, float, float, float]:
    """Read scale, shape, and the deviations of rows, of everything, and of columns."""
    height, width = frame.shape
    rows, columns = frame.mean(1), frame.mean(0)
    inner = frame - rows[:, None]
    ordered, p = thinned(inner)
    shape = fit_shape(ordered, p)
    read = probability_plot(ordered, p, shape)[0]
    gauss, row, column = float(frame.var()), float(rows.var()), float(columns.var())
    if debias:
        row -= float(inner.var()) / (width - 1)
        column -= float((frame - columns).var()) / (height - 1)
        variance = (read * standard_deviation(shape)) ** 2
        # rounding acts once more when the noise is drawn; what is hardly more than rounding stays as it is
        if variance > 2 / 12:
            read *= math.sqrt(1 - 1 / 12 / variance)
    return read, shape, math.sqrt(max(row, 0.0)), math.sqrt(gauss), math.sqrt(max(column, 0.0))


def _channels(frame: Array, pattern: str) -> list[Array]:
    if pattern == "mono":
        return [frame]
    return [frame[k // 2 :: 2, k % 2 :: 2] for k in BAYER[pattern]]


def _centred(frame: Array, pattern: str) -> Array:
    """A frame with the mean of each of its colours at 0."""
    out = frame.copy()
    for channel in _channels(out, pattern):  # views
        channel -= channel.mean()
    return out


def _variance(stack: Sequence[Array], method: str) -> float:
    if method == "spatial":
        return float(np.mean([f.var() for f in stack]))
    return float(np.mean([(a - b).var() / 2 for a, b in pairwise(stack)]))


def _dark_variance(bias: Frames, method: str) -> float:
    return _variance([np.asarray(f, np.float64) for f in bias], method)


def _shapiro(rows: Array) -> float:
    from scipy.stats import shapiro

    return float(shapiro(rows[:5000]).pvalue) if len(rows) >= 3 and np.ptp(rows) > 0 else 1.0


def _lag_one(x: Array) -> float:
    c = x - x.mean()
    return float((c[1:] * c[:-1]).sum() / max(float((c**2).sum()), 1e-300))


def _check(
    bias: Mapping[float, Frames],
    flats: Mapping[float, Sequence[Frames]],
    pattern: str,
    method: str,
    black: float | None,
) -> None:
    """Everything that can be wrong with the frames, before any work."""
    if not bias or not flats:
        raise InputError(f"there are {len(bias)} ISO values with bias frames and {len(flats)} with flats: give both")
    if bias.keys() != flats.keys():
        only = ", ".join(f"{iso:g}" for iso in sorted(bias.keys() ^ flats.keys()))
        raise InputError(f"ISO {only} has bias frames or flats but not both: give both for every ISO, or drop it")
    every = [f for frames in bias.values() for f in frames]
    every += [f for groups in flats.values() for g in groups for f in g]
    for frame in every:
        if frame.ndim != 2:
            raise InputError(f"a frame of shape {frame.shape} is a colour picture: give raw frames, one value a pixel")
    sizes = sorted({f.shape for f in every})
    if len(sizes) > 1:
        shown = " and ".join(f"{w} x {h}" for h, w in sizes[:3])
        raise InputError(f"the frames have different sizes, {shown}: give frames of one camera and mode")
    height, width = sizes[0]
    if min(height, width) < 16:
        raise InputError(f"frames of {width} x {height} pixels are too small to calibrate with: give 16 x 16 or more")
    if pattern != "mono" and (height % 2 or width % 2):
        raise InputError(f"frames of {width} x {height} pixels cut a Bayer cell: crop them to even sizes")
    for iso, frames in bias.items():
        if len(frames) < 2:
            raise InputError(
                f"ISO {iso:g} has {len(frames)} bias frame: give 2 or more, or its fixed pattern passes for noise"
            )
        zeros = max(float((np.asarray(f) <= 0).mean()) for f in frames)
        if zeros > CLIPPED:
            raise InputError(
                f"{zeros:.0%} of a bias frame of ISO {iso:g} is clipped at 0: the camera cuts its noise off at black, "
                "it cannot be calibrated from these files"
            )
        means = [float(np.mean(f)) for f in frames]
        levels = [float(np.mean([np.mean(f) for f in g])) for g in flats[iso]]
        # as dark as each other, as the darkest flat at least, and as black where that is known
        dark = min(*means, min(levels), *([] if black is None else [black]))
        if max(means) > dark + LIT * max(max(levels) - dark, 0.0):
            known = "" if black is None else f", black is {black:g}"
            raise InputError(
                f"the bias frames of ISO {iso:g} are not dark: their means lie between {min(means):.1f} and "
                f"{max(means):.1f}, those of the flats between {min(levels):.1f} and {max(levels):.1f}{known}; "
                "cover the lens"
            )
        single = next((i for i, g in enumerate(flats[iso]) if len(g) < 2), None)
        if method == "pairs" and single is not None:
            raise InputError(
                f"the flat exposure of mean {levels[single]:.1f} at ISO {iso:g} has {len(flats[iso][single])} frame, "
                "pairs need 2: take two of each, or use the spatial method"
            )
        if len(levels) < 2:
            raise InputError(f"ISO {iso:g} has {len(levels)} flat exposure, a line needs 2: add other exposure times")


@dataclass(frozen=True)
class Fidelity:
    """Statistics of temporal dark frames: what a noise model must reproduce. DN; kurtosis is excess; divergence is the
    Kullback-Leibler divergence of histograms in bins of 1 DN from the real frames, 0 for themselves."""

    std: float
    rows: float
    columns: float
    kurtosis: float
    divergence: float


def fidelity(frames: Sequence[Array], real: Sequence[Array]) -> Fidelity:
    """Of zero-mean frames (H, W), beside real ones; `Fidelity.rows` is the deviation of row means."""
    values = np.stack(frames)
    centred = values - values.mean()
    variance = float(centred.var())
    edges = np.arange(np.floor(min(values.min(), np.min(real))) - 0.5, np.ceil(max(values.max(), np.max(real))) + 1.5)
    ours, theirs = (np.histogram(v, edges)[0] + 0.5 for v in (values, np.stack(real)))
    p, q = theirs / theirs.sum(), ours / ours.sum()
    return Fidelity(
        std=math.sqrt(variance),
        rows=float(np.mean([f.mean(1).std() for f in values])),
        columns=float(np.mean([f.mean(0).std() for f in values])),
        kurtosis=float((centred**4).mean()) / variance**2 - 3,
        divergence=float((p * np.log(p / q)).sum()),
    )


def synthetic_beside_real(camera: CameraNoise, frames: Frames, seed: int = 0) -> dict[str, Fidelity]:
    """Statistics of real dark frames of one ISO and of as many drawn from models fitted to others.

    The models are Gaussian noise (all that a Poisson-Gaussian model has in the dark), Tukey-lambda noise without rows,
    and the full one. The camera is taken at its smallest gain. Rounding is part of what the real frames hold.
    """
    import torch

    from unnoise.noise.seeds import generator

    real = temporal(frames)
    found = {"real": fidelity(real, real)}
    zero = torch.zeros(len(real), 1, *real[0].shape)
    for label, model in (("Gaussian", "G"), ("Tukey-lambda", "TQ"), ("Tukey-lambda and rows", "TRQ")):
        drawn = camera.at(camera.gains[0], model).dark(zero, generator(seed))
        found[label] = fidelity([f[0].double().numpy() for f in drawn], real)
    return found
