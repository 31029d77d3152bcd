"""The two test sets of low-light raw denoising, SID (its Sony part) and ELD: short exposures and the long one of each.

Values are those of the authors' evaluation: packed R, G1, G2, B, black level of the file, white at 16383, the short
exposure amplified to the brightness of the long one, both clipped to [0, 1]. Sources: Chen et al. 2018, "Learning to
see in the dark", CVPR; Wei et al. 2020, "A physics-based noise formation model for extreme low-light raw denoising".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unnoise.data.catalog import require
from unnoise.data.raw import pack, read_raw
from unnoise.errors import InputError, unknown

if TYPE_CHECKING:
    from torch import Tensor

WHITE = 16383.0  # of every camera of both sets in the authors' evaluation
LONGEST = 300.0  # the ratio that SID never exceeds: a hundredth of a second more or less is the shutter's rounding
MIDDLE = 512  # packed pixels of SID that count; some of its pictures have a fixed pattern in a corner

SID_RATIOS = (100, 250, 300)
SID_SCENES = (
    "20188", "20201", "20208", "20210", "20211", "10185", "10187", "10191", "10193", "10198", "10213", "10217",
    "10226", "10227", "10228",
)  # fmt: skip
"""The fifteen indoor scenes that ELD is evaluated on; numbers from 1 are for testing, from 2 for validation."""

ELD_CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS70D", "CanonEOS700D")
ELD_SHOTS = {100: (4, 9, 14), 200: (5, 10, 15)}
"""Low-light factor -> numbers of the pictures of a scene, one an ISO of 800, 1600, 3200."""
ELD_REFERENCES = (1, 6, 11, 16)

_SID = re.compile(r"(?P<scene>\d{5})_(?P<shot>\d\d)_(?P<seconds>[\d.]+)s\.ARW", re.IGNORECASE)


class Exposures(NamedTuple):
    """A short and a long exposure of one scene, packed (4, h, w) float32 in [0, 1]; `noisy` is amplified by `ratio`."""

    name: str
    noisy: Tensor
    clean: Tensor
    ratio: float


def sid_pairs(ratio: int) -> Iterator[Exposures]:
    """SID Sony at one of `SID_RATIOS`: the middle of the first short exposure of each of `SID_SCENES`.

    The folder is that of the set, with `short/20188_00_0.1s.ARW` and `long/20188_00_10s.ARW`; exposure times are those
    of the names.

    Raises
    ------
    InputError : another ratio, or a file that is missing or damaged. MissingData : the set is not on this machine.
    """
    if ratio not in SID_RATIOS:
        raise InputError(f"SID is evaluated at the ratios {', '.join(map(str, SID_RATIOS))}, not at {ratio}")
    folder = require("sid_sony")
    longs = {_sid(path).scene: path for path in _camera_files(folder / "long")}
    shorts = [(_sid(path), path) for path in _camera_files(folder / "short")]
    for scene in SID_SCENES:
        if scene not in longs:
            raise InputError(f"{folder / 'long'} has no exposure of scene {scene}: get the set anew")
        seconds = _sid(longs[scene]).seconds
        for shot, path in shorts:
            # the authors cut the quotient to an integer: 10 s over 0.033 s is 300
            if shot.scene == scene and shot.number == 0 and int(min(seconds / shot.seconds, LONGEST) + 1e-6) == ratio:
                yield _pair(path, longs[scene], min(seconds / shot.seconds, LONGEST), MIDDLE)
                break
        else:
            raise InputError(f"{folder / 'short'} has no exposure of scene {scene} at ratio {ratio}: get the set anew")


def eld_pairs(camera: str, factor: int) -> Iterator[Exposures]:
    """The ELD set: every scene of a camera at a factor of `ELD_SHOTS`, full size.

    The folder is that of the set, with `SonyA7S2/scene-1/IMG_0004.ARW`. The reference is the one whose number is
    nearest, the ratio that of ISO times exposure, which is not exactly the factor, as the files state them.

    Raises
    ------
    InputError : another camera or factor, files that are missing, damaged, or do not state ISO and exposure.
    MissingData : the set is not on this machine.
    """
    if camera not in ELD_CAMERAS:
        raise unknown("camera of the ELD set", camera, ELD_CAMERAS)
    if factor not in ELD_SHOTS:
        raise InputError(f"the ELD set is evaluated at the factors {', '.join(map(str, ELD_SHOTS))}, not at {factor}")
    folder = require("eld") / camera
    scenes = sorted(folder.glob("scene-*"), key=lambda path: (len(path.name), path.name))
    if not scenes:
        raise InputError(f"{folder} has no folders scene-1, scene-2, ...: get the set anew")
    for scene in scenes:
        numbered = {path.stem: path for path in _camera_files(scene)}
        for shot in ELD_SHOTS[factor]:
            nearest = min(ELD_REFERENCES, key=lambda k: abs(k - shot))
            short, long = (_numbered(numbered, k, scene) for k in (shot, nearest))
            yield _pair(short, long, _light(long) / _light(short), None)


class _Shot(NamedTuple):
    scene: str
    number: int
    seconds: float


def _sid(path: Path) -> _Shot:
    found = _SID.fullmatch(path.name)
    if found is None or float(found["seconds"]) <= 0:
        raise InputError(f"{path} is not named like 20188_00_0.1s.ARW, by scene, number and seconds: get the set anew")
    return _Shot(found["scene"], int(found["shot"]), float(found["seconds"]))


def _camera_files(folder: Path) -> list[Path]:
    from unnoise.data.raw import is_raw

    if not folder.is_dir():
        raise InputError(f"{folder} is not there: the set has this folder, get it anew")
    return sorted(path for path in folder.iterdir() if is_raw(path))


def _numbered(files: dict[str, Path], number: int, scene: Path) -> Path:
    name = f"IMG_{number:04d}"
    if name not in files:
        raise InputError(f"{scene} has no picture {name}: get the set anew")
    return files[name]


def _light(path: Path) -> float:
    """ISO times seconds."""
    raw = read_raw(path)
    if raw.iso is None or raw.exposure is None:
        raise InputError(f"{path} does not state its ISO and exposure time: get it anew")
    return raw.iso * raw.exposure


def _pair(short: Path, long: Path, ratio: float, middle: int | None) -> Exposures:
    noisy, clean = (pack(read_raw(path, white=WHITE))[0] for path in (short, long))
    if noisy.shape != clean.shape:
        raise InputError(f"{short} and {long} have different sizes: get the set anew")
    if middle is not None:
        top, left = ((n - min(n, middle)) // 2 for n in noisy.shape[1:])
        noisy, clean = (t[:, top : top + middle, left : left + middle] for t in (noisy, clean))
    # black is taken out and clipped before amplification too, as the authors do
    return Exposures(
        f"{short.parent.name}/{short.stem}", (noisy.clamp(0, 1) * ratio).clamp(max=1), clean.clamp(0, 1), ratio
    )
