"""Tracers solved side by side by Dask: on this machine or on a cluster."""

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

AHEAD = 2
"""Tracers that wait at each worker, so that none is idle."""
DEATHS = 20
"""Workers that may die at one tracer before it counts as failed."""
CONNECT = 20
"""Seconds to wait for a scheduler."""
ASK = 2
"""Seconds after which workers are counted anew."""


@dataclass(frozen=True)
class Job:
    """A tracer to solve.

    Attributes:
        row: Among the tracks.
        time: Years from 0 on, (T+1,).
        physical: Every parameter of the solver, (T,) each.
        initial: Abundances at time 0, (S,).
    """

    row: int
    time: np.ndarray
    physical: Mapping[str, np.ndarray]
    initial: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What became of a tracer.

    Attributes:
        row: Among the tracks.
        seconds: What the solver took.
        abundances: Float32, (T+1, S), or `None` if it failed.
        reason: Why it failed.
    """

    row: int
    seconds: float
    abundances: np.ndarray | None
    reason: str = ""


def check_scheduler(scheduler: str | None) -> None:
    """Refuse a scheduler that is not there before anything is written.

    Raises:
        InputError: As `connect`.
    """
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
    """Give a client of Dask: of a cluster of this machine, or of one that runs.

    Args:
        scheduler: Address of a scheduler; `None` for a cluster of our own.
        workers: Of our own; one for each core by default.

    Raises:
        InputError: If Dask is not installed or nobody answers.
    """
    distributed = import_dask()
    import dask

    quiet = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.comm.timeouts.connect": CONNECT,
        "distributed.worker.memory.terminate": False,
    }
    with dask.config.set(quiet):
        if scheduler is not None:
            try:
                client = distributed.Client(scheduler, timeout=CONNECT)
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
                dashboard_address=":0",  # Its usual port may be another cluster's.
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def solve_all(
    client: Any, config: SolverConfig, jobs: Iterator[Job]
) -> Iterator[Outcome]:
    """Solve tracers and give them in the order in which they are finished.

    Only a few wait at any moment, so that memory does not grow with their number. What
    a worker that dies was at is solved by another.

    Raises:
        WorkError: If the scheduler is gone.
    """
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1)
    pending: dict[Any, int] = {}
    queue = as_completed()
    room = _Room(client)

    def submit() -> None:
        for job in islice(jobs, max(room.tracers() - len(pending), 0)):
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
                outcome = Outcome(row, 0.0, None, f"{DEATHS} workers died at it")
            future.release()
            submit()
            yield outcome
    except CancelledError as error:
        raise WorkError(
            f"the Dask scheduler {client.scheduler.address} is gone; what was solved "
            "is kept: the same command with --resume goes on."
        ) from error


class _Room:
    """How many tracers may be on their way: workers come and go on a cluster."""

    def __init__(self, client: Any):
        self.client = client
        self.asked = -math.inf
        self.threads = 0

    def tracers(self) -> int:
        """Return `AHEAD` for each thread of the workers that are there now."""
        if time.monotonic() - self.asked > ASK:
            self.threads = sum(self.client.nthreads().values())
            self.asked = time.monotonic()
        return AHEAD * max(self.threads, 1)


# Of this worker, those that are idle; a worker has one for each of its threads.
_HOSTS: dict[str, list[SolverProcess]] = {}


def solve_one(config: SolverConfig, job: Job) -> Outcome:
    """Solve one tracer, on a worker.

    Raises:
        InputError: If the solver is not installed there.
    """
    idle = _HOSTS.setdefault(repr(config), [])
    host = idle.pop() if idle else SolverProcess(config)
    began, abundances = time.monotonic(), None
    try:
        solved = host.solve(job.time, job.physical, job.initial)
        reason = _fault(solved, job, host.species)
        if not reason:
            abundances = np.clip(solved, file_format.FLOOR, 1.0).astype(np.float32)
    except SolverError as error:
        reason = str(error)
    if host.process.poll() is None:
        idle.append(host)
    return Outcome(job.row, time.monotonic() - began, abundances, reason)


def _fault(solved: np.ndarray, job: Job, species: tuple[str, ...]) -> str:
    """Return what is wrong with a solution, if anything."""
    if np.shape(solved) != (len(job.time), len(species)):
        return (
            f"the solver returned the shape {np.shape(solved)}, not "
            f"{(len(job.time), len(species))}, states and species"
        )
    good = (solved >= file_format.LOWEST) & (solved <= file_format.HIGHEST)
    if good.all():
        return ""
    state, column = np.argwhere(~good)[0]
    return (
        f"the abundance of {species[column]} is {solved[state, column]:g} after "
        f"{job.time[state]:g} years"
    )
