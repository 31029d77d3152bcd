"""The progress bar: files done, megapixels a second, time left; silent where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Report = Callable[[int, int], None]


class _Rate(ProgressColumn):
    """Megapixels a second since the file began."""

    def render(self, task: Task) -> Text:
        return Text(f"{(task.speed or 0) / 1e6:.2f} Mpx/s" if task.speed else "", style="cyan")


@contextmanager
def watch(console: Console, files: int) -> Iterator[Callable[[str], Report]]:
    """Yield `start(name)`, called once a file, which gives the callback (pixels done, pixels in all) for that file."""
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn(compact=True))
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    started = 0
    # the estimate of the whole batch is in files: sizes are known only once a file is open
    overall = bar.add_task("all files", total=files, visible=files > 1)
    current = bar.add_task("", total=None)

    def start(name: str) -> Report:
        nonlocal started
        bar.update(overall, completed=started, description=f"file {started + 1} of {files}")
        bar.reset(current, description=name, total=None)
        started += 1
        last = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > 0.1:
                bar.update(current, completed=done, total=total)
                last = time.monotonic()

        return report

    with bar:
        yield start
