"""Reader of tracer files, by blocks of whole tracers."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from astrokeras.chemistry.assumed_parameters import Filling, fill, find_fillings
from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.block import PER_STATE, PER_TRACER, Tracers, check_values
from astrokeras.data.tracers.hdf5 import (
    open_hdf5,
    plain,
    read_rows,
    row_numbers,
    unreadable,
)
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system import arguments

__all__ = ["TracerStore", "TracerWriter", "Tracers"]


def held_quantities(
    entries: Iterable[str], parameters: Sequence[str]
) -> dict[str, float | str]:
    """Return what entries such as "zeta = 1" hold fixed: values or parameter names."""
    held: dict[str, float | str] = {}
    spelled = {name.casefold(): name for name in file_format.PARAMETER_UNITS}
    spelled |= {name.casefold(): name for name in parameters}
    for entry in entries:
        name, _, value = map(str.strip, entry.partition("="))
        name = spelled.get(name.casefold(), name)
        value = spelled.get(value.casefold(), value)
        if value in parameters:
            held[name] = value
            continue
        with contextlib.suppress(ValueError):
            held[name] = float(value)
    return held


class TracerStore:
    """Tracer file, open for reading.

    Opening a file checks its structure and loads the small per-tracer columns;
    abundances are read block by block.

    Args:
        path: A tracer file, see `data/README.md`.
        need_abundances: Whether to refuse a file without the dataset `abundances`. For
            such a file `read` and `blocks` return abundances of shape (n, 0, S), with
            S = 0 for a file of tracks, which has no species.

    Raises:
        InputError: If the file is missing, not HDF5, truncated or malformed.

    Example:
    >>> with TracerStore("data/grav.h5") as store:       # doctest: +SKIP
    ...     tracers = store.read(slice(0, 2))
    ...     tracers.abundances.shape
    (2, 298, 333)
    """

    def __init__(self, path: str | os.PathLike[str], need_abundances: bool = True):
        self.path = arguments.path("path", path)
        arguments.flag("need_abundances", need_abundances)
        self.file = open_hdf5(self.path)
        try:
            file_format.check_structure(self.file, need_abundances)
            self._load_columns()
        except (OSError, RuntimeError) as error:
            self.file.close()
            raise unreadable(self.path, error) from error
        except BaseException:
            self.file.close()
            raise

    def _load_columns(self) -> None:
        file = self.file
        self.species = file_format.strings(file["species"]) if "species" in file else ()
        self.parameters = file_format.strings(file["parameters"])
        self.units = file_format.strings(file["parameters"].attrs["units"])
        self._added: list[Filling] = []
        self.attributes = {k: plain(v) for k, v in file.attrs.items()}
        self.tracers, self.states = file["time"].shape
        self.has_abundances = "abundances" in file
        self.solved = self.has_abundances and file["abundances"].shape[1] == self.states
        self.length = file["length"][:].astype(np.int32)
        self.tracer = file["tracer"][:].astype(np.int64)
        self.simulation = file["simulation"][:].astype(np.int64)
        if "split" in file:
            self.split = file["split"][:].astype(np.uint8)
            self._check_column(
                "split", self.split, self.split >= len(file_format.SPLITS), "0, 1 or 2"
            )
        else:
            self.split = np.full(self.tracers, file_format.UNASSIGNED, np.uint8)
        bad = (self.length < 2) | (self.length > self.states)
        self._check_column("length", self.length, bad, f"2 to {self.states}")

    def _check_column(
        self, name: str, values: np.ndarray, bad: np.ndarray, allowed: str
    ) -> None:
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"{self.path}: dataset {name!r} holds {values[row]} for tracer "
                f"{self.tracer[row]} (row {row}); it must be {allowed}."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def has_split(self) -> bool:
        """Whether the file stores a split."""
        return bool((self.split != file_format.UNASSIGNED).all())

    @property
    def split_attributes(self) -> dict[str, Any]:
        """Attributes that describe how the split was made."""
        return {k: v for k, v in self.attributes.items() if k.startswith("split_")}

    @property
    def elements(self) -> tuple[str, ...]:
        """Element symbols by which the names of the species are parsed.

        Raises:
            InputError: If a name cannot be parsed with them.
        """
        try:
            elements = find_elements(self.species, self.listed("elements"))
            for name in self.species:
                parse_species(name, elements)
        except InputError as error:
            message = str(error).removeprefix(f"{self.path}: ")
            raise InputError(f"{self.path}: {message}") from error
        return elements

    def listed(self, key: str) -> list[str]:
        """Return an attribute that lists names, or an empty list if it is missing.

        Raises:
            InputError: If the attribute is not a list of names.
        """
        value = self.attributes.get(key, [])
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise InputError(
                f"{self.path}: attribute {key!r} is {str(value)[:60]}, but must be a "
                "list of names; correct or remove it."
            )
        return value

    def held(self) -> dict[str, float | str]:
        """Return the quantities held fixed in the file: values or parameter names."""
        return held_quantities(self.listed("fixed"), self.parameters)

    def families(self) -> list[str] | None:
        """Return the family of each tracer, (N,), `None` for a file without them."""
        import h5py

        stored = file_format.stored_item(self.file, "family")
        if not isinstance(stored, h5py.Dataset) or not file_format.is_readable(stored):
            return None
        if stored.shape != (self.tracers,) or stored.dtype.kind not in "iu":
            return None
        codes = stored[:].tolist()
        try:
            names = dict(enumerate(file_format.strings(stored.attrs["names"])))
        except (KeyError, TypeError, IndexError):
            names = {}
        return [names.get(code, str(code)) for code in codes]

    def add_held(self, names: Iterable[str]) -> list[Filling]:
        """Add parameters that the file lacks: held fixed, or the columns that shield.

        Args:
            names: Names of the required parameters; those that the file neither has
                nor held fixed are left out, except `NH2` and `NCO`, which follow from
                the extinction.

        Returns:
            The parameters that were added.
        """
        fillings = find_fillings(self.parameters, names, self.held(), assumed={})
        self._added += fillings
        self.parameters += tuple(filling.name for filling in fillings)
        units = file_format.PARAMETER_UNITS
        self.units += tuple(units.get(filling.name, "") for filling in fillings)
        return fillings

    def physical(self, rows: slice | np.ndarray) -> np.ndarray:
        """Read the parameters of whole tracers, (n, T, P) float32.

        Raises:
            InputError: If the file is damaged.
        """
        index = row_numbers(rows, self.tracers)
        try:
            read = read_rows(self.file["physical"], index, PER_STATE["physical"])
        except (OSError, RuntimeError) as error:
            raise unreadable(self.path, error) from error
        return fill(read, self._added)

    def rows(self, split: str | None = None) -> np.ndarray:
        """Return the row numbers of a split.

        Args:
            split: "train", "validation" or "test"; `None` for all tracers.

        Raises:
            InputError: If the file has no split, or the split has no tracers.
        """
        if split is None:
            return np.arange(self.tracers)
        arguments.choice("split", split, *file_format.SPLITS)
        if not self.has_split:
            raise InputError(
                f"{self.path}: has no dataset 'split'; "
                f"make one with `astrokeras data split {self.path}`."
            )
        rows = np.flatnonzero(self.split == file_format.SPLITS.index(split))
        if not len(rows):
            raise InputError(
                f"{self.path}: dataset 'split' assigns no tracer to {split!r}; "
                "use a file with more simulations."
            )
        return rows

    def read(
        self, rows: slice | np.ndarray, check: bool = True, abundances: bool = True
    ) -> Tracers:
        """Read whole tracers.

        Consecutive rows are read by a single HDF5 read. Row numbers may have any order,
        in which the tracers are returned.

        Args:
            rows: A slice or row numbers.
            check: Whether to check the values.
            abundances: Whether to read the abundances; without, they are (n, 0, S).

        Raises:
            InputError: If there are no such rows, the file is damaged, or a value is
                not finite or out of range; the message names tracer, state, column
                and value.
        """
        index = row_numbers(rows, self.tracers)
        names = ["time", "abundances"] if abundances else ["time"]
        try:
            read = {
                name: read_rows(self.file[name], index, PER_STATE[name])
                for name in names
                if name in self.file
            }
        except (OSError, RuntimeError) as error:
            raise unreadable(self.path, error) from error
        read["physical"] = self.physical(index)
        if "abundances" not in read:
            read["abundances"] = np.empty((len(index), 0, len(self.species)), "f4")
        columns = {name: getattr(self, name)[index] for name in PER_TRACER}
        tracers = Tracers(index, **read, **columns)
        if check and len(index):
            check_values(self.path, tracers, self.species, self.parameters)
        return tracers

    def blocks(
        self,
        rows: np.ndarray | None = None,
        size: int = 32,
        check: bool = True,
        abundances: bool = True,
    ) -> Iterator[Tracers]:
        """Iterate over tracers in blocks of at most `size`, see `read`.

        Raises:
            InputError: As `read` does.
        """
        arguments.whole("size", size, low=1)
        rows = self.rows() if rows is None else row_numbers(rows, self.tracers)
        for start in range(0, len(rows), size):
            yield self.read(rows[start : start + size], check, abundances)
