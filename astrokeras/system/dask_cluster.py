"""Dask workers that do many tasks at once, on this machine or on a cluster."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import Any

from astrokeras.errors import InputError, WorkError
from astrokeras.system.backend import THREAD_VARIABLES, available_cores

TASKS_PER_THREAD = 2
"""Tasks submitted for each thread of the workers, so that none is idle."""
WORKER_DEATHS = 20
"""Workers that may die while they do a task before it counts as failed."""
CONNECT_SECONDS = 20
"""Longest wait for a scheduler."""
RECOUNT_SECONDS = 2
"""Time after which the workers are counted again."""


def check_scheduler(scheduler: str | None) -> None:
    """Raise InputError if Dask is missing or the scheduler cannot be reached."""
    import_dask()
    if scheduler is not None:
        with connect(scheduler, None):
            pass


def import_dask() -> Any:
    """Return the module `distributed`.

    Raises:
        InputError: If Dask is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            f'Dask is not installed; `pip install "astrokeras[generate]"` ({error}).'
        ) from error
    return distributed


@contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """Yield a Dask client of a running cluster, or of a new one on this machine.

    Args:
        scheduler: Address of a scheduler; `None` for a new cluster on this machine.
        workers: Number of workers of a new cluster; one for each core by default. They
            share the cores.

    Raises:
        InputError: If Dask is not installed or no scheduler answers.
    """
    distributed = import_dask()
    import dask

    workers = workers or available_cores()
    threads = str(max(1, available_cores() // workers))
    settings = {
        "distributed.scheduler.allowed-failures": WORKER_DEATHS,
        "distributed.comm.timeouts.connect": CONNECT_SECONDS,
        "distributed.worker.memory.terminate": False,
    }
    with dask.config.set(settings):
        if scheduler is not None:
            try:
                client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"--scheduler {scheduler}: no scheduler of Dask answers there "
                    f"({error}); start one with `dask scheduler`."
                ) from error
            with client:
                yield client
            return
        with (
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",  # The default port may be in use.
                env=dict.fromkeys(THREAD_VARIABLES, threads),
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def in_parallel(
    client: Any, function: Callable[..., Any], tasks: Iterator[Any], *common: Any
) -> Iterator[tuple[Any, Any]]:
    """Do tasks, and yield each with its result in the order in which they finish.

    Only a few are submitted at a time, so that memory does not grow with their number.
    If a worker dies, another one does its tasks.

    Args:
        client: A Dask client.
        function: Called with `common` and a task.
        tasks: The tasks.
        *common: Further arguments, the same for all.

    Yields:
        Task and result; the result of a task that killed `WORKER_DEATHS` workers is a
        `distributed.KilledWorker`.

    Raises:
        WorkError: If the scheduler has ended.
    """
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1)
    pending: dict[Any, Any] = {}
    queue = as_completed()
    capacity = _Capacity(client)

    def submit() -> None:
        for task in islice(tasks, max(capacity.tasks() - len(pending), 0)):
            future = client.submit(function, *common, task, pure=False)
            pending[future.key] = task
            queue.add(future)

    try:
        submit()
        for future in queue:
            task = pending.pop(future.key)
            try:
                result = future.result()
            except KilledWorker as error:
                result = error
            future.release()
            submit()
            yield task, result
    except CancelledError as error:
        raise WorkError(
            f"the Dask scheduler {client.scheduler.address} is gone; what was finished "
            "is kept, and the same command with --resume continues."
        ) from error


class _Capacity:
    """Number of tasks to submit, as workers join and leave a cluster."""

    def __init__(self, client: Any):
        self.client = client
        self.counted = -math.inf  # time of the last count
        self.threads = 0

    def tasks(self) -> int:
        """Return `TASKS_PER_THREAD` for each thread of the current workers."""
        if time.monotonic() - self.counted > RECOUNT_SECONDS:
            self.threads = sum(self.client.nthreads().values())
            self.counted = time.monotonic()
        return TASKS_PER_THREAD * max(self.threads, 1)
