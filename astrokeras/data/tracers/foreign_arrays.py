"""Arrays of other libraries: their labels, units and numbers.

No library of labels or units is imported: objects are known by their attributes, such
as `columns` (pandas, Polars, Arrow), `coords` (xarray), `unit` (astropy) or `units`
(Pint, unyt, netCDF) and `detach` (PyTorch).
"""

from inspect import isroutine
from typing import Any

import numpy as np

from astrokeras.data.tracers.units import factor
from astrokeras.errors import InputError


def attribute(values: Any, name: str) -> Any:
    """Return an attribute that is no method, `None` if there is none."""
    found = getattr(values, name, None)
    return None if isroutine(found) else found


def axes_of(values: Any) -> list[list[Any] | None] | None:
    """Return the labels of each axis, `None` for one without or a whole array."""
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


def without_labels(values: Any) -> Any:
    """Return what labels belong to: an array, which may have a unit."""
    if hasattr(values, "coords"):
        return values.data
    if not hasattr(values, "to_numpy"):
        return np.asarray(values)
    array = values.to_numpy()
    types = np.ravel(np.asarray(getattr(values, "dtypes", None), "O"))
    numbers = all(getattr(one, "kind", "O") in "fiu" for one in types)
    if array.dtype == object and numbers:  # of pandas' own types, with a missing one
        return values.to_numpy("float64", na_value=np.nan)
    return array


def stated_unit(values: Any) -> str | None:
    """Return the unit that the attributes of a table or a dataset state."""
    stated = attribute(values, "attrs")
    unit = stated.get("units", stated.get("unit")) if hasattr(stated, "get") else None
    if isinstance(unit, bytes):
        unit = unit.decode("utf-8", "replace")
    return None if unit is None or str(unit) == "" else str(unit)


def unit_of(values: Any) -> Any:
    """Return the unit of an array: an object of its library, or text."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind and kind in "mM":  # what pandas calls their unit is their resolution
        return None
    stated = stated_unit(values)
    found = [attribute(values, name) for name in ("unit", "units")]
    return next((one for one in [stated, *found] if _is_unit(one)), None)


def _is_unit(found: Any) -> bool:
    return found is not None and not (isinstance(found, str) and not found)


def ratio(unit: str, wanted: str) -> float | None:
    """Return what one of a unit in text is in the unit wanted, `None` if unknown."""
    if not wanted:
        return 1.0 if unit in {"1", "dimensionless"} else None
    try:
        float(unit)  # a number is no unit
    except ValueError:
        try:
            return factor("", unit, wanted)
        except InputError:
            return None
    return None


def converted(values: Any, wanted: str) -> Any:
    """Return the numbers of a quantity in the unit wanted, `None` if that fails."""
    try:
        quantity = values.to(wanted)
    except Exception:  # each library has errors of its own
        return None
    return quantity.magnitude if hasattr(quantity, "magnitude") else quantity.value


def on_host(values: Any) -> Any:
    """Return a tensor of any backend as an array, anything else as it is."""
    if hasattr(values, "nnz"):
        raise TypeError("it is sparse, see its `toarray`")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values
    return values.numpy() if hasattr(values, "numpy") else values
