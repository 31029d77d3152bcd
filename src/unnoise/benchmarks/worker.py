"""One contender's process: `python -m unnoise.benchmarks.worker`, lines of JSON in, lines of JSON out.

The first line names the target and its options: the work is prepared, run once to warm up, and answered. Each `"run"`
is timed; `"end"` answers with memory and scores. What libraries print goes to stderr, so that it cannot garble a reply.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from unnoise.errors import MissingExtra

if TYPE_CHECKING:
    from unnoise.benchmarks.harness import Work


def main() -> None:
    """Serve one harness until `"end"`, or until it goes away."""
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)

        def reply(values: Mapping[str, Any]) -> None:
            replies.write(json.dumps(values) + "\n")
            replies.flush()

        try:
            _serve(json.loads(sys.stdin.readline()), reply)
        except MissingExtra as e:
            reply({"missing": str(e)})
        except Exception as e:
            reply({"error": f"{type(e).__name__}: {e}"})
            raise


def _serve(first: Mapping[str, Any], reply: Callable[[Mapping[str, Any]], None]) -> None:
    if hasattr(os, "sched_setaffinity"):  # holds libraries that follow no variable to the same cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: first["threads"]])
    module, _, function = first["target"].partition(":")
    work: Work = getattr(importlib.import_module(module), function)(**first["options"])
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(first["threads"])
    base = peak_mib()
    result = work.run()
    reply({"ready": True})
    while json.loads(sys.stdin.readline() or '"end"') == "run":
        result = None  # the last result must not count towards the memory of the next run
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        result = work.run()
        reply({"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    peak = peak_mib()
    reply({"amount": work.amount, "base_mib": base, "peak_mib": peak, "scores": dict(work.score(result))})


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB.

    Linux's VmHWM rather than `ru_maxrss`, which a child inherits from the process that started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


if __name__ == "__main__":
    main()
