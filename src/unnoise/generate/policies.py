"""Guidance policies in words, as a user types them."""

from __future__ import annotations

from typing import Any

from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive, LinearAG
from unnoise.generate.guidance import Full, Interval, alternating, first, last

POLICIES = (
    "full",
    "ag",
    "ag:GAMMA",
    "ag:GAMMA:SPACE",
    "interval:LOW:HIGH",
    "first:N",
    "last:N",
    "alternating",
    "alternating:N",
    "linear:FILE",
)
"""Forms of a policy: N counts evaluations of the sampler, levels are in data units, FILE holds a `LinearAG`."""


def parse_policy(text: str, evaluations: int) -> Any:
    """A policy of `POLICIES` for a sampler that asks for so many estimates; "linear" alternates in the first half.

    Raises `InputError` for anything else.

    >>> parse_policy("ag:0.98", 20).gamma_bar
    0.98
    >>> parse_policy("first:1", 3).operations
    ('cfg', 'cond', 'cond')
    """
    kind, *rest = text.split(":")
    try:
        if kind == "full" and not rest:
            return Full()
        if kind == "ag" and len(rest) <= 2:
            plain = Adaptive()
            return Adaptive(float(rest[0]) if rest else plain.gamma_bar, rest[1] if len(rest) > 1 else plain.space)
        if kind == "interval" and len(rest) == 2:
            return Interval(float(rest[0]), float(rest[1]))
        if kind in ("first", "last") and len(rest) == 1:
            return (first if kind == "first" else last)(_count(rest[0], evaluations), evaluations)
        if kind == "alternating" and len(rest) <= 1:
            return alternating(evaluations, _count(rest[0], evaluations) if rest else None)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
    if kind == "linear" and rest:
        return alternating(evaluations, evaluations // 2, "linear", LinearAG.load(":".join(rest)))
    raise InputError(f"guidance policy '{text}' is none of {', '.join(POLICIES)}")


def _count(text: str, evaluations: int) -> int:
    n = int(text)
    if not 0 <= n <= evaluations:
        raise InputError(f"the sampler asks for {evaluations} estimates: guide 0 to {evaluations} of them, not {n}")
    return n
