"""Solution of one tracer on a Dask worker."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.data.tracers import file_format
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import SolverError
from astrokeras.system.dask_cluster import WORKER_DEATHS, in_parallel


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


def solve_all(
    client: Any, config: SolverConfig, jobs: Iterator[Job]
) -> Iterator[Outcome]:
    """Solve tracers, and yield them in the order in which they finish.

    Raises:
        WorkError: If the scheduler has ended.
    """
    for job, outcome in in_parallel(client, solve_one, jobs, config):
        if isinstance(outcome, Outcome):
            yield outcome
        else:
            reason = f"{WORKER_DEATHS} workers died while solving it"
            yield Outcome(job.row, 0.0, None, reason)


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
