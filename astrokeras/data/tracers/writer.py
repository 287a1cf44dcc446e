"""Writer of tracer files, which take their final name only when complete."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from astrokeras.data.tracers import file_format, hdf5_sandbox
from astrokeras.data.tracers.block import PER_STATE, PER_TRACER, UNITS, Tracers
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError, WorkError
from astrokeras.system import arguments
from astrokeras.system.atomic_files import check_space, partial_name, sync


def _check_extra(extra: Any) -> dict[str, str]:
    """Return the names and types of additional datasets, or raise InputError."""
    fine = isinstance(extra, Mapping) and all(
        isinstance(name, str) and name and name not in PER_STATE | PER_TRACER
        for name in extra
    )
    try:
        fine = fine and all(np.dtype(kind).kind in "iuf" for kind in extra.values())
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise InputError(
            f"extra is {arguments.shown(extra)}; give a dictionary from unused names "
            'to numeric types, such as {"expected_error": "f4"}.'
        )
    return dict(extra)


def _check_compression(compression: Any) -> str | int | None:
    if compression is None:
        return None
    if isinstance(compression, str):
        return arguments.choice("compression", compression, "gzip", "lzf")
    return arguments.whole("compression, a level of gzip,", compression, high=9)


class TracerWriter:
    """Tracer file, open for writing; it takes its final name only when complete.

    Args:
        path: The file to write.
        species: Names, (S,); empty for a file of tracks, which has no abundances.
        parameters: Names, (P,).
        units: Units of the parameters, (P,).
        states: Number of states of a tracer, T+1.
        attributes: Root attributes, such as source, licence and citation.
        compression: "gzip", "lzf", `None`, or an integer for a level of gzip.
        extra: Names and dtypes of additional datasets with a value per state, (N, T+1).
        solved: Whether abundances of all states are written, or only those of state 0.

    Raises:
        InputError: For an invalid argument; nothing is written then.
        WorkError: If the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        species: Sequence[str] = (),
        parameters: Sequence[str],
        units: Sequence[str],
        states: int,
        attributes: Mapping[str, Any],
        compression: str | int | None = "gzip",
        extra: Mapping[str, str] | None = None,
        solved: bool = True,
    ):
        self.path = arguments.path("path", path)
        self.species = arguments.texts("species", species)
        parameters = arguments.texts("parameters", parameters, least=1)
        units = arguments.texts("units", units)
        if len(units) != len(parameters):
            raise InputError(
                f"units are {arguments.shown(units)} for {len(parameters)} parameters; "
                "give one for each."
            )
        for key, names in (("species", self.species), ("parameters", parameters)):
            if len(set(names)) < len(names) or not all(names):
                raise InputError(
                    f"{key} are {arguments.shown(names)}; give each a unique, "
                    "non-empty name."
                )
        states = arguments.whole("states", states, low=2)
        arguments.flag("solved", solved)
        self.extra = _check_extra({} if extra is None else extra)
        compression = _check_compression(compression)
        self.partial = partial_name(self.path)
        self.columns = {"abundances": self.species, "physical": parameters}
        self.units = UNITS | {"physical": list(units)}
        self.count = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = h5py.File(self.partial, "w", libver=("earliest", "v110"))
        except OSError as error:
            raise WorkError(f"{self.path}: cannot be written ({error}).") from error
        try:
            self._describe(parameters, units, attributes)
            self._make_datasets(states, len(parameters), solved, compression)
        except BaseException:
            self.file.close()
            self.partial.unlink(missing_ok=True)
            raise

    def _describe(
        self,
        parameters: Sequence[str],
        units: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> None:
        if not isinstance(attributes, Mapping):
            raise InputError(
                f"attributes are {arguments.shown(attributes)}; give a dictionary."
            )
        self.file.attrs["format"] = file_format.FORMAT
        for name, value in attributes.items():
            try:
                self.file.attrs[name] = value
            except (TypeError, ValueError, RuntimeError, OSError) as error:
                raise InputError(
                    f"attribute {arguments.shown(name)} is {arguments.shown(value)}, "
                    f"which HDF5 cannot store ({error}); give a string, numbers, or a "
                    "list of strings."
                ) from error
        text = h5py.string_dtype()
        if self.species:
            self.file.create_dataset("species", data=self.species, dtype=text)
        names = self.file.create_dataset("parameters", data=parameters, dtype=text)
        names.attrs.create("units", units, dtype=text)

    def _make_datasets(
        self, states: int, parameters: int, solved: bool, compression: str | int | None
    ) -> None:
        solved_states = states if solved else 1
        shapes = {
            "abundances": ((solved_states, len(self.species)), 1),
            "physical": ((states - 1, parameters), 16),
            "time": ((states,), 16),
        }
        shapes |= dict.fromkeys(self.extra, ((states,), 16))
        self.dtypes = PER_STATE | PER_TRACER | self.extra
        if not self.species:
            del self.dtypes["abundances"]
        for name, dtype in self.dtypes.items():
            shape, tracers = shapes.get(name, ((), 1024))
            self.file.create_dataset(
                name,
                shape=(0, *shape),
                maxshape=(None, *shape),
                dtype=dtype,
                chunks=(tracers, *shape),
                compression=compression,
                shuffle=compression is not None,
            )

    def append(self, tracers: Tracers, **extra: np.ndarray) -> None:
        """Append tracers to the file.

        Args:
            tracers: The tracers; all or none of those in a file have a split. Their
                `rows` are ignored, as are their abundances in a file of tracks.
            **extra: Values of the additional datasets, (n, T+1).

        Raises:
            InputError: For a wrong shape, an additional dataset that is missing or
                unknown, values that a dataset cannot store, and values that
                `as_numbers` refuses; nothing is written then.
        """
        values = self._values(tracers, extra)
        check_space(self.path, sum(value.nbytes for value in values.values()))
        first, self.count = self.count, self.count + len(values["length"])
        for name, value in values.items():
            self.file[name].resize(self.count, axis=0)
            self.file[name][first:] = value

    def _values(
        self, tracers: Tracers, extra: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the new rows of each dataset in its stored type."""
        if not isinstance(tracers, Tracers):
            raise InputError(f"tracers are {arguments.shown(tracers)}; give `Tracers`.")
        if set(extra) != set(self.extra):
            raise InputError(
                f"{self.path}: append received {', '.join(extra) or 'nothing'} "
                f"besides tracers; give {', '.join(self.extra) or 'only tracers'}."
            )
        values: dict[str, np.ndarray] = {}
        # The number of tracers is that of their lengths, which come first.
        for name in ("length", *(name for name in self.dtypes if name != "length")):
            dtype = self.dtypes[name]
            value = as_numbers(
                f"{self.path}: {name}",
                extra[name] if name in self.extra else getattr(tracers, name),
                dtype,
                columns=self.columns.get(name, ()),
                units=self.units.get(name, ()),
            )
            count = values["length"].size if values else value.size
            expected = (count, *self.file[name].shape[1:])
            if value.shape != expected:
                raise InputError(
                    f"{self.path}: {name} has shape {value.shape}; give an array of "
                    f"shape {expected}."
                )
            values[name] = value
        return values

    def add_families(self, families: Sequence[str]) -> None:
        """Add the dataset `family` of numbers, whose attribute `names` has their names.

        Args:
            families: Name of the family of each tracer, (N,), at most 256 of them.
        """
        names, codes = np.unique(np.asarray(families, dtype=str), return_inverse=True)
        stored = self.file.create_dataset("family", data=codes.astype(np.uint8))
        stored.attrs["names"] = [str(name) for name in names]

    def append_file(self, path: Path) -> None:
        """Append the tracers of a file that was written with the same arguments.

        The abundances are copied in their compressed form.
        """
        check_space(self.path, path.stat().st_size)
        with h5py.File(path) as other:
            count = len(other["length"])
            first, self.count = self.count, self.count + count
            for name in self.dtypes:
                self.file[name].resize(self.count, axis=0)
                if name != "abundances":
                    # A file without a split lacks the dataset `split`.
                    known = name in other
                    values = other[name][:] if known else file_format.UNASSIGNED
                    self.file[name][first:] = values
            if "abundances" not in self.dtypes:
                return
            source, sink = other["abundances"].id, self.file["abundances"].id
            for row in range(count):
                filters, chunk = source.read_direct_chunk((row, 0, 0))
                sink.write_direct_chunk((first + row, 0, 0), chunk, filters)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                # A file without a split has no dataset `split`.
                if (self.file["split"][:] == file_format.UNASSIGNED).any():
                    del self.file["split"]
                self.file.close()
                sync(self.partial)
                self.partial.replace(self.path)
                hdf5_sandbox.mark_verified(self.path)
            else:
                self.file.close()
        finally:
            self.partial.unlink(missing_ok=True)
