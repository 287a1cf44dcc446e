"""Tables of numbers with named columns, which readers return and importers take.

A table has a row for each tracer and time. Whatever a reader opens has these three
attributes and this one method; importers read it in blocks of rows, the identifiers of
the tracers first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_column
from astrokeras.errors import InputError

ROWS = 8192
"""Number of rows that are read at a time."""


class Table(Protocol):
    """Table of numbers with named columns, read by rows.

    A table may have further attributes: `units`, from the names of columns to their
    units, where the file or its format states them, and `notes`, lines for the report.

    Attributes:
        name: The file, and the key in it, for messages.
        columns: Names without surrounding spaces.
        rows: Number of rows.
    """

    name: str
    columns: tuple[str, ...]
    rows: int

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        ...


def units_of(table: Table) -> Mapping[str, str]:
    """Return the units of columns that the file or its format states, by name."""
    return getattr(table, "units", {})


def notes_of(table: Table) -> Sequence[str]:
    """Return what the reader of a table has to say, a line each."""
    return getattr(table, "notes", ())


class ArrayTable:
    """Table in memory.

    Args:
        name: The file, for messages.
        columns: Names, (C,).
        values: Numbers, (rows, C).
        units: Units of columns, by name.
        notes: Lines for the report.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        values: np.ndarray,
        units: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ):
        self.name, self.columns, self.rows = name, tuple(columns), len(values)
        self.units, self.notes = dict(units or {}), list(notes)
        self._values = values

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        return self._values[start:stop, list(columns)].astype("f8")


class ReorderedTable(ArrayTable):
    """Table with reordered rows, held in memory.

    UCLCHEM writes a run of several points sorted by time, but tracers must be sorted by
    point. A single run is small.

    Args:
        table: The table.
        order: Row numbers in the new order.
    """

    def __init__(self, table: Table, order: np.ndarray):
        values = table.read(0, table.rows, range(len(table.columns)))[order]
        super().__init__(
            table.name, table.columns, values, units_of(table), notes_of(table)
        )


class FrameTable:
    """DataFrame, or UCLCHEM's pair of DataFrames with physics and abundances.

    Args:
        frame: A DataFrame, or several with the same rows.
        name: Name of the table, for messages.

    Raises:
        InputError: If the frames differ in length.
    """

    def __init__(self, frame: Any, name: str):
        self.name = name
        self._frames = list(frame) if isinstance(frame, (tuple, list)) else [frame]
        lengths = {len(part) for part in self._frames}
        if len(lengths) != 1:
            raise InputError(
                f"{name}: its frames have {sorted(lengths)} rows, but must have "
                "equally many; pass frames of the same run."
            )
        self.rows = lengths.pop()
        self._places = [
            (part, index)
            for part in range(len(self._frames))
            for index in range(self._frames[part].shape[1])
        ]
        self.columns = tuple(
            str(self._frames[part].columns[index]).strip()
            for part, index in self._places
        )

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        out = np.full((stop - start, len(columns)), np.nan)
        for place, column in enumerate(columns):
            part, index = self._places[column]
            values = self._frames[part].iloc[start:stop, index]
            try:
                out[:, place] = as_column(values)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{self.name}: column {self.columns[column]!r} must hold numbers "
                    f"({error}); convert it with `astype(float)`."
                ) from error
        return out
