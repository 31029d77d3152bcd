"""HyDe: every method for hyperspectral cubes on known noise, against what HyDe 0.4.3 gave on the same noisy cube."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unnoise.data.cube_sets import real_cube, synthetic_cube, with_noise
from unnoise.errors import unknown
from unnoise.metrics.cube import ergas, mpsnr, sam
from unnoise.restore import METHODS
from unnoise.restore.hyde.subspace import pca
from unnoise.studies.report import Check, Report, Table
from unnoise.training.presets import read_presets

SEED = 0
RANK = 10  # of the projection that hyres is compared with
NAMES = {"jasper": "Jasper Ridge", "samson": "Samson", "hydice": "HYDICE", "synthetic": "synthetic"}

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
        tables=(
            Table(
                "Cubes with known noise",
                ("cube", "noise", "method", "MPSNR (dB)", "SAM (degrees)", "ERGAS", "CPU s", "HyDe MPSNR", "HyDe SAM"),
                tuple(rows),
                "Bands in [0, 1], seed 0; CPU seconds of the process; HyDe 0.4.3 on the same noisy cubes.",
            ),
        ),
    )


def _case(case: dict[str, Any]) -> tuple[list[Row], list[Check]]:
    """Rows of the table and checks of one cube with one noise."""
    name, noise = case["cube"], case["noise"]
    x = synthetic_cube() if name == "synthetic" else real_cube(name)
    y = with_noise(x, noise, SEED)
    before = mpsnr(y, x)
    label = (NAMES[name], noise)
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
        else:
            checks.append(Check(f"{title}: MPSNR over the noisy cube (dB)", quality - before, bounds["gain"], ">="))
        if method == "hyres" and "over_pca" in case:
            projection = pca(_tensor(y), RANK)[0].permute(1, 2, 0).numpy()
            over = quality - mpsnr(projection, x)
            checks.append(Check(f"{title}: over a projection of rank {RANK} (dB)", over, case["over_pca"], ">="))
    return rows, checks


def _tensor(y: Cube) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(y.transpose(2, 0, 1)))[None]


def _clean(method: str, y: Cube) -> tuple[Cube, float]:
    denoiser, noisy = METHODS[method].create(), _tensor(y)
    start = time.process_time()
    clean = denoiser(noisy)[0].permute(1, 2, 0).numpy()
    return clean, time.process_time() - start


def _rounded(y: Cube, x: Cube) -> tuple[float, float, float]:
    return round(mpsnr(y, x), 2), round(sam(y, x), 2), round(ergas(y, x), 2)
