"""What was chosen for an input: the method, what it takes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unnoise.noise import PoissonGaussian

AUTOMATIC = ("auto", "classical")
"""What stands for a choice by the noise found, the second among classical methods alone."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A method with everything it takes, and the reason.

    Attributes
    ----------
    method : key of `METHODS`, or "none": leave the picture as it is.
    reason : one sentence without a full stop.
    options : for the method.
    sigma : (1, C, 1, 1) or as given, for white at 1; `None` for methods that take none.
    law : Poisson-Gaussian noise to be stabilised first.
    impulses : whether the selective median goes first.
    """

    method: str
    reason: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sigma: Tensor | None = None
    law: PoissonGaussian | None = None
    impulses: bool = False
