"""Reader of the HDF5 layouts "fixed" and "table" of pandas, with h5py only.

Pandas stores part of a frame as pickled objects, and unpickling a file can run any
code. Nothing is unpickled here: only the text of a pickled list of column names is
used, and a column of Python objects is refused.
"""

import pickletools
from collections.abc import Sequence

import h5py
import numpy as np

from astrokeras.data.tracers.file_format import decoded, plain_dataset, stored_item
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

_NAMES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING"}
# Opcodes that only build lists of strings and numbers, without calling functions.
_HARMLESS = _NAMES | {
    *("PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "STOP", "INT", "BININT1", "TUPLE"),
}


class PandasTable:
    """Numerical pandas frame in an HDF5 file, read by rows.

    Attributes:
        name: The file and the key, for messages.
        columns: Column names without surrounding spaces.
        rows: Number of rows.

    Args:
        file: The open file.
        key: Name of the group of the frame.

    Raises:
        InputError: If the group is not a frame that can be read safely.
    """

    def __init__(self, file: h5py.File, key: str):
        self.name = f"{file.filename}:{key}"
        group = plain_group(file, key)
        layout = frame_layout(group)
        if layout == "frame":
            self._blocks = self._fixed_blocks(group)
            ordered = self._strings(plain_dataset(group, "axis0"))
        elif layout == "frame_table":
            self._blocks = self._table_blocks(group)
            ordered = self._pickled_names(group.attrs.get("non_index_axes"), "axes")
        else:
            raise InputError(
                f"{self.name}: is a pandas {layout or 'object'!r}, not a frame; "
                "save a DataFrame with `to_hdf`."
            )
        stored = [name for names, *_ in self._blocks for name in names]
        # The order of the columns in the frame is used if their names are unique.
        if sorted(ordered) != sorted(set(stored)):
            ordered = stored
        self.columns = tuple(name.strip() for name in ordered)
        self._stored = [stored.index(name) for name in ordered]
        lengths = {rows for *_, rows in self._blocks}
        if len(lengths) != 1:
            raise InputError(
                f"{self.name}: its blocks of columns have {sorted(lengths)} rows, but "
                "must have equally many; the file is damaged, save it again."
            )
        self.rows = lengths.pop()

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        out = np.full((stop - start, len(columns)), np.nan)
        wanted = np.array([self._stored[column] for column in columns])
        first = 0
        for names, dataset, field, transposed, _ in self._blocks:
            inside = (wanted >= first) & (wanted < first + len(names))
            if inside.any():
                run = slice(start, stop)
                values = dataset[:, run].T if transposed else dataset[run]
                if field is not None:
                    values = values[field]
                values = values.reshape(stop - start, len(names))
                out[:, inside] = values[:, wanted[inside] - first]
            first += len(names)
        return out

    def _fixed_blocks(self, group: h5py.Group) -> list[tuple]:
        blocks = []
        for number in range(int(group.attrs.get("nblocks", 0))):
            names = self._strings(plain_dataset(group, f"block{number}_items"))
            dataset = plain_dataset(group, f"block{number}_values")
            self._check_numbers(names, dataset.dtype)
            # Pandas marks blocks of shape (rows, columns) as transposed.
            flipped = not dataset.attrs.get("transposed", 0)
            shape = dataset.shape[::-1] if flipped else dataset.shape
            if len(shape) != 2 or shape[1] != len(names):
                raise InputError(
                    f"{self.name}: block {number} has shape {dataset.shape} for "
                    f"{len(names)} columns; the file is damaged, save it again."
                )
            blocks.append((names, dataset, None, flipped, shape[0]))
        return self._not_empty(blocks)

    def _not_empty(self, blocks: list[tuple]) -> list[tuple]:
        if not blocks:
            raise InputError(f"{self.name}: holds no columns; save the frame again.")
        return blocks

    def _table_blocks(self, group: h5py.Group) -> list[tuple]:
        dataset = plain_dataset(group, "table")
        blocks = []
        for field in dataset.dtype.names or ():
            if field == "index":
                continue
            names = self._pickled_names(dataset.attrs.get(f"{field}_kind", b""), field)
            dtype = dataset.dtype[field]
            self._check_numbers(names, dtype.base)
            if int(np.prod(dtype.shape)) != len(names):
                raise InputError(
                    f"{self.name}: field {field!r} has shape {dtype.shape} for "
                    f"{len(names)} columns; the file is damaged, save it again."
                )
            blocks.append((names, dataset, field, False, len(dataset)))
        return self._not_empty(blocks)

    def _strings(self, dataset: h5py.Dataset) -> list[str]:
        if dataset.dtype.kind != "S":
            raise self._objects("the column names")
        return [value.decode("utf-8", "replace") for value in dataset[:].ravel()]

    def _check_numbers(self, names: list[str], dtype: np.dtype) -> None:
        if dtype.kind not in "fiub":
            raise self._objects(f"column {', '.join(names[:3])!r}")

    def _pickled_names(self, pickled: object, field: str) -> list[str]:
        data = pickled.encode("latin-1") if isinstance(pickled, str) else pickled
        names = []
        try:
            if not isinstance(data, bytes):
                raise ValueError
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name not in _HARMLESS:
                    raise self._objects(f"the column names of field {field!r}")
                if opcode.name in _NAMES:
                    names.append(str(argument))
        except (ValueError, UnicodeDecodeError) as error:
            raise self._objects(f"the column names of field {field!r}") from error
        return names

    def _objects(self, what: str) -> InputError:
        return InputError(
            f"{self.name}: stores {what} as Python objects, which are never "
            "unpickled; keep only numerical columns and save them with "
            '`to_hdf(..., format="fixed")`.'
        )


def frame_layout(group: h5py.Group) -> str:
    """Return the type of a stored pandas object, "" for any other group."""
    kind = group.attrs.get("pandas_type", "")
    return "" if isinstance(kind, h5py.Empty) else decoded(kind)


def frame_keys(file: h5py.File) -> list[str]:
    """Return the names of the frames in the root of an HDF5 file."""
    groups = [key for key in file if isinstance(stored_item(file, key), h5py.Group)]
    return [key for key in groups if frame_layout(file[key]).startswith("frame")]


def plain_group(file: h5py.File, key: str) -> h5py.Group:
    """Return a group that is stored in the file itself.

    Raises:
        InputError: If there is no such group, or it is a link.
    """
    group = stored_item(file, key)
    if not isinstance(group, h5py.Group):
        found = ", ".join(frame_keys(file)) or "none"
        remedy = "; check the file and `dataset.layout`."
        raise InputError(
            f"{file.filename}: has no pandas frame {key!r} (frames: {found})"
            f"{suggest(key, frame_keys(file), remedy)}"
        )
    return group
