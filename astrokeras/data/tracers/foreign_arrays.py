"""Labels, units and numbers of the arrays of other libraries.

These libraries are not imported: objects are recognised by their attributes, such
as `columns` (pandas, Polars, Arrow), `coords` (xarray), `unit` (astropy) or `units`
(Pint, unyt, netCDF) and `detach` (PyTorch).
"""

import contextlib
from collections.abc import Mapping
from inspect import isroutine
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import decoded
from astrokeras.data.tracers.units import factor, kind_of
from astrokeras.errors import InputError


def attribute(values: Any, name: str) -> Any:
    """Return an attribute that is not a method, `None` if there is none."""
    found = getattr(values, name, None)
    return None if isroutine(found) else found


def axes_of(values: Any) -> list[list[Any] | None] | None:
    """Return the labels of each axis, `None` for an axis or array without labels."""
    if isinstance(values, np.ndarray):
        return None
    known = attribute(values, "coords")
    if known is not None:
        return [
            known[dim].values.tolist() if dim in known else None for dim in values.dims
        ]
    index = attribute(values, "index")
    names = attribute(values, "column_names")
    names = attribute(values, "columns") if names is None else names
    rows = None if index is None else list(index)
    if names is not None:
        return [rows, list(names)]
    return None if rows is None else [rows]


def named_columns(values: Any) -> dict[Any, Any] | None:
    """Return the columns of an object that holds each by its name, otherwise `None`.

    Such objects are mappings, structured arrays, xarray's datasets, whose columns are
    broadcast to their common dimensions, and astropy's tables.
    """
    if attribute(values, "data_vars") is not None:
        whole = values.broadcast_like(values)
        return {name: whole[name] for name in whole.data_vars}
    if isinstance(values, Mapping):
        return dict(values)
    names = getattr(getattr(values, "dtype", None), "names", None)
    names = names or attribute(values, "colnames")
    return {name: values[name] for name in names} if names else None


def column_names(values: Any) -> list[Any] | None:
    """Return the names along the last axis, `None` if they are not texts."""
    with contextlib.suppress(Exception):  # Callers refuse what cannot be read.
        if isinstance(values, list | tuple):
            return column_names(values[0])
        columns = named_columns(values)
        labels = (axes_of(values) or [None])[-1] if columns is None else list(columns)
        if labels and all(isinstance(label, str) for label in labels):
            return labels
    return None


def without_labels(values: Any) -> Any:
    """Return the array inside a labelled object; the array may have a unit."""
    if hasattr(values, "coords"):
        return values.data
    if not hasattr(values, "to_numpy"):
        return np.asarray(values)
    array = values.to_numpy()
    types = np.ravel(np.asarray(getattr(values, "dtypes", None), "O"))
    numbers = all(getattr(dtype, "kind", "O") in "fiu" for dtype in types)
    if array.dtype == object and numbers:  # Nullable types of pandas.
        return values.to_numpy("float64", na_value=np.nan)
    return array


def stated_unit(values: Any) -> str | None:
    """Return the unit given in the attributes of a table or a dataset."""
    stated = attribute(values, "attrs")
    unit = stated.get("units", stated.get("unit")) if hasattr(stated, "get") else None
    return None if unit is None else decoded(unit) or None


def unit_of(values: Any) -> Any:
    """Return the unit of an array, as an object of its library or as text."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind and kind in "mM":  # The `unit` of dates in pandas is their resolution.
        return None
    stated = stated_unit(values)
    found = [attribute(values, name) for name in ("unit", "units")]
    return next((unit for unit in [stated, *found] if _is_unit(unit)), None)


def _is_unit(found: Any) -> bool:
    return found is not None and not (isinstance(found, str) and not found)


def ratio(unit: str, wanted: str) -> float | None:
    """Return the factor from a unit in text to another, `None` if it is unknown."""
    if not wanted:
        return 1.0 if unit in {"1", "dimensionless"} else None
    try:
        float(unit)  # A number is not a unit.
    except ValueError:
        try:
            return factor("", unit, wanted)
        except InputError:
            return None
    return None


def converted(values: Any, wanted: str) -> Any:
    """Return the numbers of a quantity in another unit, `None` if that fails.

    Units of tracer files that its library does not know, such as "H nuclei cm^-3", are
    reached through another unit of their kind.
    """
    for unit in (wanted, *kind_of(wanted)):
        with contextlib.suppress(Exception):  # Each library raises its own errors.
            quantity = values.to(unit)
            plain = hasattr(quantity, "magnitude")
            numbers = quantity.magnitude if plain else quantity.value
            return numbers if unit == wanted else numbers * factor("", unit, wanted)
    return None


def on_host(values: Any) -> Any:
    """Return a tensor of any backend as an array, and any other value unchanged."""
    if hasattr(values, "nnz"):
        raise TypeError("it is sparse, use its `toarray`")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values
    return values.numpy() if hasattr(values, "numpy") else values
