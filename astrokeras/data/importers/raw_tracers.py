"""Tracers of raw tables, which have a row for each tracer and time."""

from collections.abc import Iterator

import numpy as np

from astrokeras.chemistry.abundance_definitions import ELECTRON, Composition
from astrokeras.chemistry.assumed_parameters import COLUMNS
from astrokeras.config import DatasetConfig
from astrokeras.config.typed_options import typed
from astrokeras.data.checks.abundance_check import AbundanceCheck
from astrokeras.data.checks.row_check import RowCheck
from astrokeras.data.checks.unit_check import UnitCheck
from astrokeras.data.importers.column_names import find_column
from astrokeras.data.importers.column_roles import find_columns
from astrokeras.data.importers.column_units import (
    find_conversions,
    parameter_units,
    stated_units,
)
from astrokeras.data.importers.import_report import ImportStatistics
from astrokeras.data.importers.interleaving import check_order, sorted_by_tracer
from astrokeras.data.readers.table import ROWS, ReorderedTable, Table
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.block import Tracers, check_values, empty_tracers
from astrokeras.errors import InputError


class RawTracers:
    """Tracers of a raw table.

    Identifiers are read first, all other columns in blocks of whole tracers.

    Args:
        table: The raw table.
        config: How to read the table.
        statistics: Counts to which this source adds.
        cleaned: Whether species are spelled as in AstroChemNet's cleaned files.
        single: Whether a table without a column of tracers is one run.
        physics: Whether to leave out species.

    Raises:
        InputError: For missing columns, units that cannot be converted, or invalid
            identifiers.
    """

    def __init__(
        self,
        table: Table,
        config: DatasetConfig,
        statistics: ImportStatistics,
        cleaned: bool = False,
        single: bool = False,
        physics: bool = False,
    ):
        self.columns = find_columns(table, config, cleaned, physics)
        statistics.urged |= self.columns.urged
        self.table = table
        self.config = config
        self.statistics = statistics
        self.name = table.name
        self.species = self.columns.species
        if (
            config.electrons == "neutral"
            and self.species
            and ELECTRON not in self.species
        ):
            self.species += (ELECTRON,)
        self.elements = self.columns.elements
        self.parameters = tuple(self.columns.parameters)
        units = parameter_units(config)
        self.units = tuple(units[name] for name in self.parameters)
        columns = {"Time": self.columns.time, **self.columns.parameters}
        self.stated = stated_units(table, config, columns)
        found = find_conversions(config, self.stated)
        self.conversions = [found[name] for name in ("Time", *self.parameters)]
        names = {name: table.columns[column] for name, column in columns.items()}
        self.unit_check = UnitCheck(
            self.name, self.parameters, self.units, names, self.stated
        )
        self.row_check = RowCheck(self.name, self.parameters, self.units)
        self.check = AbundanceCheck(
            self.name,
            Composition.of(self.species, self.elements),
            config.abundances,
            config.electrons,
        )
        self.source = config.source
        self.initial: np.ndarray | None = None
        self.numbered = self.columns.tracer is not None
        self.split: np.ndarray | None = None
        self.families: list[str] | None = None
        self.interval = (np.inf, -np.inf)  # Shortest and longest time step, years.
        if not (self.numbered or single):
            raise InputError(
                f"{self.name}: column Tracer (or Model) missing; number the tracers, "
                "or name the column of their numbers in `dataset.tracer`."
            )
        self._find_tracers()

    def use_initial(self, initial: np.ndarray) -> None:
        """Prepend abundances, (S,), to every tracer, for `alignment: this`."""
        self.initial = np.clip(initial, self.config.floor, 1.0)

    @property
    def states(self) -> int:
        """States of the longest tracer."""
        return int(self._rows.max(initial=0)) + (self.initial is not None)

    def __len__(self) -> int:
        return len(self._rows)

    def _find_tracers(self) -> None:
        if not self.numbered:
            self._find_points()
            return
        found = (self.columns.tracer, self.columns.simulation)
        columns = [column for column in found if column is not None]
        if self.config.tracer is not None:
            self.table = sorted_by_tracer(self.table, columns[::-1], self.columns.time)
        keys, starts = [np.empty((0, len(columns)), np.int64)], [np.empty(0, np.int64)]
        last: np.ndarray | None = None
        for start in range(0, self.table.rows, ROWS):
            stop = min(start + ROWS, self.table.rows)
            ids = self.table.read(start, stop, columns)
            self._check_ids(ids, columns, start)
            previous = np.vstack([ids[:1] - 1 if last is None else last, ids[:-1]])
            changed = np.flatnonzero((ids != previous).any(axis=1))
            keys.append(ids[changed].astype(np.int64))
            starts.append(changed + start)
            last = ids[-1:]
        ids = np.concatenate(keys)
        self._starts = np.concatenate(starts)
        self._rows = np.diff(self._starts, append=self.table.rows)
        self.tracer = ids[:, 0]
        self.simulation = np.full(len(ids), file_format.NO_SIMULATION)
        if self.columns.simulation is not None:
            self.simulation = ids[:, 1]
        _, first, count = np.unique(ids, axis=0, return_index=True, return_counts=True)
        if (count > 1).any():
            row = first[count.argmax()]
            raise InputError(
                f"{self.name}: the rows of tracer {self.tracer[row]} are not "
                "consecutive; sort the table by tracer and time, or give "
                f"{typed('dataset.tracer', self.table.columns[columns[0]])}, by which "
                "they are sorted."
            )

    def _find_points(self) -> None:
        """Treat a run without tracers as a simulation, and each point as a tracer."""
        simulation = self.columns.simulation
        point = find_column(self.table.columns, "point", self.name, "point")
        # A column of simulations distinguishes several runs.
        columns = [column for column in (simulation, point) if column is not None]
        ids = np.zeros((self.table.rows, 1))
        if columns and self.table.rows:
            ids = self.table.read(0, self.table.rows, columns)
        if simulation is not None:
            self._check_ids(ids[:, :1], columns[:1], 0)
        order = np.lexsort(ids.T[::-1])
        if (order != np.arange(len(order))).any():
            self.table = ReorderedTable(self.table, order)
            ids = ids[order]
        changed = (ids != np.vstack([ids[:1] - 1, ids[:-1]])).any(axis=1)
        self._starts = np.flatnonzero(changed)
        self._rows = np.diff(self._starts, append=self.table.rows)
        self.tracer = np.arange(len(self._rows))
        self.simulation = np.zeros(len(self._rows), np.int64)
        if simulation is not None:
            self.simulation = ids[self._starts, 0].astype(np.int64)

    def _check_ids(self, ids: np.ndarray, columns: list[int], start: int) -> None:
        good = np.isfinite(ids) & (ids >= 0) & (ids < 2**53) & (ids == np.floor(ids))
        if not good.all():
            row, column = np.argwhere(~good)[0]
            raise InputError(
                f"{self.name}: row {start + row}: "
                f"{self.table.columns[columns[column]]} is {ids[row, column]:g}; "
                "identifiers must be whole numbers from 0 on."
            )

    def leave_out_short(self) -> None:
        """Leave out and count tracers of a single state, which have no time step."""
        long_enough = self._rows + (self.initial is not None) >= 2
        self.statistics.short += int((~long_enough).sum())
        for name in ("_starts", "_rows", "tracer", "simulation"):
            setattr(self, name, getattr(self, name)[long_enough])

    def blocks(self, rows: int = ROWS) -> Iterator[Tracers]:
        """Iterate over blocks of whole tracers of about `rows` rows."""
        first = 0
        while first < len(self):
            total = np.cumsum(self._rows[first:])
            last = first + max(1, int(np.searchsorted(total, rows, side="right")))
            # A block is one contiguous read, so it ends at a tracer that is left out.
            gaps = self._starts[first + 1 : last] - (
                self._starts[first : last - 1] + self._rows[first : last - 1]
            )
            if gaps.any():
                last = first + 1 + int(np.flatnonzero(gaps)[0])
            yield self._block(first, last)
            first = last

    def _block(self, first: int, last: int) -> Tracers:
        columns = self.columns
        read = [columns.time, *columns.parameters.values(), *columns.abundances]
        noted = list(columns.noted.values())
        start = int(self._starts[first])
        stop = int(self._starts[last - 1] + self._rows[last - 1])
        values = self.table.read(start, stop, [*read, *noted])
        count = len(columns.parameters)
        time = self.conversions[0](values[:, 0])
        values = values[:, 1:]
        driving = dict(zip(columns.parameters, values[:, :count].T, strict=True))
        unused = values[:, count + len(columns.abundances) :].T
        self.statistics.note(dict(zip(columns.noted, unused, strict=True)), driving)
        physical = self._convert(values[:, :count])
        ends = np.cumsum(self._rows[first:last])
        lasting = time[ends - 1] - time[self._starts[first:last] - start]
        self.unit_check.add(physical, lasting)
        abundances = self._find_abundances(
            values[:, count : count + len(columns.abundances)], physical
        )
        minimum = [self.config.minimum.get(name) for name in self.parameters]
        self.statistics.raise_to(
            physical, dict(zip(self.parameters, minimum, strict=True))
        )

        lead = int(self.initial is not None)
        n, states = last - first, int(self._rows[first:last].max()) + lead
        block = empty_tracers(n, states, len(self.species), len(self.parameters))
        block.length[:] = self._rows[first:last] + lead
        block.tracer[:] = self.tracer[first:last]
        block.simulation[:] = self.simulation[first:last]
        for i in range(n):
            rows = slice(
                int(self._starts[first + i]) - start,
                int(self._starts[first + i] + self._rows[first + i]) - start,
            )
            length = block.length[i]
            self.check.add_tracer(abundances[rows])
            block.time[i, lead:length] = time[rows]
            with np.errstate(over="ignore"):  # Overflows of float32 are refused below.
                block.abundances[i, lead:length] = abundances[rows]
                block.physical[i, : length - 1] = physical[rows][: length - 1]
        if self.initial is not None:
            block.abundances[:, 0] = self.initial
            block.time[:, 0] = 0.0
            self._check_first_times(block)
        single = not self.numbered and len(self) == 1 and columns.simulation is None
        if single and (np.diff(time) <= 0).any():
            check_order(self.table, columns.time, columns.parameters.values())
        check_values(self.name, block, self.species, self.parameters)
        self.row_check.add(block)
        steps = np.diff(block.time, axis=1)  # NaN beyond a tracer's length.
        low, high = float(np.nanmin(steps)), float(np.nanmax(steps))
        self.interval = min(self.interval[0], low), max(self.interval[1], high)
        return block

    def _convert(self, values: np.ndarray) -> np.ndarray:
        """Return parameters in the units of the tracer file, (rows, P)."""
        physical = np.empty_like(values)
        for column, convert in enumerate(self.conversions[1:]):
            physical[:, column] = convert(values[:, column])
            name = self.parameters[column]
            if name in COLUMNS and len(values) and physical[:, column].max() <= 1:
                raise InputError(
                    f"{self.name}: {self.config.parameters[name]}, the column of the "
                    f"parameter {name}, holds abundances, not column densities; "
                    f"correct `dataset.parameters.{name}`."
                )
        return physical

    def _find_abundances(self, values: np.ndarray, physical: np.ndarray) -> np.ndarray:
        """Return abundances relative to H nuclei, checked and clipped, (rows, S)."""
        if len(self.species) > values.shape[1]:  # Electrons are added.
            values = np.column_stack([values, np.zeros(len(values))])
        density = None
        if "Density" in self.parameters:
            density = physical[:, self.parameters.index("Density")]
        found = self.check.convert(values, density)
        return self.statistics.clip(found, self.config.floor)

    def _check_first_times(self, block: Tracers) -> None:
        early = block.time[:, 1] <= 0
        if early.any():
            row = int(early.argmax())
            raise InputError(
                f"{self.name}: tracer {block.tracer[row]} starts at time "
                f"{block.time[row, 1]:g}, but `alignment: this` prepends the initial "
                "abundances at time 0; use `dataset.alignment=next`."
            )
