"""What the door hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unnoise.noise.cube_profile import CubeProfile
    from unnoise.noise.profile import NoiseProfile
    from unnoise.restore.choice import Choice


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored picture or cube and how it came about.

    Attributes
    ----------
    image : what came in, clean: an array or tensor of the same shape and type; `None` when it was written to a file.
    choice : the method that was used and why.
    profile : the noise that was found, with levels for white at 1, of a cube in its own units; `None` where nothing
        had to be measured.
    seconds : for measuring and denoising, without reading and writing files.
    noise : map of the standard deviation of the noise, (H, W, 3) for white at 1, where a method was asked for it.
    """

    image: Any
    choice: Choice
    profile: NoiseProfile | CubeProfile | None
    seconds: float
    noise: Any = None
