"""Cubes larger than memory, from file to file: statistics, images, clean images, result; four passes over blocks.

The cube is read twice and written once, whatever its size. Between, there are only the images of a low-rank method, as
many times smaller as there are bands to an image, in a folder beside the result, which also says what is done already.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unnoise._version import __version__
from unnoise.data import cube_envi, cube_npy, cube_tiff, cube_zarr
from unnoise.data.chunked import Blocks, blocks_of, check_result, dask_array, fingerprint, open_cube
from unnoise.data.cube import Cube
from unnoise.data.files import explained
from unnoise.data.manifest import Manifest
from unnoise.data.on_disk import OnDisk
from unnoise.data.workers import Workers, disk_full, workers
from unnoise.denoiser.tiling import tiles
from unnoise.errors import InputError, MissingExtra, OutputError
from unnoise.machine import available
from unnoise.noise.cube_profile import analyse_cube
from unnoise.noise.cube_statistics import CubeStatistics
from unnoise.restore.choice import Choice
from unnoise.restore.cubes import check_method, choose_cube, signals_in
from unnoise.restore.hyde.base import noise_from_gram
from unnoise.restore.hyde.lowrank import Extent
from unnoise.restore.pieces import IN_PIECES, Job, Known, clean, copy, measure, project, rebuild
from unnoise.restore.result import Restored

if TYPE_CHECKING:
    from unnoise.noise.cube_profile import CubeProfile

WHOLE = 24  # bytes a value that a cube takes which is cleaned in memory
BASE = 450 << 20  # bytes that Python and its libraries take
_BLOCK = 24  # bytes a value of a block in work
_IMAGE = 64  # bytes a pixel of an image that is cleaned whole
_TILE = 512  # edge of the parts of images
_SAMPLE = 128  # edge of the part in which impulses and stripes are looked for

Progress = Callable[[int, int], None]
OfBlock = Callable[[int, Any, Any], tuple[Any, Any]]
"""From a block's number, its Dask array and its window."""


def fits(values: Any, memory: int | None = None) -> bool:
    """Whether a cube can be cleaned in memory: by `memory` bytes, or half of what is free."""
    budget = memory if memory is not None else (available() or 1 << 62) // 2
    return BASE + WHOLE * int(np.prod(values.shape, dtype=np.int64)) <= budget


