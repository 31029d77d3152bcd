"""Many independent pieces of work, on threads of this machine or on a Dask cluster."""

from __future__ import annotations

import concurrent.futures
import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from unnoise.errors import InputError, MissingExtra, UnnoiseError
from unnoise.machine import cores

Key = TypeVar("Key")
Task = tuple[Key, Any]
"""A key, and a Dask `Delayed`."""


@dataclass(frozen=True)
class Workers:
    """So many at once; `submit` takes a `Delayed` and gives a future, `wait` waits for any of some futures."""

    count: int
    submit: Callable[[Any], Any]
    wait: Callable[[set[Any]], set[Any]]
    cancel: Callable[[set[Any]], None]

    def run(self, tasks: Iterable[Task[Key]], most: int | None = None) -> Iterator[tuple[Key, Any]]:
        """Keys and results as they come; no more than `most` tasks, or a few more than there are workers, at once.

        On an error or when the caller stops, what is running is waited for and the rest is not begun.

        Raises
        ------
        UnnoiseError : a worker was lost again and again with the same task.
        """
        pending: dict[Any, Key] = {}
        limit = min(self.count, most or self.count)
        source = iter(tasks)
        try:
            while True:
                while len(pending) < limit:
                    task = next(source, None)
                    if task is None:
                        break
                    pending[self.submit(task[1])] = task[0]
                if not pending:
                    return
                for future in self.wait(set(pending)):
                    key = pending.pop(future)
                    yield key, _result(future)
        finally:
            self.cancel(set(pending))


@contextmanager
def workers(scheduler: str | None = None, count: int | None = None) -> Iterator[Workers]:
    """Threads of this machine, or the cluster behind the scheduler `tcp://host:port`.

    Parameters
    ----------
    count : of threads; one a core unless told.

    Raises
    ------
    InputError : nothing answers there, or the cluster has no workers.
    MissingExtra : the extra 'cluster' is not installed.
    """
    if scheduler is not None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtra("cluster") from error
        with _connected(distributed, scheduler) as client:
            threads = sum(client.nthreads().values())
            if not threads:
                raise InputError(f"the cluster at {scheduler} has no workers: start some with: dask worker {scheduler}")

            def wait(futures: set[Any]) -> set[Any]:
                with client.as_current():
                    return set(distributed.wait(list(futures), return_when="FIRST_COMPLETED").done)

            # one more than it has threads, so that none waits for the next task to arrive
            yield Workers(
                threads + 1,
                lambda task: client.compute(task, retries=2),
                wait,
                lambda futures: client.cancel(list(futures)),
            )
        return
    count = cores() if count is None else count
    with concurrent.futures.ThreadPoolExecutor(count, initializer=_share_cores, initargs=(count,)) as pool:

        def cancel(futures: set[Any]) -> None:
            for future in futures:
                future.cancel()

        yield Workers(
            count,
            lambda task: pool.submit(task.compute, scheduler="synchronous"),
            lambda futures: concurrent.futures.wait(futures, return_when="FIRST_COMPLETED").done,
            cancel,
        )


@contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Any]:
    try:
        client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler}: start one with: dask scheduler, and give its tcp:// address"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=5)


def _share_cores(count: int) -> None:
    """Threads that each multiply with all cores would wait for one another."""
    import torch

    torch.set_num_threads(max(1, cores() // count))


def _result(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise UnnoiseError(
                "workers of the cluster died one after another on the same piece: give them more memory, or choose a "
                "smaller --memory and begin anew"
            ) from error
        if type(error).__name__ in ("CommClosedError", "FutureCancelledError", "SchedulerStillRunning"):
            raise UnnoiseError("the scheduler is gone: start it again and go on with --resume") from error
        raise


def disk_full(error: BaseException) -> bool:
    """Whether an error of a task means that there is no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
