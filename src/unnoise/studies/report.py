"""What a study hands in, as JSON and Markdown: checks that must hold, claims with their verdict, tables.

A check decides the exit code, a claim never does. A claim's criterion is fixed in the preset before the run; its
verdict is computed from the 95 % interval, so that nobody types it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from unnoise.data.files import write_whole
from unnoise.data.records import write_json
from unnoise.errors import InputError
from unnoise.machine import versions

Verdict = Literal["reproduced", "not reproduced", "undecided"]
Interval = tuple[float, float]
Cell = str | float | int | None


@dataclass(frozen=True)
class Check:
    """An invariant, parity or sanity value that must hold: `value relation bound`.

    >>> Check("tiled equals untiled", 3e-7, 1e-5).passed
    True
    >>> Check("not a number", float("nan"), 1.0).passed
    False
    """

    name: str
    value: float
    bound: float
    relation: Literal["<=", ">=", "=="] = "<="

    @property
    def passed(self) -> bool:
        """Whether the relation holds; never for a value that is not a number."""
        if self.relation == "<=":
            return self.value <= self.bound
        if self.relation == ">=":
            return self.value >= self.bound
        return self.value == self.bound


@dataclass(frozen=True)
class Criterion:
    """The range of values that would bear a claim out; written in the preset as `at_least` and `at_most`."""

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        low, high = self.range
        if not low <= high or (math.isinf(low) and math.isinf(high)):
            raise InputError(
                f"a criterion needs at_least <= at_most, or one of them; got {self.at_least} and {self.at_most}"
            )

    @property
    def range(self) -> Interval:
        """Both ends, infinite where there is none."""
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )

    def __str__(self) -> str:
        parts = [
            f"{sign} {_short(end)}" for sign, end in ((">=", self.at_least), ("<=", self.at_most)) if end is not None
        ]
        return " and ".join(parts)


def verdict(value: float, interval: Interval | None, criterion: Criterion) -> Verdict:
    """`reproduced` when the whole 95 % interval meets the criterion, `not reproduced` when none of it does.

    Anything else is `undecided`: an interval across a bound, a value that is not a number, or a single run, which has
    no interval. A quantity without randomness has the interval `(value, value)`.

    >>> verdict(0.8, (0.6, 1.0), Criterion(at_least=0.5))
    'reproduced'
    >>> verdict(0.8, (0.4, 1.2), Criterion(at_least=0.5))
    'undecided'
    >>> verdict(0.2, (0.1, 0.3), Criterion(at_least=0.5))
    'not reproduced'
    """
    if interval is None or any(math.isnan(v) for v in (value, *interval)):
        return "undecided"
    low, high = interval
    if not low <= value <= high:
        raise InputError(f"the value {value:g} lies outside its interval [{low:g}, {high:g}]")
    least, most = criterion.range
    if least <= low and high <= most:
        return "reproduced"
    return "not reproduced" if high < least or low > most else "undecided"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper with what was measured here; `paper` is the paper's own number in the same unit."""

    name: str
    value: float
    criterion: Criterion
    interval: Interval | None = None
    paper: float | None = None
    unit: str = ""

    @property
    def verdict(self) -> Verdict:
        """What the interval says about the criterion."""
        return verdict(self.value, self.interval, self.criterion)


