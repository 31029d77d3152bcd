"""Calibration frames: which files are dark and which evenly lit, at which ISO and exposure."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.formats import EXTENSIONS, RAW_EXTENSIONS
from unnoise.data.inputs import expand_inputs
from unnoise.data.raw import Raw, is_raw, read_raw
from unnoise.errors import InputError

COLUMNS = ("file", "kind", "iso", "exposure", "snap")
ONE_ISO = 100.0
CLOSE = (0.005, 0.5)  # two flats are of one exposure when their means differ by less than this share plus this many DN


@dataclass
class Calibration:
    """Frames in the shape `noise.calibration.calibrate` takes them, and what had to be assumed.

    Attributes
    ----------
    bias : ISO -> dark frames; flats : ISO -> exposures of two or more frames.
    first : a frame as it was read, for its levels and colours; notes : sentences for the user.
    """

    bias: dict[float, list[NDArray[Any]]]
    flats: dict[float, list[list[NDArray[Any]]]]
    first: Raw
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Frame:
    path: Path
    raw: Raw
    iso: float | None
    exposure: float | None


def read_calibration(
    bias: Iterable[str | Path],
    flats: Iterable[str | Path],
    table: str | Path | None = None,
    pattern: str | None = None,
) -> Calibration:
    """Read the frames of a calibration.

    Parameters
    ----------
    bias, flats : files, globs or folders of dark and of evenly lit frames; may be empty with a table.
    table : `frames.csv` with the columns file, kind (bias or flat), iso, exposure, snap; files beside it. Without it
        ISO and exposure are those of the EXIF data; frames without ISO are taken as of the one that the others state,
        and flats of equal mean are paired.
    pattern : Bayer order or "mono", by default that of a camera file, and mono for pictures, which do not tell.

    Raises
    ------
    InputError : a file that cannot be read or is no raw frame, a table without a column, nothing to read, or frames
        without ISO among others of several.
    """
    if table is not None:
        dark, lit = _from_table(Path(table), pattern)
    else:
        known = (*RAW_EXTENSIONS, *EXTENSIONS)
        dark, lit = ([_frame(p, pattern) for p in expand_inputs(which, known)] for which in (bias, flats))
    if not dark or not lit:
        raise InputError(f"there are {len(dark)} bias frames and {len(lit)} flats: a calibration needs both")
    notes: list[str] = []
    assumed = _assumed([f.iso for f in (*dark, *lit)], notes)
    by_iso: dict[float, list[NDArray[Any]]] = defaultdict(list)
    for f in dark:
        by_iso[f.iso or assumed].append(f.raw.mosaic)
    groups: dict[float, list[list[NDArray[Any]]]] = {}
    for iso in sorted({f.iso or assumed for f in lit}):
        mine = [f for f in lit if (f.iso or assumed) == iso]
        groups[iso] = _exposures(mine, notes)
    return Calibration(dict(by_iso), groups, dark[0].raw, notes)


def _assumed(stated: Sequence[float | None], notes: list[str]) -> float:
    """The ISO of the frames that do not state theirs: the only one that others state, or any where none does."""
    silent, known = stated.count(None), sorted({iso for iso in stated if iso is not None})
    if len(known) > 1 and silent:
        raise InputError(
            f"{silent} of {len(stated)} frames do not state their ISO, the others are of ISO "
            f"{', '.join(f'{iso:g}' for iso in known)}: name them all with --frames"
        )
    if not known:
        notes.append("no ISO in the files: all frames are taken as of one ISO; say otherwise with --frames")
    elif silent:
        notes.append(
            f"{silent} of {len(stated)} frames do not state their ISO and are taken as of ISO {known[0]:g}, like the "
            "others; say otherwise with --frames"
        )
    return known[0] if known else ONE_ISO


def _exposures(flats: Sequence[_Frame], notes: list[str]) -> list[list[NDArray[Any]]]:
    """Flats of one exposure time together; those without a time by their means."""
    if all(f.exposure is not None for f in flats):
        times: dict[float, list[NDArray[Any]]] = defaultdict(list)
        for f in flats:
            times[round(f.exposure or 0.0, 9)].append(f.raw.mosaic)
        return [times[t] for t in sorted(times)]
    order = sorted(flats, key=lambda f: float(f.raw.mosaic.mean()))
    means = [float(f.raw.mosaic.mean()) for f in order]
    groups: list[list[NDArray[Any]]] = []
    alone, i = 0, 0
    while i < len(order):
        if i + 1 < len(order) and means[i + 1] - means[i] <= CLOSE[0] * means[i] + CLOSE[1]:
            groups.append([order[i].raw.mosaic, order[i + 1].raw.mosaic])
            i += 2
        else:
            alone, i = alone + 1, i + 1
    notes.append(
        f"no exposure times in the files: {len(flats)} flats were paired by equal mean into {len(groups)} exposures"
        + (f", {alone} without a partner left out" if alone else "")
    )
    if not groups:
        raise InputError(
            f"none of the {len(flats)} flats has a partner of equal mean ({means[0]:.1f} to {means[-1]:.1f}): take two "
            "of each exposure, or name them with --frames"
        )
    return groups


def _from_table(path: Path, pattern: str | None) -> tuple[list[_Frame], list[_Frame]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip().lower() for c in reader.fieldnames or []]
            rows = [{k.strip().lower(): (v or "").strip() for k, v in row.items() if k} for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}): check the path") from None
    missing = [c for c in COLUMNS[:4] if c not in columns]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}: it needs {', '.join(COLUMNS)}")
    kinds: dict[str, list[_Frame]] = {"bias": [], "flat": []}
    for number, row in enumerate(rows, 2):
        if row["kind"] not in kinds:
            raise InputError(f"{path} line {number}: kind is '{row['kind']}', it must be bias or flat")
        try:
            iso, exposure = float(row["iso"]), float(row["exposure"]) if row["exposure"] else None
        except ValueError:
            raise InputError(f"{path} line {number}: iso and exposure must be numbers, got {row}") from None
        kinds[row["kind"]].append(replace(_frame(path.parent / row["file"], pattern), iso=iso, exposure=exposure))
    return kinds["bias"], kinds["flat"]


def _frame(path: Path, pattern: str | None) -> _Frame:
    raw = read_raw(path, pattern=pattern or (None if is_raw(path) else "mono"))
    return _Frame(path, raw, raw.iso, raw.exposure)


def dtype_top(raw: Raw) -> float | None:
    """White level of a frame from a camera file; `None` where it is only the end of the file's type."""
    end = float(np.iinfo(raw.mosaic.dtype).max) if raw.mosaic.dtype.kind == "u" else None
    return None if raw.white == end else raw.white
