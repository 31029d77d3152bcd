"""What corrupts data: sample it, describe it, fit it, estimate it. Knows no denoiser."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unnoise.noise.anscombe import anscombe, inverse_anscombe
    from unnoise.noise.camera import CameraParameters, CameraPipeline
    from unnoise.noise.estimate import (
        autocorrelation,
        fit_poisson_gaussian,
        impulse_mask,
        jpeg_grid,
        mad_sigma,
        patch_sigma,
    )
    from unnoise.noise.models import Correlated, Gaussian, Impulse, Jpeg, NoiseModel, Poisson, PoissonGaussian
    from unnoise.noise.profile import NoiseProfile, analyse
    from unnoise.noise.seeds import generator, generators
    from unnoise.noise.sensor import CameraNoise, SensorNoise
    from unnoise.noise.wavelets import dwt2, idwt2

# module -> names it is asked for at first use (PEP 562), so that importing a light module of this room stays light
_ROOMS = {
    "anscombe": ("anscombe", "inverse_anscombe"),
    "camera": ("CameraParameters", "CameraPipeline"),
    "estimate": (
        "autocorrelation",
        "fit_poisson_gaussian",
        "impulse_mask",
        "jpeg_grid",
        "mad_sigma",
        "patch_sigma",
    ),
    "models": ("Correlated", "Gaussian", "Impulse", "Jpeg", "NoiseModel", "Poisson", "PoissonGaussian"),
    "profile": ("NoiseProfile", "analyse"),
    "sensor": ("CameraNoise", "SensorNoise"),
    "seeds": ("generator", "generators"),
    "wavelets": ("dwt2", "idwt2"),
}
_MODULE = {name: module for module, names in _ROOMS.items() for name in names}

__all__ = [
    "CameraNoise",
    "CameraParameters",
    "CameraPipeline",
    "Correlated",
    "Gaussian",
    "Impulse",
    "Jpeg",
    "NoiseModel",
    "NoiseProfile",
    "Poisson",
    "PoissonGaussian",
    "SensorNoise",
    "analyse",
    "anscombe",
    "autocorrelation",
    "dwt2",
    "fit_poisson_gaussian",
    "generator",
    "generators",
    "idwt2",
    "impulse_mask",
    "inverse_anscombe",
    "jpeg_grid",
    "mad_sigma",
    "patch_sigma",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'unnoise.noise' has no attribute '{name}'")
    return getattr(importlib.import_module(f"unnoise.noise.{_MODULE[name]}"), name)
