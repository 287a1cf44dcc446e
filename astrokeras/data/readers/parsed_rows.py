"""Rows of plain numbers, parsed a block at a time by Arrow's C++ parser.

It is as strict as the parser of single lines, and several times faster: what it does
not read, such as Fortran's exponents, missing values and rows of another length, is
left to that parser, which says what is wrong and where.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from astrokeras.system.text_files import count_lines

LEAST = 2**16
"""Length of the shortest text that Arrow parses faster, characters."""
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)


def parse_rows(
    text: str, separator: str | None, cells: int, columns: Sequence[int]
) -> np.ndarray | None:
    """Return some columns of the rows of a text, (rows, columns) float64.

    Args:
        text: Lines of numbers.
        separator: A comma, a semicolon or a tab; `None` for blanks.
        cells: Number of cells of each row.
        columns: The columns that are read.

    Returns:
        The numbers, or `None` if Arrow is not installed, cannot read the text, or
        would take longer.
    """
    csv = _arrow_csv() if len(text) >= LEAST and columns else None
    if csv is None:
        return None
    if separator is None and "," in text:
        return None
    data = _with_commas(text) if separator is None else text.encode()
    try:
        table = _read(csv, data, separator or ",", cells, tuple(columns))
    except ValueError:  # Arrow's error for text that is not as it should be.
        return None
    if table.num_rows != count_lines(text):
        return None
    # Columns lie one after another, as in Arrow.
    out = np.empty((table.num_rows, len(columns)), order="F")
    for place, column in enumerate(columns):
        out[:, place] = table.column(str(column)).to_numpy()
    return out


@functools.cache
def _arrow_csv() -> Any:
    """Return Arrow's module of CSV files, `None` without Arrow."""
    try:
        from pyarrow import csv
    except ImportError:
        return None
    return csv


def _read(
    csv: Any, data: bytes | np.ndarray, separator: str, cells: int, columns: tuple
) -> Any:
    import pyarrow

    names, chosen = [str(i) for i in range(cells)], dict.fromkeys(map(str, columns))
    return csv.read_csv(
        pyarrow.BufferReader(data),
        csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=names
        ),
        csv.ParseOptions(delimiter=separator),
        csv.ConvertOptions(
            column_types=dict.fromkeys(chosen, pyarrow.float64()),
            include_columns=[*chosen],
            null_values=[],
        ),
    )


def _with_commas(text: str) -> np.ndarray:
    """Return a text with a comma in place of the blanks between two cells."""
    if " \n" in text or "\t\n" in text or text[-1:] in " \t":
        text = _TRAILING.sub("", text)
    given = np.frombuffer(text.encode(), "u1")
    blank = (given == ord(" ")) | (given == ord("\t"))
    after = np.ones(len(given), dtype=bool)
    after[1:] = (blank | (given == ord("\n")))[:-1]
    kept = ~(blank & after)
    found = given[kept]
    found[blank[kept]] = ord(",")
    return found
