"""Access to HDF5 files: opening after a safety check, and reading of rows."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.data.tracers.file_format import decoded
from astrokeras.data.tracers.hdf5_sandbox import unreadable
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.input_paths import check_input, content

__all__ = ["open_hdf5", "plain", "read_rows", "row_numbers", "unreadable"]


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, after the sandbox has checked it.

    Raises:
        InputError: If the file is missing, not HDF5, truncated or not safe to read.
    """
    check_input(path)
    if not hdf5_sandbox.is_hdf5(path):
        raise unreadable(path, "it lacks the signature of HDF5", content(path))
    hdf5_sandbox.check_file(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error) from error
    if not hdf5_sandbox.was_checked(file.id.get_vfd_handle()):
        file.close()
        raise InputError(
            f"{path}: was replaced while it was being opened; try again when it is "
            "complete."
        )
    return file


def row_numbers(rows: slice | np.ndarray, tracers: int) -> np.ndarray:
    """Return the numbers of rows that a slice or an array of numbers selects.

    Raises:
        InputError: If it is neither, or a row number is out of range.
    """
    if isinstance(rows, slice):
        try:
            return np.arange(*rows.indices(tracers))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"rows are {rows} ({error}); give a slice of whole numbers."
            ) from error
    index = as_numbers("rows", rows, None)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise InputError(
            f"rows are {arguments.shown(rows)}; give a slice, or a list of row numbers."
        )
    if index.size and not (index.min() >= 0 and index.max() < tracers):
        raise InputError(
            f"rows are {arguments.shown(rows)}; the file has {tracers} tracers, give "
            f"numbers from 0 to {tracers - 1}."
        )
    return index.astype(np.int64)


def read_rows(dataset: h5py.Dataset, index: np.ndarray, dtype: str) -> np.ndarray:
    """Read rows in any order, with one HDF5 read for each run of consecutive rows."""
    # The loop fills every row, because each belongs to exactly one run.
    out = np.empty((len(index), *dataset.shape[1:]), dtype)
    if not len(index):
        return out
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 2) != 1)
    in_order = bool((order == np.arange(len(order))).all())
    for start, stop in zip(starts, [*starts[1:], len(ordered)], strict=True):
        run = slice(int(ordered[start]), int(ordered[stop - 1]) + 1)
        if in_order:
            dataset.read_direct(out, np.s_[run], np.s_[int(start) : int(stop)])
        else:
            out[order[start:stop]] = dataset[run]
    return out


def plain(value: Any) -> Any:
    """Convert an HDF5 attribute to a plain Python value."""
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, str | bytes):
        return decoded(value)
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
