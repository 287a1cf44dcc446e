"""Tables with a row for each tracer and time: CSV files and DataFrames."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_column
from astrokeras.errors import InputError
from astrokeras.system.text_files import (
    find_separator,
    mixed_decimals,
    not_a_number,
    split_cells,
    text_lines,
)

ROWS = 8192
"""Number of rows that are read at a time."""

# Fortran omits the E before an exponent of three digits: 1.00000-101.
_EXPONENT = re.compile(r"(?<=[0-9.])(?=[+-][0-9]{3}(?![0-9]))")
# Fortran writes D instead of E in double precision.
_DOUBLE = re.compile(r"(?<=[0-9.])[dD](?=[+-]?[0-9])")


class Table(Protocol):
    """Table of numbers with named columns, read by rows.

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


class CsvTable:
    """CSV file with a header, such as UCLCHEM's own output, read sequentially.

    Columns are separated by commas, semicolons or tabs; see `text_files.text_lines` for
    encodings and compression. Names may be quoted. Decimals may have a comma if the
    separator is not a comma.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, empty, ambiguous, or not text.
    """

    def __init__(self, path: Path):
        self.name = str(path)
        self._path = path
        numbered = text_lines(path)
        _, header = next(numbered, (0, ""))
        self._separator = find_separator(path, header)
        self.columns = _names(split_cells(path, header, self._separator))
        self.rows = 0
        mixed = mixed_decimals(self._separator, self._counted(numbered))
        if len(self.columns) < 2 or not self.rows:
            raise InputError(
                f"{path}: must have a header of comma-separated names and a row of "
                f"numbers, but begins with {header.strip()[:80]!r}; write it with "
                "UCLCHEM's outputFile."
            )
        if mixed:
            raise InputError(f"{path}: {mixed}")
        self._lines: Iterator[str] = iter(())
        self._line, self._text, self._wanted = 0, "", list[int]()
        self._position = self.rows + 1

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        if start < self._position:
            self._lines, self._position = self._open(), 0
        lines = itertools.islice(
            self._lines, start - self._position, stop - self._position
        )
        self._position = stop
        self._wanted = list(columns)
        try:
            return np.loadtxt(
                lines,
                delimiter=self._separator,
                usecols=self._wanted,
                ndmin=2,
                comments=None,
                quotechar='"',
            )
        except InputError:
            raise
        except (ValueError, IndexError) as error:
            raise self._row_error(self._text, " ".join(str(error).split())) from error

    def _counted(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        for numbered in lines:
            self.rows += 1
            yield numbered

    def _open(self) -> Iterator[str]:
        lines = text_lines(self._path)
        next(lines)  # The header.
        for self._line, self._text in lines:
            line = self._text
            # A row with an additional cell would be read with shifted columns.
            if line.count(self._separator) != len(self.columns) - 1 or '"' in line:
                cells = split_cells(self._path, line, self._separator)
                if len(cells) != len(self.columns):
                    raise self._row_error(line, "")
            if self._separator != ",":
                line = line.replace(",", ".")
            yield _DOUBLE.sub("E", _EXPONENT.sub("E", line))

    def _row_error(self, line: str, reason: str) -> InputError:
        """Return the error for an invalid row, which names its first invalid cell."""
        cells = split_cells(self._path, line, self._separator)
        where, wanted = f"{self.name}: line {self._line}:", len(self.columns)
        if len(cells) != wanted:
            return InputError(
                f"{where} has {len(cells)} cells, but the header has {wanted} names; "
                f"write {wanted} numbers without decimal commas in every row."
            )
        for column in self._wanted:
            cell = _DOUBLE.sub("E", _EXPONENT.sub("E", cells[column]))
            try:
                float(cell)
            except ValueError:
                fault = not_a_number(cells[column])
                return InputError(f"{where} column {self.columns[column]!r} {fault}.")
        return InputError(f"{where} {reason}; correct the file.")


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


class ReorderedTable:
    """Table with reordered rows, held in memory.

    UCLCHEM writes a run of several points sorted by time, but tracers must be sorted by
    point. A single run is small.

    Args:
        table: The table.
        order: Row numbers in the new order.
    """

    def __init__(self, table: Table, order: np.ndarray):
        self.name, self.columns, self.rows = table.name, table.columns, table.rows
        self._values = table.read(0, table.rows, range(len(table.columns)))[order]

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        return self._values[start:stop, list(columns)]


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a header, without a comment sign at its beginning."""
    if not cells:
        return ()
    first = cells[0]
    # A name such as #H2O is a surface species.
    if first.startswith("# ") or first.casefold() == "#time":
        first = first[1:].strip().strip('"')
    return (first, *cells[1:])
