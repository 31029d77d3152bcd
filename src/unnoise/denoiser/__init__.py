"""The one primitive and what can be put round it. See `base` for the contract."""

from unnoise.denoiser.base import Card, Denoiser, expand_sigma, score
from unnoise.denoiser.blind import Blind
from unnoise.denoiser.convert import as_denoiser
from unnoise.denoiser.ensemble import Ensemble
from unnoise.denoiser.exact import Empirical, GaussianMixture
from unnoise.denoiser.stabilise import Stabilised
from unnoise.denoiser.tiling import Tiled

__all__ = [
    "Blind",
    "Card",
    "Denoiser",
    "Empirical",
    "Ensemble",
    "GaussianMixture",
    "Stabilised",
    "Tiled",
    "as_denoiser",
    "expand_sigma",
    "score",
]
