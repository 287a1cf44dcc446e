"""Solver inputs: trajectories, checked and completed for a solver."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.abundance_definitions import Composition
from astrokeras.chemistry.species import find_elements, order_elements
from astrokeras.config import GenerationConfig
from astrokeras.data.checks.abundance_check import AbundanceCheck
from astrokeras.data.checks.unit_check import check_units
from astrokeras.data.importers.column_roles import species_positions
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.initial_abundances import read_initial, unbalanced
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.units import is_usual
from astrokeras.errors import InputError
from astrokeras.generation.tracer_jobs import Job
from astrokeras.prediction.tracer_rollout import read_given
from astrokeras.solvers.checks import check_tracks
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import ColumnShare, Parameter
from astrokeras.system.close_names import suggest

NETWORK = "network"
"""Name of the initial abundances of the network itself."""
BLOCK = 32
"""Tracers that are read and written at a time."""


class SolverInputs:
    """Trajectories, checked and completed for a solver.

    Args:
        store: The open file.
        solver: The running solver.
        config: See `generate`.
        initial: See `generate`.
        path: Path for messages; by default that of the open file.

    Attributes:
        warnings: A line for each quantity that is unusual in clouds.

    Raises:
        InputError: See `generate`.
    """

    def __init__(
        self,
        store: TracerStore,
        solver: SolverProcess,
        config: GenerationConfig,
        initial: str | Path | None = None,
        path: Path | None = None,
    ):
        self.store = store
        self.path = path or store.path
        self.species = solver.species
        self.solver_facts = solver.facts
        self.config = config
        self.constant: dict[str, float] = {}
        self.equal: dict[str, str] = {}
        self.columns: dict[str, ColumnShare] = {}
        self._fill(solver)
        self.composition = Composition.of(
            self.species, config.dataset.elements, whole=True
        )
        self.start, self.order = self._find_start(solver, initial)
        self.given = f"initial abundances {NETWORK if initial is None else initial}"
        check_tracks(store, solver.parameters, solver.shortest, str(self.path))
        # A table was checked when it was read.
        same = self.path == store.path
        self.warnings = check_units(store, str(self.path)) if same else []

    def _fill(self, solver: SolverProcess) -> None:
        """Find a value for each parameter that the file lacks.

        It is a constant, another parameter, or a column density in proportion to that
        of H nuclei. The configuration overrides what the file was solved with.
        """
        self._check_names(solver)
        known, given = solver.parameters, self.config.solver.constants
        values = {name: parameter.default for name, parameter in known.items()}
        values |= self.store.held()
        values |= given
        for name in known:
            if name in self.store.parameters:
                continue
            value = values[name]
            if value is None:
                raise InputError(
                    f"{self.path}: parameter {name} is missing; add it, or give "
                    f"solver.constants.{name}=VALUE."
                )
            if isinstance(value, str):
                self.equal[name] = value
                continue
            if isinstance(value, ColumnShare):
                self.columns[name] = value
                continue
            where = "" if name in given else f"{self.path}: held fixed, "
            _check_constant(f"{where}solver.constants.{name}", value, known[name])
            self.constant[name] = value

    def _check_names(self, solver: SolverProcess) -> None:
        """Raise InputError for names or units that the solver does not accept."""
        known, columns = solver.parameters, self.store.parameters
        for name, unit in zip(columns, self.store.units, strict=True):
            if name not in known:
                raise InputError(
                    f"{self.path}: the solver takes no parameter {name!r}; it takes "
                    f"{', '.join(known)}"
                    f"{suggest(name, known, '. Rename it in `dataset.parameters`.')}"
                )
            if unit != known[name].unit:
                raise InputError(
                    f"{self.path}: parameter {name} is in {unit!r}, the solver takes "
                    f"{known[name].unit!r}; convert it."
                )
        for name in self.config.solver.constants:
            if name not in known or name in columns:
                reason = (
                    "the file holds this parameter"
                    if name in known
                    else "the solver has no such parameter"
                )
                remedy = suggest(name, set(known) - set(columns), "; remove it.")
                raise InputError(f"solver.constants.{name}: {reason}{remedy}")

    def _find_start(
        self, solver: SolverProcess, initial: str | Path | None
    ) -> tuple[np.ndarray | None, list[int]]:
        """Return initial abundances of all tracers, or the columns of the species."""
        store = self.store
        if initial is None and store.has_abundances:
            path, wanted = str(self.path), solver.species
            return None, species_positions(store.species, wanted, path, "the solver")
        if initial is None or str(initial) == NETWORK:
            return np.maximum(solver.initial, 0.0), []
        return read_initial(initial, solver.species, 0.0, self.config.dataset), []

    def check_starts(self) -> None:
        """Raise InputError for initial abundances with other sums of atoms."""
        if self.start is not None:
            self._check_sums(self.start[None], [self.given])
            return
        for block in self.blocks():
            where = [
                f"{self.path}: tracer {tracer}, state 0" for tracer in block.tracer
            ]
            self._check_sums(self._states(block.abundances[:, 0]), where)

    def _check_sums(self, starts: np.ndarray, where: list[str]) -> None:
        bad = self.composition.unbalanced(starts)
        if bad.any():
            row = int(bad.argmax())
            fault = unbalanced(self.composition, starts[row], option=True)
            raise InputError(f"{where[row]}: {fault}.")
        AbundanceCheck(where[0], self.composition, stored=True).convert(starts)

    def _states(self, abundances: np.ndarray) -> np.ndarray:
        """Return states of the file, (n, S), in the order of the solver's species."""
        found = abundances[:, self.order].astype(float)
        if self.config.dataset.electrons == "neutral":
            return self.composition.set_electrons(found)
        return found

    def jobs(self, wanted: np.ndarray) -> Iterator[Job]:
        """Yield the tracers to solve, reading a few at a time.

        Args:
            wanted: Whether to solve each tracer, (N,) bool.
        """
        for block in self.blocks():
            for i, row in enumerate(block.rows):
                if not wanted[row]:
                    continue
                length = int(block.length[i])
                time = block.time[i, :length]
                physical = self.physical(block.physical[i, : length - 1])
                start = self.start
                if start is None:
                    start = self._states(block.abundances[i, :1])[0]
                yield Job(int(row), time - time[0], physical, start)

    def blocks(self) -> Iterator[Tracers]:
        """Yield all tracers, with abundances of state 0 only."""
        for first in range(0, self.store.tracers, BLOCK):
            rows = slice(first, min(first + BLOCK, self.store.tracers))
            yield read_given(self.store, rows, check=False, start=self.start)

    def physical(
        self, values: np.ndarray, factors: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """Return each parameter of the solver, (T,), from those of a tracer, (T, P).

        Args:
            values: The parameters of the file.
            factors: Factors of some of these, by name.
        """
        steps = values.astype(float)
        columns = dict(zip(self.store.parameters, steps.T, strict=True))
        for name, factor in (factors or {}).items():
            columns[name] = columns[name] * factor
        for name, value in self.constant.items():
            columns[name] = np.full(len(steps), value)
        for name, other in self.equal.items():
            columns[name] = columns[other]
        for name, share in self.columns.items():
            columns[name] = share.column(columns["Av"])
        return columns

    def fixed(self) -> list[str]:
        """Return "name = value" for each parameter that the file lacks."""
        return format_values({**self.constant, **self.equal, **self.columns})

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the tracer file that describe its origin."""
        dataset, solver = self.config.dataset, self.solver_facts
        elements = find_elements(self.species, dataset.elements)
        return {
            "source": self.store.attributes.get("source") or dataset.source,
            "network": solver["network"],
            "solver": solver["solver"],
            "tolerances": solver["tolerances"],
            "constants": solver["constants"],
            "licence": dataset.licence,
            "citation": dataset.citation,
            "files": [self.path.name],
            "alignment": "next",
            "floor": file_format.FLOOR,
            "elements": list(order_elements(set(elements))),
            "fixed": self.fixed(),
            "options": format_values(self.config.solver.options),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _check_constant(name: str, value: float, limit: Parameter) -> None:
    """Raise InputError for a constant that the solver rejects or no cloud has."""
    if not limit.low <= value <= limit.high:
        raise InputError(
            f"{name} is {value:g}; the solver takes {limit.low:g} to {limit.high:g} "
            f"{limit.unit}."
        )
    if not is_usual(value, limit.unit):
        raise InputError(
            f"{name} is {value:g} {limit.unit}, which no cloud has; give it in that "
            "unit."
        )


def format_values(values: Mapping[str, float | str | ColumnShare]) -> list[str]:
    """Return "name = value" for each value."""
    return [
        f"{name} = {format(value, 'g') if isinstance(value, float | int) else value}"
        for name, value in values.items()
    ]
