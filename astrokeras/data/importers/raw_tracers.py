"""Tracers of raw tables, which have a row for each tracer and time."""

from collections.abc import Iterator

import numpy as np

from astrokeras.chemistry.assumed_parameters import COLUMNS
from astrokeras.config import DatasetConfig
from astrokeras.data.importers.column_roles import find_columns
from astrokeras.data.importers.import_report import ImportStatistics
from astrokeras.data.readers.table import ROWS, ReorderedTable, Table
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.block import Tracers, check_values, empty_tracers
from astrokeras.data.tracers.units import factor
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest


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
        self.table = table
        self.config = config
        self.statistics = statistics
        self.name = table.name
        self.species = self.columns.species
        self.elements = self.columns.elements
        self.parameters = tuple(self.columns.parameters)
        units = _units(config)
        self.units = tuple(units[name] for name in self.parameters)
        factors = _find_factors(config)
        self.factors = np.array([factors[x] for x in ("Time", *self.parameters)])
        self.source = config.source
        self.initial: np.ndarray | None = None
        self.numbered = self.columns.tracer is not None
        self.split: np.ndarray | None = None
        self.families: list[str] | None = None
        self.interval = (np.inf, -np.inf)  # Shortest and longest time step, years.
        if not (self.numbered or single):
            raise InputError(
                f"{self.name}: column Tracer (or Model) missing; number the tracers."
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
                "consecutive; sort the table by tracer and time."
            )

    def _find_points(self) -> None:
        """Treat a run without tracers as a simulation, and each point as a tracer."""
        place = {name.casefold(): i for i, name in enumerate(self.table.columns)}
        # A column of simulations distinguishes several runs.
        columns = [place[name] for name in ("simulation", "point") if name in place]
        ids = np.zeros((self.table.rows, 1))
        if columns and self.table.rows:
            ids = self.table.read(0, self.table.rows, columns)
        if "simulation" in place:
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
        if "simulation" in place:
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
        time = values[:, 0] * self.factors[0]
        values = values[:, 1:]
        physical = self._raise_parameters(values[:, :count] * self.factors[1:])
        abundances = self._clip(values[:, count : count + len(self.species)])
        self._note(values[:, count + len(self.species) :], values[:, :count])

        lead = int(self.initial is not None)
        n, states = last - first, int(self._rows[first:last].max()) + lead
        block = empty_tracers(n, states, len(self.species), count)
        block.length[:] = self._rows[first:last] + lead
        block.tracer[:] = self.tracer[first:last]
        block.simulation[:] = self.simulation[first:last]
        for i in range(n):
            rows = slice(
                int(self._starts[first + i]) - start,
                int(self._starts[first + i] + self._rows[first + i]) - start,
            )
            length = block.length[i]
            block.time[i, lead:length] = time[rows]
            with np.errstate(over="ignore"):  # Overflows of float32 are refused below.
                block.abundances[i, lead:length] = abundances[rows]
                block.physical[i, : length - 1] = physical[rows][: length - 1]
        if self.initial is not None:
            block.abundances[:, 0] = self.initial
            block.time[:, 0] = 0.0
            self._check_first_times(block)
        check_values(self.name, block, self.species, self.parameters)
        steps = np.diff(block.time, axis=1)  # NaN beyond a tracer's length.
        low, high = self.interval
        self.interval = (
            min(low, float(np.nanmin(steps))),
            max(high, float(np.nanmax(steps))),
        )
        return block

    def _clip(self, values: np.ndarray) -> np.ndarray:
        """Clip and count harmless deviations; `check_values` refuses larger ones."""
        floor = self.config.floor
        low = (values < floor) & (values >= file_format.LOWEST)
        high = (values > 1) & (values <= file_format.HIGHEST)
        self.statistics.raised += int(low.sum())
        self.statistics.lowered += int(high.sum())
        values[low] = floor
        values[high] = 1.0
        return values

    def _raise_parameters(self, physical: np.ndarray) -> np.ndarray:
        for index, name in enumerate(self.parameters):
            minimum = self.config.minimum.get(name)
            if minimum is not None:
                low = physical[:, index] < minimum
                counts = self.statistics.floored
                counts[name] = counts.get(name, 0) + int(low.sum())
                physical[low, index] = minimum
            if name in COLUMNS and len(physical) and physical[:, index].max() <= 1:
                raise InputError(
                    f"{self.name}: {self.config.parameters[name]}, the column of the "
                    f"parameter {name}, holds abundances, not column densities; "
                    f"correct `dataset.parameters.{name}`."
                )
        return physical

    def _note(self, dropped: np.ndarray, parameters: np.ndarray) -> None:
        for name, values in zip(self.columns.noted, dropped.T, strict=True):
            low, high = self.statistics.ranges.get(name, (np.inf, -np.inf))
            low, high = min(low, values.min()), max(high, values.max())
            self.statistics.ranges[name] = (float(low), float(high))
            equal = {
                parameter
                for parameter, column in zip(self.parameters, parameters.T, strict=True)
                if np.allclose(values, column, rtol=1e-6, atol=0)
            }
            known = self.statistics.equal.get(name, equal)
            self.statistics.equal[name] = known & equal

    def _check_first_times(self, block: Tracers) -> None:
        early = block.time[:, 1] <= 0
        if early.any():
            row = int(early.argmax())
            raise InputError(
                f"{self.name}: tracer {block.tracer[row]} starts at time "
                f"{block.time[row, 1]:g}, but `alignment: this` prepends the initial "
                "abundances at time 0; use `dataset.alignment=next`."
            )


def _units(config: DatasetConfig) -> dict[str, str]:
    """Return the unit of each parameter; known parameters have default units."""
    known = file_format.PARAMETER_UNITS | dict(config.units)
    return {name: known.get(name, "") for name in config.parameters}


def _find_factors(config: DatasetConfig) -> dict[str, float]:
    """Return the conversion factors of time and parameters."""
    wanted = {"Time": "yr"} | _units(config)
    unknown = [name for name in config.raw_units if name not in wanted]
    if unknown:
        remedy = "; correct the name, or add it to `dataset.parameters`."
        raise InputError(
            f"dataset.raw_units.{unknown[0]}: there is no such parameter, only "
            f"{', '.join(wanted)}{suggest(unknown[0], wanted, remedy)}"
        )
    raw = wanted | dict(config.raw_units)
    return {name: factor(name, raw[name], unit) for name, unit in wanted.items()}
