"""Writing tracer files: nothing half-written under a final name."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from astrokeras.data.arrays import as_numbers
from astrokeras.data.tracers import file_format, hdf5_sandbox
from astrokeras.data.tracers.block import PER_STATE, PER_TRACER, UNITS, Tracers
from astrokeras.errors import InputError, WorkError
from astrokeras.system.atomic_files import check_space, partial_name


class TracerWriter:
    """A tracer file being written; it takes its final name only when complete.

    Args:
        path: Where the file will be.
        species: Names, (S,); none for a file of tracks, which has no abundances.
        parameters: Names, (P,).
        units: Units of the parameters, (P,).
        states: States of a tracer, T+1.
        attributes: Root attributes, such as source, licence and citation.
        compression: As `h5py` names it; an integer is a gzip level.
        extra: Further datasets with a value per state, (N, T+1): name to dtype.
        solved: Whether all states are written, or state 0 alone.
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
        self.path = Path(path)
        self.partial = partial_name(self.path)
        self.extra = dict(extra or {})
        self.columns = {"abundances": tuple(species), "physical": tuple(parameters)}
        self.units = UNITS | {"physical": list(units)}
        self.count = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = h5py.File(self.partial, "w", libver=("earliest", "v110"))
        except OSError as error:
            raise WorkError(f"{self.path}: cannot be written ({error}).") from error
        file = self.file
        file.attrs.update({"format": file_format.FORMAT} | dict(attributes))
        text = h5py.string_dtype()
        if species:
            file.create_dataset("species", data=list(species), dtype=text)
        names = file.create_dataset("parameters", data=list(parameters), dtype=text)
        names.attrs.create("units", list(units), dtype=text)
        kept = states if solved else 1
        shapes = {
            "abundances": ((kept, len(species)), 1),
            "physical": ((states - 1, len(parameters)), 16),
            "time": ((states,), 16),
        }
        shapes |= dict.fromkeys(self.extra, ((states,), 16))
        self.dtypes = PER_STATE | PER_TRACER | self.extra
        if not species:
            del self.dtypes["abundances"]
        for name, dtype in self.dtypes.items():
            shape, tracers = shapes.get(name, ((), 1024))
            file.create_dataset(
                name,
                shape=(0, *shape),
                maxshape=(None, *shape),
                dtype=dtype,
                chunks=(tracers, *shape),
                compression=compression,
                shuffle=compression is not None,
            )

    def append(self, tracers: Tracers, **extra: np.ndarray) -> None:
        """Add tracers at the end.

        Args:
            tracers: Their `rows` are ignored, as are their abundances in a file of
                tracks; all or none of a file's have a split.
            **extra: Values of the further datasets, (n, T+1).

        Raises:
            InputError: For another shape, a further dataset that is missing or
                unknown, values that a dataset cannot hold, and what `as_numbers`
                refuses; nothing is written then.
        """
        values = self._values(tracers, extra)
        check_space(self.path, sum(value.nbytes for value in values.values()))
        first, self.count = self.count, self.count + len(tracers)
        for name, value in values.items():
            self.file[name].resize(self.count, axis=0)
            self.file[name][first:] = value

    def _values(
        self, tracers: Tracers, extra: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the new rows of each dataset, as they are stored."""
        if set(extra) != set(self.extra):
            raise InputError(
                f"{self.path}: append was given {', '.join(extra) or 'nothing'} "
                f"besides tracers; give {', '.join(self.extra) or 'tracers alone'}."
            )
        values = {}
        for name, dtype in self.dtypes.items():
            value = as_numbers(
                f"{self.path}: {name}",
                extra[name] if name in self.extra else getattr(tracers, name),
                dtype,
                columns=self.columns.get(name, ()),
                units=self.units.get(name, ()),
            )
            expected = (len(tracers), *self.file[name].shape[1:])
            if value.shape != expected:
                raise InputError(
                    f"{self.path}: {name} has shape {value.shape}; it must have shape "
                    f"{expected}."
                )
            values[name] = value
        return values

    def append_file(self, path: Path) -> None:
        """Add the tracers of a file that was written with the same arguments.

        Its abundances are copied as they are, compressed.
        """
        check_space(self.path, path.stat().st_size)
        with h5py.File(path) as other:
            count = len(other["length"])
            first, self.count = self.count, self.count + count
            for name in self.dtypes:
                self.file[name].resize(self.count, axis=0)
                if name != "abundances":
                    # A file that was never split has no such dataset.
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
                # A file that was never split has no such dataset.
                if (self.file["split"][:] == file_format.UNASSIGNED).any():
                    del self.file["split"]
                self.file.close()
                with open(self.partial, "rb") as file:
                    os.fsync(file.fileno())
                self.partial.replace(self.path)
                hdf5_sandbox.mark_verified(self.path)
            else:
                self.file.close()
        finally:
            self.partial.unlink(missing_ok=True)
