"""Conversion of labelled, masked and dimensional arrays to plain NumPy arrays.

Masks, labels and units are respected or refused, never ignored. `foreign_arrays` reads
them from the objects of other libraries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.tracers import foreign_arrays as foreign
from astrokeras.data.tracers.units import YEAR
from astrokeras.errors import InputError
from astrokeras.system.close_names import listed, match_names

_KINDS = {
    "b": "booleans",
    "c": "complex numbers",
    "M": "dates",
    "O": "Python objects",
    "S": "strings",
    "T": "strings",
    "U": "strings",
    "V": "records with named fields",
    "m": "durations",
}
_SCALARS = (bool, int, float, complex, str, bytes, np.generic)
_STEPS = {"t", "time", "times", "step", "steps", "state", "states"}


def as_numbers(
    name: str,
    values: Any,
    dtype: Any = "float32",
    *,
    columns: Sequence[str] = (),
    units: Sequence[str] = (),
) -> np.ndarray:
    """Return array-like values as plain numbers, or raise InputError.

    - A mask without masked values is dropped; masked values are refused.
    - Labels of the last axis must be `columns`, in any order; the columns are sorted to
      the order of `columns`. A label that differs in case alone counts if it is the
      only one. Labels of the other axes must be consecutive integers: rows with names,
      times or gaps would have to be aligned with other arguments.
    - Dictionaries, structured arrays, xarray's datasets and astropy's tables hold a
      value for each of `columns` by its name, each with its own unit; the values, such
      as constants, are broadcast to one shape and stacked along a new last axis.
    - Values with a unit are converted to `units`, durations to years.
    - Tensors of any backend are copied to the host, without their gradients.
    - A list may hold any of these, such as one DataFrame for each tracer.

    Args:
        name: The argument, for messages.
        values: Array-like, of any shape.
        dtype: Type of the result, `None` for the type of the values.
        columns: Names along the last axis. If it is empty, the labels of that axis are
            treated like those of rows.
        units: Units of the columns, or one unit of all values, "" for dimensionless. If
            it is empty, values with a unit are refused.

    Returns:
        The values, copied only if something is converted.

    Raises:
        InputError: For masked values, labels that do not match, units that cannot be
            converted, values that are not real numbers, and values that an integer
            `dtype` cannot represent.
    """
    reader = _Reader(name, tuple(columns), tuple(units))
    try:
        array = reader.read(values)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Each library raises its own errors.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{name} is a {type(values).__name__}, not an array of numbers ({reason}); "
            "give a NumPy array of real numbers."
        ) from error
    if dtype is None or array.dtype == dtype:
        return array
    # Callers check that values are finite; values too small for a type become zero.
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        lost = converted != array if converted.dtype.kind in "iu" else np.False_
    if lost.any():
        raise InputError(
            f"{name} holds {array[lost].flat[0]}, which {converted.dtype} cannot "
            "represent; give integers."
        )
    return converted


def as_column(values: Any) -> np.ndarray:
    """Return a column of a table as float64; numbers may be stored as objects or text.

    Raises:
        TypeError: For durations, dates and complex numbers, whose conversion to float
            would change their meaning.
        ValueError: For values that are not numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind in "cmM":
        raise TypeError(f"it holds {_KINDS[array.dtype.kind]}")
    return array.astype("float64", copy=False)


