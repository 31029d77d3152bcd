"""A cube of 10 GB from store to store through the command line: seconds and largest resident memory, once each."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unnoise.benchmarks.harness import BenchReport, Progress, Result
from unnoise.errors import UnnoiseError
from unnoise.machine import cores, machine, versions

SHAPE = (3000, 3000, 280)
MEMORY = "2G"
LEVEL = 0.05
NAME = "fasthyde, bilateral filter"
OPTIONS = ("-m", "fasthyde", "--set", "denoiser=bilateral")
"""A quick denoiser of the images, so that sums, reading and writing show: with the default one, a network, the images
alone take most of an hour on one core.
"""


def run(
    folder: Path,
    *,
    repeats: int = 1,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Write `large_cube.json` into `folder`; the cube is made in `UNNOISE_LARGE`, or a temporary folder, and kept in
    the former. `quick` takes a small one.
    """
    shape = (96, 80, 12) if quick else SHAPE
    threads = cores() if threads is None else threads
    named = os.environ.get("UNNOISE_LARGE")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(named or scratch)
        source = place / f"cube_{'x'.join(map(str, shape))}.zarr"
        if not source.exists():
            progress("making the cube")
            make(source, shape)
        before = machine()
        rounds = []
        for i in range(repeats):
            progress(f"round {i + 1} of {repeats}")
            rounds.append(one(source, place / "clean.zarr", threads, shape))
    report = summary(rounds, shape, threads, before)
    report.save(folder / "large_cube.json")
    return report


def summary(
    rounds: Sequence[Mapping[str, float]], shape: tuple[int, int, int], threads: int, where: Mapping[str, Any]
) -> BenchReport:
    """The report of some rounds of `one` on a machine."""
    gigabytes, busy = shape[0] * shape[1] * shape[2] * 4e-9, where.get("load")
    seconds = _spread([r["seconds"] for r in rounds])
    warnings: tuple[str, ...] = ()
    if busy is not None and busy >= 0.5 * cores():
        warnings = (f"other work shared the processor (load {busy:.1f}), so seconds say little and cpu more",)
    return BenchReport(
        name="large_cube",
        unit="cube",
        reference=NAME,
        repeats=len(rounds),
        threads=threads,
        notes=f"{shape[0]} x {shape[1]} x {shape[2]} float32 ({gigabytes:.1f} GB) with noise of {LEVEL}, Zarr to Zarr, "
        f"--memory {MEMORY}: the whole command; cpu is its processor seconds, rmse the rest of the noise over every "
        f"500th row{''.join(f'; {w}' for w in warnings)}",
        results=(
            Result(
                name=NAME,
                ours=True,
                seconds=seconds,
                cpu=statistics.median(r["cpu"] for r in rounds),
                ratio=(1.0, 1.0, 1.0),
                base_mib=0.0,
                peak_mib=max(r["peak_mib"] for r in rounds),
                scores={name: statistics.median(r[name] for r in rounds) for name in ("cpu", "rmse")},
            ),
        ),
        skipped={},
        warnings=warnings,
        machine=where,
        versions=versions("zarr", "dask"),
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def scene(shape: tuple[int, int, int], top: int, rows: int) -> Any:
    """Some rows of the clean scene, float32: smooth fields and edges times five smooth spectra."""
    import numpy as np

    r = np.arange(top, top + rows)[:, None] / 400
    c = np.arange(shape[1])[None] / 400
    images = [np.sin(3 * r + k) * np.cos(2 * k * c) + (np.sin(7 * r + 5 * c * k) > 0.3) for k in range(1, 6)]
    t = np.linspace(0, 1, shape[2])
    spectra = np.stack([0.5 + 0.4 * np.sin(5 * t * k / 5 + k) for k in range(1, 6)]).astype(np.float32)
    return np.stack(images, -1).astype(np.float32) @ spectra / 5


def make(path: Path, shape: tuple[int, int, int]) -> None:
    """The noisy cube as a Zarr store, not compressed, 100 rows at a time; it appears when complete.

    The noise of the rows is one field of 100 rows, shifted along the columns for each.
    """
    import numpy as np
    import zarr

    rng = np.random.default_rng(0)
    rows = min(100, shape[0])
    noise = np.float32(LEVEL) * rng.standard_normal((rows, *shape[1:]), dtype=np.float32)
    temporary = path.with_suffix(".part")
    chunks = (rows, min(300, shape[1]), min(70, shape[2]))
    array = zarr.create_array(temporary, shape=shape, dtype="float32", chunks=chunks, compressors=None, overwrite=True)
    for top in range(0, shape[0], rows):
        some = min(rows, shape[0] - top)
        array[top : top + some] = scene(shape, top, some) + np.roll(noise, rng.integers(shape[1]), 1)[:some]
    array.attrs["wavelength"] = [400 + 2100 * b / shape[2] for b in range(shape[2])]
    temporary.replace(path)


def one(source: Path, target: Path, threads: int, shape: tuple[int, int, int]) -> dict[str, float]:
    """One run of the command: seconds, processor seconds, peak resident MiB, and how far the result is off."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [
        sys.executable, "-c", _CHILD, str(threads), "denoise", str(source), "-o", str(target), "--memory", MEMORY,
        "--overwrite", "--resume", *OPTIONS,
    ]  # fmt: skip
    shutil.rmtree(target.with_name(f".{target.name}.unnoise"), ignore_errors=True)  # of a run that was stopped
    start = time.perf_counter()
    done = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise UnnoiseError(f"benchmark large_cube: the command failed: {done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found |= {"seconds": seconds, "rmse": rmse(target, shape)}
    shutil.rmtree(target)
    return found


_CHILD = """
import json, os, sys, time
from unnoise.app.cli.main import run
from unnoise.benchmarks.worker import peak_mib
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
code = run(sys.argv[2:])
print(json.dumps({"peak_mib": peak_mib(), "cpu": time.process_time()}))
sys.exit(code)
"""


def rmse(path: Path, shape: tuple[int, int, int]) -> float:
    """Root mean square departure of a store from the clean scene, over every 500th row."""
    import numpy as np

    from unnoise.data.chunked import open_cube

    values, total, count = open_cube(path).values, 0.0, 0
    for top in range(0, shape[0], 500):
        off = values[top : top + 1, 0 : shape[1], 0 : shape[2]] - scene(shape, top, 1)
        total += float(np.square(off, dtype=np.float64).sum())
        count += off.size
    return (total / count) ** 0.5
