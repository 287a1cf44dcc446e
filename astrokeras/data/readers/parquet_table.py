"""Tables stored by column: Parquet files, and HDF5 files with plain datasets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from astrokeras.data.tracers.file_format import plain_dataset, stored_item
from astrokeras.data.tracers.labelled_arrays import as_column
from astrokeras.errors import InputError
from astrokeras.system.input_paths import PARQUET


class HDF5Table:
    """HDF5 file with a one-dimensional dataset per column, as from hydrodynamic codes.

    Args:
        file: The open file; only numeric datasets in its root are read.

    Raises:
        InputError: If there are no such datasets, or they differ in length.
    """

    def __init__(self, file: h5py.File):
        self.name = file.filename
        names = column_names(file)
        if not names:
            raise InputError(
                f"{self.name}: holds neither one-dimensional datasets nor a pandas "
                "frame; write each column as a dataset in the root of the file."
            )
        self._datasets = [plain_dataset(file, name) for name in names]
        self.columns = tuple(name.strip() for name in names)
        self.rows = len(self._datasets[0])
        for name, dataset in zip(names, self._datasets, strict=True):
            if len(dataset) != self.rows:
                raise InputError(
                    f"{self.name}: dataset {name!r} has {len(dataset)} rows, but "
                    f"{names[0]!r} has {self.rows}; write columns of one length."
                )

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        out = np.full((stop - start, len(columns)), np.nan)
        for place, column in enumerate(columns):
            out[:, place] = self._datasets[column][start:stop]
        return out


def column_names(file: h5py.File) -> list[str]:
    """Return the names of the one-dimensional numeric datasets in a file's root."""

    def is_column(name: str) -> bool:
        found = stored_item(file, name)
        is_dataset = isinstance(found, h5py.Dataset)
        return is_dataset and found.ndim == 1 and found.dtype.kind in "fiub"

    return [name for name in file if is_column(name)]


def is_parquet(path: Path) -> bool:
    """Return whether a file has the signature of Parquet."""
    try:
        with open(path, "rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError:
        return False


class ParquetTable:
    """Parquet file, read by row groups.

    Args:
        path: The file.

    Raises:
        InputError: If pyarrow is not installed or cannot read the file.
    """

    def __init__(self, path: Path):
        self.name = str(path)
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise InputError(
                f"{path}: reading Parquet needs pyarrow; `pip install pyarrow`, or "
                "write the table as CSV or HDF5."
            ) from error
        with _readable(path):
            self._file = pyarrow.parquet.ParquetFile(path)
            metadata = self._file.metadata
            sizes = [
                metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)
            ]
            names = list(self._file.schema_arrow.names)
        self.columns = tuple(name.strip() for name in names)
        self._names = names
        self._bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.rows = int(self._bounds[-1])
        self._held: tuple[int, tuple[int, ...]] | None = None
        self._values = np.empty((0, 0))

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        parts = [np.empty((0, len(columns)))]
        first = int(np.searchsorted(self._bounds, start, side="right")) - 1
        for group in range(first, len(self._bounds) - 1):
            low, high = (int(bound) for bound in self._bounds[group : group + 2])
            if low >= stop:
                break
            values = self._group(group, tuple(columns))
            parts.append(values[max(start - low, 0) : min(stop, high) - low])
        return np.concatenate(parts)

    def _group(self, group: int, columns: tuple[int, ...]) -> np.ndarray:
        """Return some columns of a row group; the last result is cached."""
        if self._held != (group, columns):
            names = [self._names[column] for column in columns]
            with _readable(self.name):
                table = self._file.read_row_group(group, columns=names)
            self._values = np.column_stack(
                [self._numbers(table, name) for name in names]
            )
            self._held = (group, columns)
        return self._values

    def _numbers(self, table: Any, name: str) -> np.ndarray:
        try:
            return as_column(table[name].to_numpy())
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.name}: column {name!r} must hold numbers ({reason}); convert "
                "or remove it."
            ) from error


@contextmanager
def _readable(name: Path | str) -> Iterator[None]:
    """Convert errors of pyarrow to an InputError of one line."""
    try:
        yield
    except (ValueError, OSError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}: cannot be read as Parquet, it is truncated or damaged "
            f"({reason}); fetch or make it again."
        ) from error
