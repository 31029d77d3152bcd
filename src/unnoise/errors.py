"""The few kinds of errors a user can meet: one sentence, what is wrong with which file or argument, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnnoiseError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line returns for it."""

    exit_code = 2


class InputError(UnnoiseError, ValueError):
    """A file or an argument that cannot be used as it is."""


class OutputError(UnnoiseError, OSError):
    """A result that could not be written; the input and any earlier result are untouched."""


class Stopped(UnnoiseError):
    """Ctrl-C, with what there is to say about it."""

    exit_code = 130

    def __init__(self, what: str) -> None:
        super().__init__(f"stopped; {what}")


class MissingExtra(UnnoiseError, ImportError):
    """An optional library is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"needs the extra '{extra}': pip install 'unnoise[{extra}]'")


class MissingData(UnnoiseError):
    """A study, training or benchmark lacks its data set; nothing was run."""

    exit_code = 3


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not one of `known`, with the nearest one suggested.

    >>> str(unknown("method", "medain", ["median", "nlm"]))
    "unknown method 'medain': did you mean 'median'? (one of: median, nlm)"
    >>> str(unknown("method", "x", ["median", "nlm"]))
    "unknown method 'x' (one of: median, nlm)"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f": did you mean '{near[0]}'?" if near else ""
    return InputError(f"unknown {what} '{name}'{hint} (one of: {', '.join(names)})")
