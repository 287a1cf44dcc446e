"""Interleaved tracers: rows in the order of time, separated by a column of numbers."""

from collections.abc import Collection, Sequence

import numpy as np

from astrokeras.config.typed_options import typed
from astrokeras.data.readers.table import ROWS, ReorderedTable, Table
from astrokeras.errors import InputError

# Names of columns of numbers in the output of other codes, without case and signs.
_NAMES = {"id", "ids", "pid", "particle", "particleid", "particleids", "tracerid"} | {
    "cell",
    "cellid",
    "parcel",
    "parcelid",
}


def is_identity(column: str) -> bool:
    """Return whether a column numbers tracers, by its name."""
    plain = "".join(letter for letter in column.casefold() if letter.isalnum())
    return plain in _NAMES


def check_single(table: Table, column: int) -> None:
    """Raise InputError if a column that numbers tracers by its name holds several.

    Args:
        table: A table without a configured column of tracers.
        column: The column.
    """
    count = len(np.unique(_read(table, column)))
    if count > 1:
        raise InputError(
            f"{table.name}: {_remedy(table.columns[column], count)}, or "
            f"{typed('dataset.drop', [table.columns[column]])} if it is something else."
        )


def check_order(table: Table, time: int, parameters: Collection[int]) -> None:
    """Raise InputError for a table of one run whose time does not increase.

    Several tracers in one table look like this, one after the other or interleaved. The
    message names a column of whole numbers if time increases among the rows of each.

    Args:
        table: A table without a column of tracers.
        time: Column of the time.
        parameters: Columns of the parameters, which are no numbers of tracers.

    Raises:
        InputError: If time decreases or is repeated from one row to the next.
    """
    years = _read(table, time)
    back = np.flatnonzero(np.diff(years) <= 0)
    if not len(back):
        return
    row = int(back[0]) + 1
    fault = (
        f"{table.name}: row {row}: {table.columns[time]} is {years[row]:.6g} after "
        f"{years[row - 1]:.6g}, but must increase within a tracer"
    )
    others = set(range(len(table.columns))) - {time, *parameters}
    for column in _whole(table, sorted(others)):
        numbers = _read(table, column)
        if count := _separates(numbers, years):
            raise InputError(f"{fault}; {_remedy(table.columns[column], count)}.")
    raise InputError(
        f"{fault}; number the tracers in a column, and name it in `dataset.tracer`, or "
        "correct the data."
    )


def _remedy(name: str, count: int) -> str:
    return (
        f"column {name} tells {count} tracers apart, give "
        f"{typed('dataset.tracer', name)}, by which they are sorted"
    )


def sorted_by_tracer(table: Table, identity: Sequence[int], time: int) -> Table:
    """Return a table sorted by simulation, tracer and time.

    Args:
        table: The table, of whose rows those of a tracer may lie apart.
        identity: Columns of the numbers, the most important first.
        time: Column of the time.

    Returns:
        The same table if it is in order already, else a sorted one in memory.
    """
    keys = [_read(table, column) for column in (*identity, time)]
    order = np.lexsort(keys[::-1])
    if (order == np.arange(len(order))).all():
        return table
    return ReorderedTable(table, order)


def _whole(table: Table, candidates: Sequence[int]) -> list[int]:
    """Return columns that hold whole numbers in the first rows."""
    stop = min(ROWS, table.rows)
    found = []
    for column in candidates:
        try:
            values = table.read(0, stop, [column])
        except InputError:  # A column of words.
            continue
        if np.isfinite(values).all() and (values == np.floor(values)).all():
            found.append(column)
    return found


def _separates(numbers: np.ndarray, years: np.ndarray) -> int:
    """Return the number of groups of rows if time increases in each, else 0."""
    whole = np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()
    groups = len(np.unique(numbers))
    if not whole or not 2 <= groups <= len(numbers) // 2:
        return 0
    order = np.lexsort((np.arange(len(numbers)), numbers))
    same = np.diff(numbers[order]) == 0
    return groups if (np.diff(years[order])[same] > 0).all() else 0


def _read(table: Table, column: int) -> np.ndarray:
    """Return a whole column."""
    parts = [
        table.read(start, min(start + ROWS, table.rows), [column])[:, 0]
        for start in range(0, table.rows, ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0)