@dataclass(frozen=True)
class _Reader:
    """Converter of an argument; the attributes are arguments of `as_numbers`."""

    name: str
    columns: tuple[str, ...]
    column_units: tuple[str, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """The different units of the columns."""
        return tuple(dict.fromkeys(self.column_units))

    def read(self, values: Any) -> np.ndarray:
        """Strip labels, units and masks in turn, and return the numbers."""
        if type(values) is np.ndarray and values.dtype.names is None:
            return self._check_kind(values)
        named = foreign.named_columns(values)
        if named is not None and self.columns:
            return self._read_named(named)
        if named is not None or hasattr(values, "_fields"):
            raise self._refusal(
                f"is a {type(values).__name__}, not an array; give an array with the "
                "values in order."
            )
        if isinstance(values, list | tuple):
            return self._read_list(values)
        axes = foreign.axes_of(values)
        if axes is not None:
            return self._read_labelled(values, axes)
        unit = foreign.unit_of(values)
        return self._read_bare(values) if unit is None else self._convert(values, unit)

    def _refusal(self, text: str) -> InputError:
        return InputError(f"{self.name} {text}")

    def _read_list(self, values: Sequence[Any]) -> np.ndarray:
        """Read a list item by item, unless it holds only numbers."""
        if _is_plain(values):
            return self._check_kind(np.asarray(values))
        parts = [self.read(value) for value in values]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise self._refusal(
                f"is a list of arrays of different shapes {sorted(shapes)[:3]}; give "
                "arrays of one shape."
            )
        return np.stack(parts)

    def _read_named(self, named: dict[Any, Any]) -> np.ndarray:
        """Stack the columns, each of which has a name and a unit of its own."""
        places, fault = match_names(list(named), self.columns, f"; {self._in_order()}.")
        if fault:
            raise self._refusal(
                f"must name the {len(self.columns)} columns once each, but {fault}"
            )
        values, units = list(named.values()), self.column_units
        units = units * len(places) if len(units) == 1 else units or ("",) * len(places)
        parts = [
            _Reader(f"{self.name}: {name}", (), (unit,)).read(values[place])
            for name, place, unit in zip(self.columns, places, units, strict=True)
        ]
        try:
            return np.stack(np.broadcast_arrays(*parts), axis=-1)
        except ValueError as error:
            shapes = {
                part.shape: name for part, name in zip(parts, self.columns, strict=True)
            }
            differ = ", ".join(f"{shapes[shape]} {shape}" for shape in shapes)
            raise self._refusal(
                f"has columns of different shapes ({differ}); give one value for each "
                "tracer and step, or one for all."
            ) from error

    def _in_order(self) -> str:
        return f"give plain numbers in the order {listed(self.columns)}"

    def _read_labelled(self, values: Any, axes: list[list[Any] | None]) -> np.ndarray:
        plain = foreign.without_labels(values)
        rows = axes
        if self.columns:
            plain, rows = plain[..., self._column_order(axes)], axes[:-1]
        dims = [str(dim) for dim in foreign.attribute(values, "dims") or ()]
        if len(rows) > 1 and dims and dims[0].casefold() in _STEPS:
            raise self._refusal(
                f"has the dimensions {', '.join(dims)}, but tracers come before steps; "
                "transpose it."
            )
        for labels in rows:
            self._check_rows(labels, plain)
        unit = foreign.stated_unit(values)
        return self.read(plain) if unit is None else self._convert(plain, unit)

    def _column_order(self, axes: list[list[Any] | None]) -> list[int]:
        """Return the position of each column on the last axis."""
        wanted, labels = set(self.columns), axes[-1] or []
        if any(labels and set(labels) == wanted for labels in axes[:-1]):
            raise self._refusal(
                "has its column names on an axis other than the last; transpose it."
            )
        order = self._in_order()
        if not any(isinstance(label, str) for label in labels):
            raise self._refusal(
                f"has no names on its last axis that match the {len(wanted)} columns; "
                f"label it by name, or {order} (`.to_numpy()`)."
            )
        remedy = f"; select columns by name, or {order}."
        places, fault = match_names(labels, self.columns, remedy)
        if fault:
            raise self._refusal(
                f"has names on its last axis that differ from the {len(wanted)} "
                f"columns: {fault}"
            )
        return places

    def _check_rows(self, labels: list[Any] | None, values: Any) -> None:
        """Raise InputError for row labels that are not consecutive integers."""
        if not labels:
            return
        integers = all(type(label) is int for label in labels)
        if integers and (np.diff(labels) == 1).all():
            return
        if labels == np.asarray(values).tolist():  # A coordinate is its own label.
            return
        start = labels[0] if integers else 0
        place = next((i for i, label in enumerate(labels) if label != start + i), 0)
        raise self._refusal(
            f"has labels that are not consecutive numbers, first {labels[place]!r} at "
            f"position {place}; put the values in order and drop the labels "
            "(`.reset_index(drop=True)`, `.to_numpy()`, `.drop_vars(...)`)."
        )

    def _convert(self, values: Any, unit: Any) -> np.ndarray:
        """Return values converted to the required unit."""
        wanted = " or ".join(repr(unit) for unit in self.units if unit)
        if len(self.units) == 1:
            if isinstance(unit, str):
                ratio = foreign.ratio(unit, self.units[0])
                if ratio is not None:
                    return self._read_bare(values[...]) * ratio
            else:
                with_unit = foreign.converted(values, self.units[0])
                if with_unit is not None:
                    return self.read(with_unit)
        raise self._refusal(
            f"is in {str(unit)!r}, which cannot be converted to "
            f"{wanted or 'dimensionless numbers'}; convert it and give plain numbers."
        )

    def _read_bare(self, values: Any) -> np.ndarray:
        """Return the numbers of an array without labels or unit, possibly masked."""
        mask = foreign.attribute(values, "mask")
        if mask is None:
            return self._check_kind(np.asarray(foreign.on_host(values)))
        own = isinstance(values, np.ma.MaskedArray)
        numbers = self.read(values.data if own else values.unmasked)
        masked = np.broadcast_to(np.asarray(mask), numbers.shape)
        if masked.any():
            first = tuple(np.argwhere(masked)[0].tolist())
            raise self._refusal(
                f"has {int(masked.sum())} masked values, the first at index {first}; "
                "fill them (`.filled(value)`), or leave out these tracers."
            )
        return numbers

    def _check_kind(self, array: np.ndarray) -> np.ndarray:
        kind, years = array.dtype.kind, self.units == ("yr",)
        # NumPy classifies types such as bfloat16 as records.
        if kind in "fiu" or (kind == "V" and "float" in array.dtype.name):
            return array.astype("float32") if kind == "V" else array
        if kind == "m" and years:
            return np.asarray(array / np.timedelta64(1, "us") / (1e6 * YEAR))
        raise self._refusal(
            f"is not an array of numbers: it holds {_KINDS.get(kind, array.dtype.name)}"
            f"; give {'years as ' if years else ''}real numbers."
        )


def _is_plain(values: Sequence[Any]) -> bool:
    """Return whether nested lists hold only Python's and NumPy's scalars."""
    return all(
        _is_plain(item) if type(item) in (list, tuple) else isinstance(item, _SCALARS)
        for item in values
    )
