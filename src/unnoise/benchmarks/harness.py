"""Contenders side by side in one run: a process each, the same threads, interleaved repeats, medians and ratios.

Every contender lives in a process of its own, so that neither memory nor imports nor caches of one help or hurt
another; only one works at a time. Each round runs every contender once, so that a slow minute of the machine hits all
of them, and ratios are taken within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from unnoise.data.records import write_json
from unnoise.errors import InputError, UnnoiseError
from unnoise.machine import cores, load, machine, versions

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """One way to do the job: `target` is the `module:function` that, given `options`, prepares a `Work`.

    `against` is the contender that its times are compared with, the reference of the benchmark unless told.
    `python` is the interpreter of another environment, for a library that cannot live in this one; it gets this
    package's source on its path.
    """

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False
    python: str | None = None
    against: str | None = None


@dataclass(frozen=True)
class Work:
    """What a contender's process times: `run()` alone; `score(result)` judges the last result afterwards.

    `amount` is how much one run does, in the benchmark's unit (megapixels, say); times are reported per unit.
    """

    run: Callable[[], Any]
    amount: float = 1.0
    score: Callable[[Any], Mapping[str, float]] = lambda result: {}


@dataclass(frozen=True)
class Result:
    """One contender's numbers: seconds a unit (median, quartiles), time relative to the reference, memory, scores.

    `ratio` compares with the reference within each round (median, quartiles; above 1 is slower). `cpu` is processor
    seconds a unit. `peak_mib` is the process's largest resident memory while it ran, `base_mib` what libraries and
    input had taken before.
    """

    name: str
    ours: bool
    seconds: tuple[float, float, float]
    cpu: float
    ratio: tuple[float, float, float]
    base_mib: float
    peak_mib: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class BenchReport:
    """A benchmark's outcome; `skipped` says of each contender that did not run why."""

    name: str
    unit: str
    reference: str
    repeats: int
    threads: int
    notes: str
    results: tuple[Result, ...]
    skipped: Mapping[str, str]
    warnings: tuple[str, ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def save(self, path: str | Path) -> Path:
        """Write as JSON, all of it or nothing."""
        return write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Inverse of `save`."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**values | {"results": tuple(Result(**r) for r in values["results"])})

    def to_markdown(self) -> str:
        """Medians, ratios, memory and scores as a table, where they were measured, and what disturbed the times."""
        scores = list(dict.fromkeys(key for r in self.results for key in r.scores))
        heads = ["", f"s a {self.unit}", "processor s", f"times {self.reference}", "peak MiB", *scores]
        rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        for r in self.results:
            shown = [f"{r.scores[s]:.4g}" if s in r.scores else "" for s in scores]
            name = f"**{r.name}**" if r.ours else r.name
            times = [f"{r.seconds[0]:.3g}", f"{r.cpu:.3g}", f"{r.ratio[0]:.2f}"]
            rows.append([name, *times, f"{r.peak_mib:.0f}", *shown])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        where = f"{self.machine.get('processor', 'one machine')}, {self.threads} threads, {self.repeats} rounds"
        note = ". ".join([self.notes, f"{where}; medians, ratios within a round", *self.warnings])
        return "\n".join([*lines, "", f"{note}."])


def compare(
    name: str,
    contenders: Sequence[Contender],
    *,
    reference: str,
    unit: str,
    repeats: int = 5,
    threads: int | None = None,
    notes: str = "",
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Run the contenders side by side.

    Parameters
    ----------
    reference : name of the contender that times are compared with; it must run.
    unit : what one `Work.amount` counts.
    repeats : timed rounds after one warm-up each.
    threads : processor cores and library threads of each contender, all of them unless told.
    progress : called with a line of text as the work goes on.

    Raises
    ------
    InputError : repeats or threads below 1, names that are not unique, or an unknown reference.
    UnnoiseError : a contender failed, as opposed to missing its library.
    """
    threads = cores() if threads is None else threads
    names = [c.name for c in contenders]
    if repeats < 1 or threads < 1:
        raise InputError(f"repeats and threads must be at least 1, got {repeats} and {threads}")
    if len(set(names)) < len(names) or not {reference, *(c.against or reference for c in contenders)} <= set(names):
        raise InputError(f"contenders need different names, one of them '{reference}': {', '.join(names)}")
    warnings = _busy()
    for text in warnings:
        progress(text)
    before, skipped = machine(), {}
    workers: dict[str, _Worker] = {}
    rounds: list[dict[str, tuple[float, float]]] = []
    ended: dict[str, dict[str, Any]] = {}
    try:
        for c in contenders:
            worker = workers[c.name] = _Worker(c, threads)
            progress(f"{c.name}: warming up")
            reply = worker.ask({"target": c.target, "options": dict(c.options), "threads": threads})
            if "missing" in reply:
                skipped[c.name] = reply["missing"]
                workers.pop(c.name).close()
                progress(f"{c.name}: skipped, {reply['missing']}")
        for i in range(repeats):
            progress(f"round {i + 1} of {repeats}")
            rounds.append({n: _times(w.ask("run")) for n, w in workers.items()})
        ended = {n: w.ask("end") for n, w in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    if reference in skipped:
        raise UnnoiseError(f"benchmark {name}: the reference '{reference}' did not run: {skipped[reference]}")
    results = []
    for c in contenders:
        peer = reference if c.against is None or c.against in skipped else c.against
        if c.name in workers:
            own, base = [r[c.name] for r in rounds], [r[peer] for r in rounds]
            results.append(_result(c, own, base, ended[c.name], ended[peer]))
    return BenchReport(
        name=name,
        unit=unit,
        reference=reference if all(c.against is None for c in contenders) else "its peer",
        repeats=repeats,
        threads=threads,
        notes=notes,
        results=tuple(results),
        skipped=skipped,
        warnings=warnings,
        machine=before,
        versions=versions("bm3d", "diffusers"),
    )


class _Worker:
    """The process of one contender, spoken to in lines of JSON; see `unnoise.benchmarks.worker`."""

    def __init__(self, contender: Contender, threads: int) -> None:
        self.name = contender.name
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        if contender.python is not None:
            limits["PYTHONPATH"] = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [contender.python or sys.executable, "-m", "unnoise.benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=os.environ | limits,
            text=True,
        )

    def ask(self, message: Any) -> dict[str, Any]:
        """Send one line, wait for one; a worker that failed or died is an error with its last words."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in reply:
            raise UnnoiseError(f"benchmark: '{self.name}' failed: {reply['error']}")
        return reply

    def close(self) -> None:
        """End the process; it holds nothing worth saving."""
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def _last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"it ended with code {code}" + (f": {lines[-1]}" if lines else "")


def _busy() -> tuple[str, ...]:
    """A warning when other work is likely to disturb the times."""
    now = load()
    if now is None or now < 0.5 * cores():
        return ()
    return (f"the machine is busy (load {now:.1f} on {cores()} cores): times are not to be trusted",)


def _times(reply: Mapping[str, Any]) -> tuple[float, float]:
    return reply["seconds"], reply["cpu"]


def _result(
    c: Contender,
    own: Sequence[tuple[float, float]],
    reference: Sequence[tuple[float, float]],
    end: Mapping[str, Any],
    reference_end: Mapping[str, Any],
) -> Result:
    seconds = [wall / end["amount"] for wall, _ in own]
    base = [wall / reference_end["amount"] for wall, _ in reference]
    return Result(
        name=c.name,
        ours=c.ours,
        seconds=_spread(seconds),
        cpu=statistics.median(cpu / end["amount"] for _, cpu in own),
        ratio=_spread([a / b for a, b in zip(seconds, base, strict=True)]),
        base_mib=end["base_mib"],
        peak_mib=end["peak_mib"],
        scores={k: float(v) for k, v in end["scores"].items()},
    )


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and both quartiles."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high
