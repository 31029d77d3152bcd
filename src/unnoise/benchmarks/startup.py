"""How long a user waits for an answer that needs no computing, beside an empty Python and one that imports torch."""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

COMMANDS = ("--help", "papers", "methods", "models", "data", "denoise --sgima 3")


def run(
    folder: Path,
    *,
    repeats: int = 5,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Start each, write `startup.json` into `folder`; `quick` takes two of them."""
    cli = "from unnoise.app.cli.main import main; main()"
    contenders = [
        Contender("python", "unnoise.benchmarks.startup:process", {"arguments": ["-c", "pass"]}),
        *(
            Contender(
                f"unnoise {c}", "unnoise.benchmarks.startup:process", {"arguments": ["-c", cli, *c.split()]}, True
            )
            for c in COMMANDS
        ),
        Contender("import torch", "unnoise.benchmarks.startup:process", {"arguments": ["-c", "import torch"]}),
    ]
    report = compare(
        "startup",
        contenders[:2] if quick else contenders,
        reference="python",
        unit="start",
        repeats=repeats,
        threads=threads,
        notes="wall time of a whole process, its memory not counted; the last command is a usage error",
        progress=progress,
    )
    report.save(folder / "startup.json")
    return report


def process(arguments: list[str]) -> Work:
    """One Python process from start to end."""
    import subprocess
    import sys

    return Work(lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=False))
