"""Tracers solved side by side by Dask: on this machine or on a cluster."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.data import schema
from astrokeras.errors import InputError
from astrokeras.solvers.process import Host
from astrokeras.solvers.solver import SolverError

AHEAD = 2
"""Tracers that wait at each worker, so that none is idle."""
DEATHS = 20
"""Workers that may die at one tracer before it counts as failed."""
CONNECT = 20
"""Seconds to wait for a scheduler."""


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


@contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """Give a client of Dask: of a cluster of this machine, or of one that runs.

    Args:
        scheduler: Address of a scheduler; `None` for a cluster of our own.
        workers: Of our own; one for each core by default.

    Raises:
        InputError: If Dask is not installed or nobody answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            f'Dask is not installed; `pip install "astrokeras[generate]"` ({error}).'
        ) from error
    quiet = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.comm.timeouts.connect": CONNECT,
        "distributed.worker.memory.terminate": False,
    }
    with dask.config.set(quiet):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=CONNECT)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"--scheduler {scheduler}: no scheduler of Dask answers there "
                    f"({error}); start one with `dask scheduler`."
                ) from error
            with client:
                yield client
            return
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",  # Its usual port may be another cluster's.
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def solve_all(
    client: Any, config: SolverConfig, jobs: Iterator[Job]
) -> Iterator[Outcome]:
    """Solve tracers and give them in the order in which they are finished.

    Only a few wait at any moment, so that memory does not grow with their number. What
    a worker that dies was at is solved by another.
    """
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1)
    pending: dict[Any, int] = {}
    queue = as_completed()

    def submit() -> None:
        job = next(jobs, None)
        if job is not None:
            future = client.submit(solve_one, config, job, pure=False)
            pending[future.key] = job.row
            queue.add(future)

    wanted = AHEAD * max(sum(client.nthreads().values()), 1)
    for _ in range(wanted):
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


# Of this worker, those that are idle; a worker has one for each of its threads.
_HOSTS: dict[str, list[Host]] = {}


def solve_one(config: SolverConfig, job: Job) -> Outcome:
    """Solve one tracer, on a worker.

    Raises:
        InputError: If the solver is not installed there.
    """
    idle = _HOSTS.setdefault(repr(config), [])
    host = idle.pop() if idle else Host(config)
    began, abundances = time.monotonic(), None
    try:
        solved = host.solve(job.time, job.physical, job.initial)
        reason = _fault(solved, job, host.species)
        if not reason:
            abundances = np.clip(solved, schema.FLOOR, 1.0).astype(np.float32)
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
    good = (solved >= schema.LOWEST) & (solved <= schema.HIGHEST)
    if good.all():
        return ""
    state, column = np.argwhere(~good)[0]
    return (
        f"the abundance of {species[column]} is {solved[state, column]:g} after "
        f"{job.time[state]:g} years"
    )
