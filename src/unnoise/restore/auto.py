"""Which method, by the noise that was found, and why, in one sentence.

Thresholds were set on BSDS500 training photographs, PolyU and W2S's training split, and clean pictures; how well they
do elsewhere is measured in docs/choosing.md. In doubt a picture is left alone: texture taken for noise is lost.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser, Stabilised
from unnoise.denoiser.base import Sigma
from unnoise.noise.anscombe import anscombe
from unnoise.noise.models import PoissonGaussian
from unnoise.restore import METHODS
from unnoise.restore.choice import Choice
from unnoise.restore.invariant import calibrate
from unnoise.restore.spectrum import Spectrum, crops, noise_spectrum

if TYPE_CHECKING:
    from unnoise.noise.profile import NoiseProfile

WHITE = 3.3 / 255  # level from which noise is told from fine texture
FINE = 0.28  # share of the finest structure in the coarsest up to which noise is shared by neighbours
WHITENESS = 0.6  # the same share from which it is independent between pixels beyond doubt ...
FINE_GROWTH = 1.75  # ... and else the fastest growth of the finest structure that still counts as evenly spread
FLAT = (1.9 / 255, 9 / 255)  # levels in which evenly spread structure of a colour picture is its camera's noise
WEAK = 1.0 / 255  # level from which it still is for a network, where the finest structure is as faint ...
FINE_WEAK, FINE_GROWTH_WEAK = 0.16, 3.2  # ... in the coarsest, and as evenly spread, as cameras leave it
GROWTH = 1.85  # the fastest growth of the energy of windows that still counts as evenly spread
COLOUR = 0.25  # share of colour in stronger camera noise; texture is mostly luminance
IMPULSES = 0.006  # share of values that are impulses, where nothing else is wrong ...
IMPULSES_IN_NOISE = 0.02  # ... and among noise, whose tails look like impulses
CAMERA_SCALE = 1.5  # noise level assumed relative to that of the flattest windows, which have the least


def choose(profile: NoiseProfile, y: Tensor, sigma: Tensor | None = None, trained: bool = True) -> Choice:
    """The best method for the noise in y.

    Parameters
    ----------
    profile : of y, from `noise.analyse`.
    y : (B, C, H, W), white at 1; a bounded part of its first picture is looked at.
    sigma : noise level if it is known, shaped for `expand_sigma`; then the method that needs it is chosen.
    trained : whether trained networks may be chosen, else classical methods alone.

    Examples
    --------
    >>> from unnoise.noise.profile import analyse
    >>> y = 0.5 + 0.1 * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    >>> choice = choose(analyse(y), y)
    >>> choice.method, choice.reason[:17], choice.reason[-26:]
    ('photo', 'noise of level 25', 'independent between pixels')
    """
    parts = crops(y)
    white = "photo" if trained else "dct"
    if sigma is not None:
        return Choice(white, "noise of the level given", sigma=sigma)
    spectrum = noise_spectrum(y)
    if _has_impulses(profile, spectrum):
        # a second look: what is left is measured on the parts after the median
        median = METHODS["median"].create()
        left = noise_spectrum(torch.cat([median(part) for part in parts], -1))
        rest = _gaussian(left, profile, parts, trained)
        share = f"{profile.impulse_share:.1%} of the values are impulses"
        if rest.method == "none":
            return Choice("median", share)
        return replace(rest, reason=f"{share}, and under them {rest.reason}", impulses=True)
    return _gaussian(spectrum, profile, parts, trained)


def _has_impulses(profile: NoiseProfile, spectrum: Spectrum | None) -> bool:
    if spectrum is None or _level(spectrum.white) < WHITE:
        return profile.impulse_share > IMPULSES
    return profile.impulse_share > IMPULSES_IN_NOISE and not _photons(profile, len(spectrum.white))


def _photons(profile: NoiseProfile, channels: int) -> bool:
    """Whether the noise is that of counted light; single photons in the dark look like impulses."""
    return channels == 1 and profile.gain > 8 * profile.read**2


def _gaussian(s: Spectrum | None, profile: NoiseProfile, parts: list[Tensor], trained: bool) -> Choice:
    """For noise that is not made of impulses."""
    if s is None:
        return Choice("none", "too little to see of the picture's noise: left as it is")
    colour = len(s.white) == 3
    level = _level(s.white)
    white = s.fine > WHITENESS * s.coarse
    if white and level > WHITE / 2 and _photons(profile, len(s.white)):
        return _poisson(profile, parts, "photo" if trained else "dct")
    coarse = s.fine < FINE * s.coarse
    processed = s.fine < FINE_WEAK * s.coarse and s.fine_growth < FINE_GROWTH_WEAK
    even = s.growth < GROWTH and s.flat > (WEAK if processed and trained else FLAT[0])
    if colour and coarse and even and (s.flat < FLAT[1] or s.colour > COLOUR * s.luminance):
        level = CAMERA_SCALE * _level(s.shape[:, 1:])
        reason = f"camera noise of level {255 * level:.1f}/255, shared by neighbouring pixels"
        if trained:
            return Choice("photo-real", reason)
        options = {"spectrum": s.shape * (CAMERA_SCALE / level)}
        return Choice("dct", reason, options, torch.full((1, 1, 1, 1), level))
    if level > WHITE and (white or s.fine_growth < FINE_GROWTH):
        sigma = _lower(s.white, profile)
        reason = f"noise of level {255 * _level(sigma):.1f}/255, independent between pixels"
        return Choice("photo" if trained else "dct", reason, sigma=sigma[None, :, None, None])
    return Choice("none", "no noise that can be told from texture: left as it is")


def _lower(white: Tensor, profile: NoiseProfile) -> Tensor:
    """The lower of two estimates, since texture only adds; the other one fails low where it finds nothing flat."""
    other = torch.tensor(profile.white)
    return torch.minimum(white, other) if _level(other) > 0.6 * _level(white) else white


def _poisson(profile: NoiseProfile, parts: list[Tensor], method: str) -> Choice:
    """Photon noise, independent between pixels, so the strength is tuned by self-supervision on the largest part.

    A law read off one picture is too weak where black was clipped or the light has tails; the tuning makes up for it.
    """
    law = PoissonGaussian(profile.gain, profile.read)
    z = anscombe(parts[len(parts) // 2], law.gain, law.read)
    options = calibrate(method, z, 1.0)
    reason = f"photon noise (variance {law.gain:.3g} x value), stabilised first, strength tuned on the picture"
    return Choice(method, reason, options, law=law)


def build(choice: Choice) -> Denoiser | None:
    """The denoiser a choice stands for; `None` for none."""
    if choice.method == "none":
        return None
    denoiser = METHODS[choice.method].create(**choice.options)
    if choice.law is not None:
        denoiser = Stabilised(denoiser, choice.law)
    return Then(METHODS["median"].create(), denoiser) if choice.impulses else denoiser


class Then(Denoiser):
    """One denoiser after another; the level is for the second."""

    def __init__(self, first: Denoiser, second: Denoiser) -> None:
        super().__init__()
        self.first, self.second = first, second
        a, b = first.card, second.card
        reach = None if a.reach is None or b.reach is None else a.reach + b.reach
        self.card = replace(b, reach=reach, stride=math.lcm(a.stride, b.stride))

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y."""
        return self.second(self.first(y), sigma)


def _level(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
