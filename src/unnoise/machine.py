"""Where a number was measured: versions, processor, memory and load, for reports and benchmarks."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

LIBRARIES = ("unnoise", "torch", "numpy", "scipy", "scikit-image", "PyWavelets", "opencv-python-headless")


def versions(*more: str) -> dict[str, str]:
    """Installed versions of Python, of the libraries that compute here and of the distributions in `more`.

    >>> versions()["python"] == platform.python_version()
    True
    """
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in (*LIBRARIES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor model, cores this process may use, memory in GiB, system and load average over one minute."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(pages / 2**30, 1) or None,
        "system": f"{platform.system()} {platform.machine()}",
        "load": load(),
    }


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int | None:
    """Bytes of memory that programs may still take, `None` where the system does not tell."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) << 10
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def load() -> float | None:
    """Load average over the last minute, `None` where the system has none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def joules() -> float | None:
    """Energy the processor packages have used so far, in J by Linux's RAPL counters; `None` where none can be read.

    Counters start over now and then: a difference that is negative says nothing.
    """
    counters = [p / "energy_uj" for p in sorted(Path("/sys/class/powercap").glob("intel-rapl:?"))]
    try:
        return sum(int(c.read_text()) for c in counters) / 1e6 if counters else None
    except (OSError, ValueError):  # readable by root alone on most systems
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