@dataclass(frozen=True)
class Table:
    """Measured numbers side by side; every row has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise InputError(f"table '{self.title}': every row needs {len(self.columns)} cells")


@dataclass(frozen=True)
class Figure:
    """A picture beside the report, `<name>.webp`; `data` are its bytes, which a report that was read does not hold."""

    name: str
    caption: str
    data: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class Report:
    """The outcome of one study at one preset; `seconds` is wall time, `seeds` those the intervals run over."""

    slug: str
    preset: str
    command: str
    seeds: tuple[int, ...]
    seconds: float
    checks: tuple[Check, ...]
    claims: tuple[Claim, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def checks_passed(self) -> bool:
        """True when there is a check and every check holds."""
        return bool(self.checks) and all(c.passed for c in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, what is computed included."""
        values = asdict(self)
        for shown, check in zip(values["checks"], self.checks, strict=True):
            shown["passed"] = check.passed
        for shown, claim in zip(values["claims"], self.claims, strict=True):
            shown["verdict"] = claim.verdict
        values["figures"] = [{"name": f.name, "caption": f.caption} for f in self.figures]
        return values | {"checks_passed": self.checks_passed}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Inverse of `to_dict`; verdicts are computed anew, not read."""
        fields = dict(values)
        fields.pop("checks_passed", None)
        fields["seeds"] = tuple(fields["seeds"])
        fields["checks"] = tuple(
            Check(c["name"], float(c["value"]), float(c["bound"]), c["relation"]) for c in fields["checks"]
        )
        fields["claims"] = tuple(_claim(c) for c in fields["claims"])
        fields["tables"] = tuple(
            Table(t["title"], tuple(t["columns"]), tuple(map(tuple, t["rows"])), t["note"]) for t in fields["tables"]
        )
        fields["figures"] = tuple(Figure(**f) for f in fields.get("figures", ()))
        return cls(**fields)

    def save(self, path: str | Path) -> Path:
        """Write the report as JSON and its figures beside it, each all or nothing; earlier ones are replaced."""
        for figure in self.figures:
            if figure.data:
                write_whole(Path(path).parent / f"{figure.name}.webp", figure.data)
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a report; `InputError` when the file is not one."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except FileNotFoundError as e:
            raise InputError(f"{path}: no such report; make it with unnoise reproduce") from e
        except (ValueError, KeyError, TypeError) as e:
            raise InputError(f"{path}: not a study report ({e}); make it anew with unnoise reproduce") from e

    def to_markdown(self, folder: str = ".") -> str:
        """Checks, claims, figures (which lie in `folder`) and tables as Markdown, for the documentation."""
        checks = Table(
            "Checks",
            ("check", "measured", "must be", "holds"),
            tuple(
                (c.name, c.value, f"{c.relation} {_short(c.bound)}", "yes" if c.passed else "**no**")
                for c in self.checks
            ),
        )
        claims = Table(
            "Claims",
            ("claim", "measured", "95 % interval", "counts as reproduced", "paper", "verdict"),
            tuple(
                (
                    f"{c.name} ({c.unit})" if c.unit else c.name,
                    c.value,
                    interval_text(c.interval),
                    str(c.criterion),
                    c.paper,
                    c.verdict,
                )
                for c in self.claims
            ),
        )
        judged = [checks, *([claims] if self.claims else [])]
        pictures = [f"![{f.caption}]({folder}/{f.name}.webp)\n\n*{f.caption}*" for f in self.figures]
        seeds = ", ".join(map(str, self.seeds)) or "none"
        head = f"`{self.command}`: preset {self.preset}, seeds {seeds}, {self.seconds:.0f} s."
        parts = [head, *map(_markdown, judged), *pictures, *map(_markdown, self.tables)]
        return "\n\n".join(parts) + "\n"


def interval_text(interval: Interval | None) -> str:
    """`[low, high]`, or a dash."""
    return "–" if interval is None else f"[{_short(interval[0])}, {_short(interval[1])}]"


def _claim(c: Mapping[str, Any]) -> Claim:
    interval = None if c["interval"] is None else (float(c["interval"][0]), float(c["interval"][1]))
    paper = None if c["paper"] is None else float(c["paper"])
    return Claim(c["name"], float(c["value"]), Criterion(**c["criterion"]), interval, paper, c["unit"])


def _short(value: Cell) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(table: Table) -> str:
    lines = [f"**{table.title}**", "", _row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row(row) for row in table.rows]
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(_short(c).replace("|", "\\|") for c in cells) + " |"
