"""Interface of a chemical solver, and its creation from a configuration."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astrokeras.chemistry.assumed_parameters import COLUMNS, EXTINCTION
from astrokeras.config import SolverConfig
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.errors import InputError, WorkError
from astrokeras.solvers.shared_states import complete_rows, shared_array
from astrokeras.system.close_names import suggest
from astrokeras.system.input_paths import check_input
from astrokeras.system.package_data import resource

KINDS = {
    "uclchem": "astrokeras.solvers.uclchem:UCLCHEM",
    "network": "astrokeras.solvers.network:Network",
}
"""Solvers of the package: name to module and class."""


class SolverError(WorkError):
    """Failure of a solver for a tracer; the message gives the reason.

    Attributes:
        states: The states that were reached, (R, S), the first of them the initial one;
            `None` if there are none.
    """

    def __init__(self, message: str, states: np.ndarray | None = None):
        super().__init__(message)
        self.states = states


@dataclass(frozen=True)
class ColumnShare:
    """Column density as a share of that of H nuclei, N(H) = Av / 5.348e-22 cm^-2.

    Attributes:
        share: The share.
    """

    share: float

    def column(self, av: np.ndarray) -> np.ndarray:
        """Return the column density for an extinction in mag, cm^-2."""
        return self.share * av / EXTINCTION

    def __str__(self) -> str:
        return f"{self.share:g} N(H)"


@dataclass(frozen=True)
class Parameter:
    """Physical parameter of a solver.

    Attributes:
        unit: Unit as in tracer files.
        low: Smallest accepted value.
        high: Largest accepted value.
        default: Its value if tracks lack it: a number, the name of the parameter that
            it equals, or a share of N(H); `None` if it is required.
    """

    unit: str
    low: float
    high: float
    default: float | str | ColumnShare | None = None


PARAMETERS = {
    "Density": Parameter(PARAMETER_UNITS["Density"], 1e-2, 1e12),
    "Radfield": Parameter(PARAMETER_UNITS["Radfield"], 0.0, 1e7),
    "Av": Parameter(PARAMETER_UNITS["Av"], 0.0, 1e5),
    "gasTemp": Parameter(PARAMETER_UNITS["gasTemp"], 2.73, 1e4),
    "dustTemp": Parameter(PARAMETER_UNITS["dustTemp"], 2.73, 2e3, default="gasTemp"),
    "zeta": Parameter(PARAMETER_UNITS["zeta"], 0.0, 1e6, default=1.0),
    "NH2": Parameter(
        PARAMETER_UNITS["NH2"], 0.0, 1e28, default=ColumnShare(COLUMNS["NH2"])
    ),
    "NCO": Parameter(
        PARAMETER_UNITS["NCO"], 0.0, 1e28, default=ColumnShare(COLUMNS["NCO"])
    ),
}
"""Parameters of gas-grain solvers by name; a solver may accept other ranges."""


class Solver(ABC):
    """Base class of solvers, which integrate the chemistry along a trajectory.

    A subclass is created from a `SolverConfig` and may keep global state: each tracer
    is solved in a new process, forked from the process that created the solver.

    Attributes:
        species: Names in UCLCHEM's spelling, (S,).
        parameters: Parameters of `solve`, by name.
        initial: Default initial abundances of the network, relative to H nuclei, (S,).
        shortest: Shortest accepted time step, years.
        facts: Provenance: `solver` (with its version), `network`, `tolerances`,
            `constants`.
        states: Array that `solve` may fill state by state, (T+1, S): complete states
            are kept if it fails or is stopped. `None` if nobody asked for it.
    """

    species: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    initial: np.ndarray
    shortest: float = 0.0
    facts: Mapping[str, str]
    states: np.ndarray | None = None

    def prepare(self, states: int) -> None:
        """Allocate what the process that calls `solve` next shares with this one.

        Args:
            states: Number of states of the tracer, T+1.
        """
        self.states = shared_array((states, len(self.species)))

    def reached(self) -> np.ndarray:
        """Return the states that the last call of `solve` has completed, (R, S)."""
        return np.empty((0, 0)) if self.states is None else complete_rows(self.states)

    @abstractmethod
    def solve(
        self, time: np.ndarray, physical: Mapping[str, np.ndarray], initial: np.ndarray
    ) -> np.ndarray:
        """Integrate the chemistry of one tracer.

        Args:
            time: Increasing times from 0 on, years, (T+1,).
            physical: Value of every parameter from time i to i + 1, (T,).
            initial: Abundances at time 0, relative to H nuclei, (S,).

        Returns:
            Abundances at each time, float64, (T+1, S); the first are `initial`.

        Raises:
            SolverError: If the integration fails.
        """


def describe_tolerances(config: SolverConfig) -> str:
    """Return the tolerances of the integration as text, for the provenance."""
    return (
        f"reltol {config.reltol:g}, abstol_factor {config.abstol_factor:g}, "
        f"abstol_min {config.abstol_min:g}"
    )


def make_solver(config: SolverConfig) -> Solver:
    """Return the solver of a configuration.

    Args:
        config: Its `kind` is a name in `KINDS`, or a user's own "module:Class".

    Raises:
        InputError: If there is no such solver, a requirement is not installed, or its
            files are invalid.
    """
    where = KINDS.get(config.kind, config.kind)
    module, colon, name = where.partition(":")
    if not colon:
        raise InputError(
            f"solver.kind is {config.kind!r}; give one of {', '.join(KINDS)}, or your "
            f"own module:Class{suggest(config.kind, KINDS)}"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"solver.kind is {config.kind!r}: {error}; correct the name or install it."
        ) from error
    return found(config)


def find_file(key: str, given: str) -> Path:
    """Return the path of a file in `solver.files`.

    Args:
        key: Key of the file in `solver.files`, for messages.
        given: A path, or the name of a file in `configs/solver/` of the working
            directory or of the package.

    Raises:
        InputError: If there is no such file.
    """
    for folder in (Path(), Path("configs/solver"), resource("configs") / "solver"):
        if (folder / given).is_file():
            return folder / given
    try:
        check_input(Path(given), "file, here or in configs/solver")
    except InputError as error:
        raise InputError(f"solver.files.{key} is {given!r}: {error}") from error
    return Path(given)