def restore_chunked(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    method: str = "auto",
    *,
    sigma: float | Sequence[float] | None = None,
    strength: float = 1.0,
    memory: int | None = None,
    scheduler: str | None = None,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dataset: str | None = None,
    band_axis: int | None = None,
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> Restored:
    """A clean version of the cube in file `src`, in file `dst`, in bounded memory.

    It equals what `unnoise.denoise` gives for the whole cube up to rounding: noise levels and subspace come from sums
    over all blocks, images are scaled by their extremes over all blocks, and denoisers of finite reach get a halo;
    others get whole images, one at a time. Only where hardly any pixel has all bands it is less: noise and subspace are
    those of the complete pixels here, and some there must be.

    Parameters
    ----------
    src : ENVI, HDF5, MATLAB 7.3, TIFF, NumPy or Zarr.
    dst : ENVI, TIFF, NumPy or Zarr, by its extension; on a cluster Zarr.
    method : of `pieces.IN_PIECES`, or "auto".
    sigma : noise level, one number or one a band; `None`: measured.
    memory : bytes this process may take; `None`: half of what is free.
    scheduler : address of a Dask scheduler, `tcp://host:port`, whose workers see the same files; `None`: threads here.
    threads : so many; one a core unless told.
    resume : go on with what was begun before, with the same arguments.
    overwrite : replace `dst`, and begin anew.

    Raises
    ------
    InputError : what is wrong with a file or an argument, among others a method that cannot work in pieces.
    OutputError : `dst` exists or cannot be written, the disk is full among other reasons; what is done is kept.
    MissingExtra : Dask or Zarr is not installed.
    """
    start = time.perf_counter()
    src, dst = Path(src), Path(dst)
    check_method(method, options)
    _check_result(dst, scheduler, overwrite)
    cube = open_cube(src, dataset, band_axis)
    memory = memory if memory is not None else (available() or 4 << 30) // 2
    work = dst.with_name(f".{dst.name}.unnoise")
    if work.exists() and not resume:
        if not overwrite:
            raise OutputError(f"{dst} was begun before: go on with --resume, or begin anew with --overwrite")
        shutil.rmtree(work)
    facts = {
        "input": fingerprint(src),
        "version": __version__,
        "method": method,
        "options": options,
        "sigma": sigma,
        "strength": strength,
        "dataset": dataset,
        "band axis": band_axis,
    }
    with workers(scheduler, threads) as pool:
        local = pool.count if scheduler is None else 1
        grid = blocks_of(cube.values, _per_worker(memory, local) // _BLOCK)
        manifest = Manifest(work / "manifest.json", facts, resume)
        grid = Blocks(grid.size, tuple(manifest.notes.setdefault("block", list(grid.edge))))
        passes = Passes(cube, dst, work, grid, pool, manifest, memory, progress)
        try:
            manifest.save()
            choice, profile = passes.run(method, options, sigma, strength)
            manifest.save()
            passes.finish()
        except (InputError, MissingExtra):
            if not resume:  # nothing to go on with: the arguments have to change
                shutil.rmtree(work, ignore_errors=True)
            raise
        except OSError as error:
            if isinstance(error, OutputError) or not disk_full(error):
                raise
            raise OutputError(
                f"cannot write {dst}: the disk is full; free some space and go on with --resume"
            ) from error
        finally:
            if work.exists():
                manifest.save()
    shutil.rmtree(work, ignore_errors=True)
    return Restored(None, choice, profile, time.perf_counter() - start)


@dataclass(frozen=True, eq=False)
class Passes:
    """One run: the cube, where its result and the files between go, the blocks, and who does the work."""

    cube: Cube
    dst: Path
    work: Path
    grid: Blocks
    pool: Workers
    manifest: Manifest
    memory: int
    progress: Progress

    def run(
        self, method: str, options: dict[str, Any], sigma: Any, strength: float
    ) -> tuple[Choice, CubeProfile | None]:
        """All passes that are not done."""
        nodata = self.cube.nodata
        if method == "none" or strength == 0:
            self._copy()
            return Choice("none", "asked for"), None
        stats = self._statistics(Job.of("fasthyde" if method == "auto" else method, options, nodata))
        profile = stats.profile(None if sigma is None else _levels(sigma, len(stats.low)))
        choice = Choice(method, "asked for", options) if method != "auto" else self._choose(stats, profile)
        if choice.method == "none" or not stats.live:
            self._copy()
            return choice, profile
        job = Job.of(choice.method, choice.options, nodata)
        if profile.partly and choice.method != "fasthyin":
            raise InputError(
                f"{profile.partly} pixels lack some of their bands, which only method fasthyin can clean in pieces: "
                f"choose it, or give enough --memory for the whole"
            )
        known = _known(stats, job, sigma)
        k, stride = len(known.factors.into), stride_of(job.denoiser())
        images, cleaned = self._stack("images", k), self._stack("cleaned", k, -(-_TILE // stride) * stride)
        self._each("project", lambda i, b, w: (partial(project, job=job, known=known, images=images, window=w), b), 1)
        if profile.missing:
            self._fill(images, k)
        self._clean(job, known, images, cleaned)
        result = self._result()
        holes = {i for i, said in self.manifest.done("project").items() if said == "holes"}

        def write(i: int, block: Any, window: Any) -> tuple[Any, Any]:
            read = strength != 1 or i in holes
            task = partial(rebuild, job=job, known=known, cleaned=cleaned, result=result, window=window)
            return partial(task, strength=strength), block if read else None

        self._each("write", write, 3)
        return choice, profile

    def _copy(self) -> None:
        result = self._result()
        self._each("write", lambda i, block, window: (partial(copy, result=result, window=window), block), 3)

    def finish(self) -> None:
        """The result appears."""
        made = self.work / f"result{self.dst.suffix}"
        if check_result(self.dst) == "envi":
            cube_envi.finish(made, self.dst, self.cube)
            return
        if self.dst.is_dir():
            self.dst.replace(self.work / "old")
        made.replace(self.dst)

    def _statistics(self, job: Job) -> CubeStatistics:
        """The first pass; what is merged so far is kept with the list of blocks that are in it."""
        path, total, done = self.work / "statistics.npz", None, []
        if path.exists():
            total, more = CubeStatistics.load(path)
            done = more["done"].tolist()
        saved = time.monotonic()
        try:
            tasks = self._tasks(done, lambda i, block, window: (partial(measure, job=job), block))
            for i, found in self.pool.run(tasks):
                total = found if total is None else total + found
                done.append(i)
                self._tell(0, len(done))
                if time.monotonic() - saved > 2:
                    total.save(path, done=np.array(done))
                    saved = time.monotonic()
        finally:
            if total is not None:
                total.save(path, done=np.array(done))
        assert total is not None
        return total

    def _clean(self, job: Job, known: Known, images: OnDisk, cleaned: OnDisk) -> None:
        """The pass over images: parts with a halo, or whole images where the method looks at the whole."""
        height, width = self.grid.size
        denoiser, k = job.denoiser(), len(known.factors.into)
        most = None
        if denoiser.reach is None:
            need = BASE + _IMAGE * height * width
            if need > self.memory:
                raise InputError(
                    f"method {job.method} with these options looks at whole images, which takes "
                    f"{need / 2**30:.1f} GiB: give that much --memory, or use fasthyde with a local denoiser"
                )
            most = max(1, (self.memory - BASE) // (_IMAGE * height * width))
            whole = (slice(0, height), slice(0, width))
            parts = [(range(i, i + 1), whole, whole) for i in range(k)]
        else:
            cut = tiles((height, width), (_TILE, _TILE), denoiser.reach, stride_of(denoiser))
            parts = [(range(k), (c[0], c[1]), (w[0], w[1])) for c, w in cut]
        done = self.manifest.done("clean")
        extent = self._extent(images, k) if len(done) < len(parts) else (torch.zeros(k), torch.zeros(k))
        tasks = (
            (i, _delayed(partial(clean, job, known, images, cleaned, *part, extent)))
            for i, part in enumerate(parts)
            if i not in done
        )
        for i, _ in self.pool.run(tasks, most):
            self.manifest.mark("clean", i)
            self._tell(2, len(self.manifest.done("clean")) * len(self.grid) / len(parts))

    def _each(self, step: str, task: OfBlock, number: int) -> None:
        """One pass over the blocks; `task` gives the function, and the block or `None` that it is called with."""
        done = self.manifest.done(step)
        for i, said in self.pool.run(self._tasks(done, task)):
            self.manifest.mark(step, i, said)
            self._tell(number, len(self.manifest.done(step)))

    def _tasks(self, done: Iterable[int], task: OfBlock) -> Iterator[tuple[int, Any]]:
        array, skip = dask_array(self.cube.values, self.grid.edge), set(done)
        for i, window in enumerate(self.grid):
            if i not in skip:
                function, block = task(i, array[window], window)
                yield i, _delayed(function, block)

    def _tell(self, number: int, blocks: float) -> None:
        """Progress in pixels; a pass is a quarter of the work."""
        total = self.grid.size[0] * self.grid.size[1]
        self.progress(int(total * (number + blocks / len(self.grid)) / 4), total)

    def _result(self) -> OnDisk:
        """The result as it was begun, or empty."""
        name = check_result(self.dst)
        made = self.work / f"result{self.dst.suffix}"
        module = {"zarr": cube_zarr, "envi": cube_envi, "npy": cube_npy, "tiff": cube_tiff}[name]
        if not self.manifest.notes.get("created"):
            if made.is_dir():
                shutil.rmtree(made)
            made.unlink(missing_ok=True)
            values = module.create(made, self.cube, self.grid.edge)
            self.manifest.notes["created"] = True
            self.manifest.save()
            return values
        return module.reopen(made, self.cube)

    def _stack(self, name: str, k: int, tile: int = _TILE) -> OnDisk:
        """Images (k, H, W) in a store in the folder of the work."""
        import zarr

        path = self.work / name
        if not path.exists():
            edge = [min(a, b) for a, b in zip(self.grid.edge, self.grid.size, strict=True)]
            if name == "cleaned":
                edge = [min(tile, n) for n in self.grid.size]
            zarr.create_array(
                path, shape=(k, *self.grid.size), chunks=(1, *edge), dtype="float32", compressors=None, fill_value=0
            )
        return cube_zarr.stack(path)

    def _fill(self, images: OnDisk, k: int) -> None:
        """Pixels without data get the images of the nearest one that has some, as for a cube in memory."""
        from scipy.ndimage import distance_transform_edt

        if self.manifest.notes.get("filled"):
            return
        path, whole = self.work / "measured.npy", slice(None)
        if not path.exists():
            measured = np.isfinite(images[0:1, whole, whole][0])
            temporary = path.with_suffix(".part.npy")
            np.save(temporary, measured)
            temporary.replace(path)
        measured = np.load(path)
        rows, columns = distance_transform_edt(~measured, return_distances=False, return_indices=True)
        for i in range(k):
            image = images[i : i + 1, whole, whole]
            images[i : i + 1, whole, whole] = image[:, rows, columns]
        self.manifest.notes["filled"] = True
        self.manifest.save()

    def _extent(self, images: OnDisk, k: int) -> Extent:
        """Minimum and maximum of every image."""
        low, high = torch.full((k,), torch.inf), torch.full((k,), -torch.inf)
        for rows, columns in self.grid:
            p = torch.from_numpy(images[0:k, rows, columns])
            low, high = torch.minimum(low, p.amin((1, 2))), torch.maximum(high, p.amax((1, 2)))
        return low, high

    def _choose(self, stats: CubeStatistics, profile: CubeProfile) -> Choice:
        """As in memory, but impulses and stripes are looked for in the middle, and nothing that needs all is taken."""
        sample = self._middle()
        if sample is not None:
            profile = replace(profile, impulses=sample.impulses, stripes=sample.stripes)

        def signals() -> int:
            return signals_in(stats.gram(), stats.complete, profile)

        choice = choose_cube(profile, signals)
        if choice.method not in ("none", *IN_PIECES):
            why = f"{choice.reason} in its middle; {choice.method} would take them apart, but not in pieces"
            return Choice("fasthyde", why, {"k": max(10, signals())})
        return choice

    def _middle(self) -> CubeProfile | None:
        """The noise in the middle of the cube, `None` where too little is there."""
        values = self.cube.values
        top, left = (max(0, (n - _SAMPLE) // 2) for n in values.shape[:2])
        part = values[top : top + _SAMPLE, left : left + _SAMPLE, :].astype(np.float32)
        y = torch.from_numpy(part).permute(2, 0, 1)
        valid = torch.isfinite(y)
        if self.cube.nodata is not None and self.cube.nodata == self.cube.nodata:
            valid &= y != y.new_tensor(self.cube.nodata)
        try:
            return analyse_cube(y, valid)
        except InputError:
            return None


def _known(stats: CubeStatistics, job: Job, sigma: Any) -> Known:
    """Factors from the statistics; sums over complete pixels stand for all."""
    denoiser, live = job.denoiser(), torch.tensor(stats.live)
    level: Tensor | None = None if sigma is None else _levels(sigma, len(stats.low))[live]
    level = denoiser.level(level, len(live))
    levels, g = noise_from_gram(stats.gram(), stats.complete, stats.sigma() if level is None else level)
    pixels = stats.pixels
    factors = denoiser.factors(levels, g * (pixels / stats.complete), pixels)
    low, high = float(stats.low[live].min()), float(stats.high[live].max())
    constant = torch.where(torch.isfinite(stats.low), stats.low, 0.0)
    return Known(live, constant, low, high, factors)


def _levels(sigma: Any, bands: int) -> Tensor:
    s = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)
    if len(s) not in (1, bands):
        raise InputError(f"sigma of {len(s)} values does not fit {bands} bands: give one number, or one a band")
    if not bool(((s >= 0) & torch.isfinite(s)).all()):
        raise InputError("sigma must be finite and >= 0")
    return s.expand(bands)


def stride_of(denoiser: Any) -> int:
    """Grid on which a method may cut its images."""
    card = getattr(getattr(denoiser, "denoiser", None), "card", None)
    return 1 if card is None else card.stride


def _delayed(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        from dask.delayed import delayed
    except ImportError as error:
        raise MissingExtra("cluster") from error
    return delayed(function, pure=False, traverse=False)(*arguments)


def _per_worker(memory: int, count: int) -> int:
    """Bytes that each of so many threads may take."""
    least = BASE + count * (32 << 20)
    if memory < least:
        raise InputError(f"--memory {memory / 2**20:.0f}M is too little: libraries alone take {least / 2**20:.0f}M")
    return (memory - BASE) // count


def _check_result(dst: Path, scheduler: str | None, overwrite: bool) -> None:
    name = check_result(dst)
    if scheduler is not None and name != "zarr":
        raise InputError(f"{dst}: several machines can write a Zarr store only: name a result that ends in .zarr")
    taken = [p for p in (cube_envi.files(dst) if name == "envi" else (dst,)) if p.exists()]
    if taken and not overwrite:
        raise OutputError(f"{taken[0]} exists: choose another name or pass --overwrite")
    if not dst.absolute().parent.is_dir():
        raise explained(FileNotFoundError(2, "no such folder"), dst)
