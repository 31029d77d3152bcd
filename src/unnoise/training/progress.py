"""The bar of a training: steps, rate, time left, loss and the last evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from unnoise.training.loop import Progress


@contextmanager
def bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """The callback for `fit`; where nobody watches (no terminal), evaluations are printed, one line each."""
    columns = (
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=300) as shown:
        task = shown.add_task("", total=None, rate="")
        evaluated = ""
        loss = 0.0
        begun = False

        def update(p: Progress) -> None:
            nonlocal evaluated, loss, begun
            if not begun:
                shown.reset(task, total=p.steps, completed=p.step - 1)
                loss, begun = p.loss, True
            loss += 0.05 * (p.loss - loss)
            if p.evaluation:
                evaluated = " ".join(f"{name} {value:.2f}" for name, value in p.evaluation.items())
                if not console.is_terminal:
                    console.print(f"step {p.step} loss {loss:.4f} {evaluated}", highlight=False, soft_wrap=True)
            speed = shown.tasks[0].speed
            rate = f"{speed:.2f} steps/s" if speed else ""
            shown.update(task, completed=p.step, rate=rate, description=f"loss {loss:.4f} {evaluated}")

        yield update
