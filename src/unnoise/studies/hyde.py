"""HyDe: every method for hyperspectral cubes on known noise, against what HyDe 0.4.3 gave on the same noisy cube."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unnoise.data.catalog import root
from unnoise.data.cube_sets import real_cube, synthetic_cube, with_noise
from unnoise.errors import unknown
from unnoise.machine import joules
from unnoise.metrics.cube import ergas, mpsnr, sam
from unnoise.restore import METHODS
from unnoise.restore.hyde.subspace import pca
from unnoise.studies.hyde_transfer import TransferOptions, transfer
from unnoise.studies.report import Check, Report, Table
from unnoise.training.presets import read_presets

SEED = 0
RANK = 10  # of the projection that hyres is compared with
NAMES = {"jasper": "Jasper Ridge", "samson": "Samson", "hydice": "HYDICE", "synthetic": "synthetic"}

COST: tuple[Callable[[], float], str, str]
if joules() is None:
    COST = time.process_time, "CPU s", "CPU seconds of the process stand for energy, whose counters cannot be read here"
else:
    COST = lambda: joules() or 0.0, "J", "energy of the processor by its own counters (RAPL)"
"""What work costs: a counter, its unit, and what it is."""

Cube = NDArray[np.float32]
Row = tuple[Any, ...]


def run(preset: str = "laptop") -> Report:
    """All cases of a preset of presets/hyde.yaml, methods with their defaults; nobody is told the noise.

    Raises
    ------
    MissingData : the cubes are not there (preset smoke needs none).
    """
    start = time.perf_counter()
    settings = read_presets("hyde")
    if preset not in settings:
        raise unknown("preset", preset, settings)
    rows: list[Row] = []
    checks: list[Check] = []
    claims, tables = transfer(TransferOptions(**settings[preset]["transfer"]), root())
    for case in settings[preset]["cases"]:
        found, held = _case(case)
        rows += found
        checks += held
    return Report(
        slug="hyde",
        preset=preset,
        command=f"unnoise reproduce hyde --preset {preset}",
        seeds=(SEED,),
        seconds=time.perf_counter() - start,
        checks=tuple(checks),
        claims=tuple(claims),
        tables=(
            Table(
                "Cubes with known noise",
                ("cube", "noise", "method", "MPSNR (dB)", "SAM (degrees)", "ERGAS", COST[1], "HyDe MPSNR", "HyDe SAM"),
                tuple(rows),
                f"Bands in [0, 1], seed 0; {COST[2]}; HyDe 0.4.3 on the same noisy cubes.",
            ),
            *tables,
        ),
    )


def _case(case: dict[str, Any]) -> tuple[list[Row], list[Check]]:
    """Rows of the table and checks of one cube with one noise."""
    name, noise = case["cube"], case["noise"]
    x = synthetic_cube() if name == "synthetic" else real_cube(name)
    draw = case.get("draw", SEED)
    y = with_noise(x, noise, draw)
    before = mpsnr(y, x)
    label = (NAMES[name], noise if draw == SEED else f"{noise}, draw {draw}")
    rows: list[Row] = [(*label, "noisy", *_rounded(y, x), None, None, None)]
    checks = []
    for method, bounds in case["methods"].items():
        clean, seconds = _clean(method, y)
        quality, angle = mpsnr(clean, x), sam(clean, x)
        title = f"{NAMES[name]}, {noise}, {method}"
        theirs = bounds.get("hyde", (None, None))
        rows.append((*label, method, *_rounded(clean, x), round(seconds, 3), *theirs))
        if "hyde" in bounds:
            checks.append(Check(f"{title}: MPSNR over HyDe (dB)", quality - theirs[0], bounds["margin"], ">="))
            checks.append(Check(f"{title}: SAM (degrees), HyDe's at most", angle, theirs[1]))
        elif "at_least" in bounds:
            checks.append(Check(f"{title}, draw {draw}: MPSNR (dB)", quality, bounds["at_least"], ">="))
        else:
            checks.append(Check(f"{title}: MPSNR over the noisy cube (dB)", quality - before, bounds["gain"], ">="))
        if method == "hyres" and "over_pca" in case:
            projection = pca(_tensor(y), RANK)[0].permute(1, 2, 0).numpy()
            over = quality - mpsnr(projection, x)
            checks.append(Check(f"{title}: over a projection of rank {RANK} (dB)", over, case["over_pca"], ">="))
        if method in ("fasthyde", "l1hymixde") and name != "synthetic":
            clean, seconds = _clean(method, y, denoiser="photo")
            rows.append((*label, f"{method}, photo network", *_rounded(clean, x), round(seconds, 3), None, None))
    return rows, checks


def _tensor(y: Cube) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(y.transpose(2, 0, 1)))[None]


def _clean(method: str, y: Cube, **options: Any) -> tuple[Cube, float]:
    """The clean cube, and what it cost."""
    denoiser, noisy = METHODS[method].create(**options), _tensor(y)
    start = COST[0]()
    clean = denoiser(noisy)[0].permute(1, 2, 0).numpy()
    return clean, COST[0]() - start


def _rounded(y: Cube, x: Cube) -> tuple[float, float, float]:
    return round(mpsnr(y, x), 2), round(sam(y, x), 2), round(ergas(y, x), 2)
