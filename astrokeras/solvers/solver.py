"""What a solver of the chemistry is, and how one is found."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.errors import InputError, WorkError
from astrokeras.system.input_paths import check_input
from astrokeras.system.package_data import resource

KINDS = {
    "uclchem": "astrokeras.solvers.uclchem:UCLCHEM",
    "network": "astrokeras.solvers.network:Network",
}
"""Solvers that come with the package: name to module and class."""


class SolverError(WorkError):
    """A tracer that the solver could not solve; the message is its reason."""


@dataclass(frozen=True)
class Parameter:
    """A physical parameter that a solver takes.

    Attributes:
        unit: As tracer files name it.
        low: Smallest value accepted.
        high: Largest value accepted.
        default: What it is where tracks lack it: a value, or the name of the parameter
            that it equals; `None` if tracks must have it.
    """

    unit: str
    low: float
    high: float
    default: float | str | None = None


PARAMETERS = {
    "Density": Parameter(PARAMETER_UNITS["Density"], 1e-2, 1e12),
    "Radfield": Parameter(PARAMETER_UNITS["Radfield"], 0.0, 1e7),
    "Av": Parameter(PARAMETER_UNITS["Av"], 0.0, 1e5),
    "gasTemp": Parameter(PARAMETER_UNITS["gasTemp"], 2.73, 1e4),
    "dustTemp": Parameter(PARAMETER_UNITS["dustTemp"], 2.73, 2e3, default="gasTemp"),
    "zeta": Parameter(PARAMETER_UNITS["zeta"], 0.0, 1e6, default=1.0),
}
"""What gas-grain solvers take, by name; a solver may accept another range."""


class Solver(ABC):
    """The chemistry of one gas parcel along a trajectory.

    A subclass is made from a `SolverConfig` and may keep state of a process: each
    tracer is solved in a process of its own, forked from one where the solver was made.

    Attributes:
        species: Names in UCLCHEM's spelling, (S,).
        parameters: What `solve` takes, by name.
        initial: The network's own initial abundances, relative to H nuclei, (S,).
        shortest: Years of the shortest interval that it accepts.
        facts: For the record: `solver` (with its version), `network`, `tolerances`,
            `constants`.
    """

    species: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    initial: np.ndarray
    shortest: float = 0.0
    facts: Mapping[str, str]

    @abstractmethod
    def solve(
        self, time: np.ndarray, physical: Mapping[str, np.ndarray], initial: np.ndarray
    ) -> np.ndarray:
        """Integrate the chemistry of one tracer.

        Args:
            time: Years from 0 on, increasing, (T+1,).
            physical: Of every parameter the value that holds from time i to i + 1,
                (T,).
            initial: Abundances at time 0, relative to H nuclei, (S,).

        Returns:
            Abundances at each time, float64, (T+1, S); the first are `initial`.

        Raises:
            SolverError: If it fails.
        """


def describe_tolerances(config: SolverConfig) -> str:
    """Return the tolerances of an integration, for the record."""
    return (
        f"reltol {config.reltol:g}, abstol_factor {config.abstol_factor:g}, "
        f"abstol_min {config.abstol_min:g}"
    )


def make_solver(config: SolverConfig) -> Solver:
    """Make the solver that a configuration names.

    Args:
        config: Its `kind` is one of `KINDS` or a user's own, "module:Class".

    Raises:
        InputError: If there is no such solver, what it needs is not installed, or its
            files are wrong.
    """
    where = KINDS.get(config.kind, config.kind)
    module, colon, name = where.partition(":")
    if not colon:
        raise InputError(
            f"solver.kind is {config.kind!r}; give one of {', '.join(KINDS)}, or "
            "module:Class of your own."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"solver.kind is {config.kind!r}: {error}; correct the name or install it."
        ) from error
    return found(config)


def find_file(key: str, given: str) -> Path:
    """Return a file that `solver.files` names: where we work, or one that ships.

    Args:
        key: Its key, for messages.
        given: A path, or the name of what lies in `configs/solver/`, ours or the
            package's.

    Raises:
        InputError: If there is none.
    """
    for folder in (Path(), Path("configs/solver"), resource("configs") / "solver"):
        if (folder / given).is_file():
            return folder / given
    try:
        check_input(Path(given), "file, here or in configs/solver")
    except InputError as error:
        raise InputError(f"solver.files.{key} is {given!r}: {error}") from error
    return Path(given)
