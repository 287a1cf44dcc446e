"""Dask workers that solve tracers in parallel, on this machine or on a cluster."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.data.tracers import file_format
from astrokeras.errors import InputError, WorkError
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import SolverError

TRACERS_PER_THREAD = 2
"""Tracers submitted for each thread of the workers, so that none is idle."""
WORKER_DEATHS = 20
"""Workers that may die while solving a tracer before it counts as failed."""
CONNECT_SECONDS = 20
"""Longest wait for a scheduler."""
RECOUNT_SECONDS = 2
"""Time after which the workers are counted again."""


@dataclass(frozen=True)
class Job:
    """A tracer to solve.

    Attributes:
        row: Row number in the file of trajectories.
        time: Years since the first state, (T+1,).
        physical: Each parameter of the solver, (T,).
        initial: Abundances at time 0, (S,).
    """

    row: int
    time: np.ndarray
    physical: Mapping[str, np.ndarray]
    initial: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """The solution of a tracer, or the reason why it is missing or ends early.

    Attributes:
        row: Row number in the file of trajectories.
        seconds: Wall time of the solver.
        abundances: Solved states, (R, S) float32, R <= T+1; `None` if there are not
            two of them.
        reason: Why the solver failed or stopped.
    """

    row: int
    seconds: float
    abundances: np.ndarray | None
    reason: str = ""


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
        workers: Number of workers of a new cluster; one for each core by default.

    Raises:
        InputError: If Dask is not installed or no scheduler answers.
    """
    distributed = import_dask()
    import dask

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
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def solve_all(
    client: Any, config: SolverConfig, jobs: Iterator[Job]
) -> Iterator[Outcome]:
    """Solve tracers, and yield them in the order in which they finish.

    Only a few are submitted at a time, so that memory does not grow with their number.
    If a worker dies, another one solves its tracers.

    Raises:
        WorkError: If the scheduler has ended.
    """
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1)
    pending: dict[Any, int] = {}
    queue = as_completed()
    capacity = _Capacity(client)

    def submit() -> None:
        for job in islice(jobs, max(capacity.tracers() - len(pending), 0)):
            future = client.submit(solve_one, config, job, pure=False)
            pending[future.key] = job.row
            queue.add(future)

    try:
        submit()
        for future in queue:
            row = pending.pop(future.key)
            try:
                outcome = future.result()
            except KilledWorker:
                outcome = Outcome(
                    row, 0.0, None, f"{WORKER_DEATHS} workers died while solving it"
                )
            future.release()
            submit()
            yield outcome
    except CancelledError as error:
        raise WorkError(
            f"the Dask scheduler {client.scheduler.address} is gone; solved tracers "
            "are kept, and the same command with --resume continues."
        ) from error


class _Capacity:
    """Number of tracers to submit, as workers join and leave a cluster."""

    def __init__(self, client: Any):
        self.client = client
        self.counted = -math.inf  # time of the last count
        self.threads = 0

    def tracers(self) -> int:
        """Return `TRACERS_PER_THREAD` for each thread of the current workers."""
        if time.monotonic() - self.counted > RECOUNT_SECONDS:
            self.threads = sum(self.client.nthreads().values())
            self.counted = time.monotonic()
        return TRACERS_PER_THREAD * max(self.threads, 1)


# Idle solver processes of this worker, which needs one for each of its threads.
_IDLE_HOSTS: dict[str, list[SolverProcess]] = {}


def solve_one(config: SolverConfig, job: Job) -> Outcome:
    """Solve a tracer on a worker.

    Raises:
        InputError: If the solver is not installed on the worker.
    """
    idle = _IDLE_HOSTS.setdefault(repr(config), [])
    host = idle.pop() if idle else SolverProcess(config)
    began = time.monotonic()
    solved: np.ndarray | None
    try:
        solved, reason = host.solve(job.time, job.physical, job.initial), ""
        if np.shape(solved) != (len(job.time), len(host.species)):
            reason = (
                f"the solver returned the shape {np.shape(solved)}, not "
                f"{(len(job.time), len(host.species))}, states and species"
            )
            solved = None
    except SolverError as error:
        solved, reason = error.states, str(error)
    seconds = time.monotonic() - began
    if host.process.poll() is None:
        idle.append(host)
    abundances = None
    if solved is not None:
        count, fault = _count_valid(solved, job, host.species)
        reason = fault or reason
        if count > 1:
            kept = np.clip(solved[:count], file_format.FLOOR, 1.0)
            abundances = kept.astype(np.float32)
    return Outcome(job.row, seconds, abundances, reason)


def _count_valid(
    solved: np.ndarray, job: Job, species: tuple[str, ...]
) -> tuple[int, str]:
    """Return the number of states before the first fault, and the fault, if any."""
    valid = (solved >= file_format.LOWEST) & (solved <= file_format.HIGHEST)
    if valid.all():
        return len(solved), ""
    state, column = np.argwhere(~valid)[0]
    return int(state), (
        f"the abundance of {species[column]} is {solved[state, column]:g} after "
        f"{job.time[state]:g} years"
    )
