"""Trajectories, checked, as a solver takes them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import find_elements, order_elements
from astrokeras.config import GenerationConfig
from astrokeras.data.importers.column_roles import species_positions
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.units import is_usual
from astrokeras.errors import InputError
from astrokeras.generation.dask_pool import Job
from astrokeras.prediction.tracer_rollout import read_given
from astrokeras.solvers.checks import check_tracks
from astrokeras.solvers.process import Host
from astrokeras.solvers.solver import Parameter

NETWORK = "network"
"""The start that is the network's own."""
BLOCK = 32
"""Tracers that are read and written at once."""


class Tracks:
    """Trajectories, checked, as a solver takes them.

    Args:
        store: The open file.
        solver: What it says of itself.
        config: See `generate`.
        initial: See `generate`.
        path: Where they came from, for messages; the open file by default.

    Raises:
        InputError: See `generate`.
    """

    def __init__(
        self,
        store: TracerStore,
        solver: Host,
        config: GenerationConfig,
        initial: str | Path | None = None,
        path: Path | None = None,
    ):
        self.store = store
        self.path = path or store.path
        self.species = solver.species
        self.facts = solver.facts
        self.config = config
        self.constant, self.equal = self._fill(solver)
        self.start, self.order = self._find_start(solver, initial)
        check_tracks(store, solver.parameters, solver.shortest, str(self.path))

    def _fill(self, solver: Host) -> tuple[dict[str, float], dict[str, str]]:
        """Return the parameters that the tracks lack: constants, and equals of others.

        What the configuration names comes before what the file says it held fixed.
        """
        self._check_names(solver)
        known, given = solver.parameters, self.config.solver.constants
        held = {name: one.default for name, one in known.items()}
        held |= self.store.held()
        held |= given
        constants, equal = {}, {}
        for name in known:
            if name in self.store.parameters:
                continue
            value = held[name]
            if value is None:
                raise InputError(
                    f"{self.path}: parameter {name} is missing; add it, or give "
                    f"solver.constants.{name}=VALUE."
                )
            if isinstance(value, str):
                equal[name] = value
                continue
            where = "" if name in given else f"{self.path}: held fixed, "
            _check_constant(f"{where}solver.constants.{name}", value, known[name])
            constants[name] = value
        return constants, equal

    def _check_names(self, solver: Host) -> None:
        """Refuse parameters and constants that the solver does not take as they are."""
        known, columns = solver.parameters, self.store.parameters
        for name, unit in zip(columns, self.store.units, strict=True):
            if name not in known:
                raise InputError(
                    f"{self.path}: the solver takes no parameter {name!r}; it takes "
                    f"{', '.join(known)}. Rename it in `dataset.parameters`."
                )
            if unit != known[name].unit:
                raise InputError(
                    f"{self.path}: parameter {name} is in {unit!r}, the solver takes "
                    f"{known[name].unit!r}; convert it."
                )
        for name in self.config.solver.constants:
            if name not in known or name in columns:
                there = "the tracks have it" if name in known else "the solver lacks it"
                raise InputError(f"solver.constants.{name}: {there}; remove it.")

    def _find_start(
        self, solver: Host, initial: str | Path | None
    ) -> tuple[np.ndarray | None, list[int]]:
        """Return one start for all, or the columns of the file's species."""
        store = self.store
        if initial is None and store.has_abundances:
            path, wanted = str(self.path), solver.species
            return None, species_positions(store.species, wanted, path, "the solver")
        if initial is None or str(initial) == NETWORK:
            return np.maximum(solver.initial, 0.0), []
        return read_initial(initial, solver.species, floor=0.0), []

    def jobs(self, wanted: np.ndarray) -> Iterator[Job]:
        """Iterate over what is to be solved, reading a few tracers at a time.

        Args:
            wanted: Whether to solve each, (N,) bool.
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
                    start = block.abundances[i, 0, self.order].astype(float)
                yield Job(int(row), time - time[0], physical, start)

    def blocks(self) -> Iterator[Tracers]:
        """Iterate over all tracers, of their abundances state 0 alone."""
        for first in range(0, self.store.tracers, BLOCK):
            rows = slice(first, min(first + BLOCK, self.store.tracers))
            yield read_given(self.store, rows, check=False, start=self.start)

    def physical(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return every parameter of the solver, (T,) each, of a tracer's, (T, P)."""
        steps = values.astype(float)
        columns = dict(zip(self.store.parameters, steps.T, strict=True))
        for name, value in self.constant.items():
            columns[name] = np.full(len(steps), value)
        for name, other in self.equal.items():
            columns[name] = columns[other]
        return columns

    def fixed(self) -> list[str]:
        """Return what is held fixed, for the record."""
        return told(self.constant) + told(self.equal)

    def attributes(self) -> dict[str, Any]:
        """Return what the tracer file says of its origin."""
        dataset, facts = self.config.dataset, self.facts
        elements = find_elements(self.species, dataset.elements)
        return {
            "source": self.store.attributes.get("source") or dataset.source,
            "network": facts["network"],
            "solver": facts["solver"],
            "tolerances": facts["tolerances"],
            "constants": facts["constants"],
            "licence": dataset.licence,
            "citation": dataset.citation,
            "files": [self.path.name],
            "alignment": "next",
            "floor": file_format.FLOOR,
            "elements": list(order_elements(set(elements))),
            "fixed": self.fixed(),
            "options": told(self.config.solver.options),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _check_constant(name: str, value: float, limit: Parameter) -> None:
    """Refuse a constant that the solver does not take, or that no cloud has."""
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


def told(values: Mapping[str, float | str]) -> list[str]:
    """Return names and values, for the record."""
    return [
        f"{name} = {value if isinstance(value, str) else format(value, 'g')}"
        for name, value in values.items()
    ]
