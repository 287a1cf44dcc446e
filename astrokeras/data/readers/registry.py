"""Readers of single files by the name of their layout, and which of them a file is for.

To add one, add a line to `READERS`: the name of the layout, which `dataset.layout` may
give, a function that tells by the content whether a file has it, and one that opens it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from astrokeras.data.readers.csv_table import CsvTable
from astrokeras.data.readers.nautilus import (
    is_blocks,
    is_run,
    is_structure,
    open_blocks,
    open_run,
    open_structure,
)
from astrokeras.data.readers.neath import NeathTable, is_neath
from astrokeras.data.readers.table import Table
from astrokeras.data.readers.text_table import TextTable, is_text_table
from astrokeras.data.readers.uclchem_pages import UclchemPages, is_uclchem_pages
from astrokeras.data.tracers.hdf5 import open_hdf5
from astrokeras.data.tracers.hdf5_sandbox import is_hdf5
from astrokeras.system.input_paths import PARQUET, check_input


@dataclass(frozen=True)
class Reader:
    """Reader of one layout.

    Attributes:
        layout: Its name, a value of `dataset.layout`.
        recognises: Returns whether a text file has this layout.
        open: Opens the file as a table.
    """

    layout: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path], Table]


READERS: Sequence[Reader] = (
    Reader("nautilus", is_run, open_run),
    Reader("nautilus", is_blocks, open_blocks),
    Reader("nautilus", is_structure, open_structure),
    Reader("uclchem", is_uclchem_pages, UclchemPages),
    Reader("neath", is_neath, NeathTable),
    Reader("text", is_text_table, TextTable),
    Reader("uclchem", lambda path: True, CsvTable),
)
"""The first reader that recognises a file or folder opens it."""


def find_reader(path: Path, layout: str = "auto") -> Reader | None:
    """Return the reader of a text file or a folder, `None` if it is HDF5 or Parquet.

    Args:
        path: The file.
        layout: Name of the layout; "auto" chooses by the content.

    Raises:
        InputError: If the file cannot be read.
    """
    named = [reader for reader in READERS if layout in ("auto", reader.layout)]
    if path.is_dir():
        found = [reader for reader in named if reader.recognises is is_run]
        if found and is_run(path):
            return found[0]
    check_input(path)
    if not named or is_hdf5(path):
        return None
    if layout == "auto":
        with open(path, "rb") as file:
            if file.read(len(PARQUET)) == PARQUET:
                return None
        if path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
            open_hdf5(path).close()  # Raises an error: truncated, or not HDF5.
    files = [reader for reader in named if reader.recognises is not is_run]
    return next((reader for reader in files if reader.recognises(path)), files[-1])
