"""Format of tracer files, "astrokeras-tracers/1": names, limits and structure check.

`data/README.md` describes the format; this module refuses files that depart from it.
It does not read abundances.
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from astrokeras.errors import InputError
from astrokeras.system.arguments import is_line

if TYPE_CHECKING:
    import h5py

FORMAT = "astrokeras-tracers/1"
FLOOR = 1e-20
"""Smallest abundance, relative to H nuclei; lower abundances are treated as equal."""
STEP_MARGIN = 1e-3
"""Relative difference below which two time steps are equal, since times are rounded."""
LOWEST = -1e-12
"""Lowest accepted abundance: solvers undershoot zero slightly."""
HIGHEST = 1.0 + 1e-6
"""Highest accepted abundance: rounding can exceed 1 slightly."""
LARGEST_TRACER = 2**28
"""Largest size in bytes of the abundances of a tracer, which is read as a whole."""
SPLITS = ("train", "validation", "test")
UNASSIGNED = 255
"""Code in memory of tracers from a file without a split."""
NO_SIMULATION = -1
"""Identifier of the simulation if a raw file gives none."""
PARAMETER_UNITS = {
    "Density": "H nuclei cm^-3",
    "Radfield": "Habing",
    "Av": "mag",
    "gasTemp": "K",
    "dustTemp": "K",
    "zeta": "1.3e-17 s^-1",
    "NH2": "cm^-2",
    "NCO": "cm^-2",
}

# Kind ("f" floats, "i" integers, "s" strings) and axes of each dataset.
_LAYOUT = {
    "abundances": ("f", "NAS"),
    "physical": ("f", "NTP"),
    "time": ("f", "NB"),
    "length": ("i", "N"),
    "tracer": ("i", "N"),
    "simulation": ("i", "N"),
    "species": ("s", "S"),
    "parameters": ("s", "P"),
}
_OPTIONAL = {"split": ("i", "N")}
_SOLUTION = ("abundances", "species")
_KINDS = {"f": "floating-point numbers", "i": "integers", "s": "strings"}
_REMEDY = "write the file again with `astrokeras data import`."


def check_structure(file: "h5py.File", need_abundances: bool = True) -> None:
    """Raise InputError if a file does not follow the tracer format.

    Checks the presence, kinds, shapes and filters of the datasets, and the names and
    units. Values are checked when they are read.

    Args:
        file: An open HDF5 file.
        need_abundances: Whether the dataset `abundances` is required. If it is neither
            required nor present, `species` is optional too, as in a file of tracks.

    Raises:
        InputError: The message names the file, the dataset, its fault and the remedy.
    """
    path = file.filename
    found = decoded(file.attrs.get("format", ""))
    if found != FORMAT:
        raise InputError(
            f"{path}: attribute 'format' is {found!r}, not {FORMAT!r}; "
            "convert raw data with `astrokeras data import`."
        )
    missing = [name for name in _LAYOUT if name not in file]
    if set(missing) == set(_SOLUTION) and need_abundances:
        raise InputError(
            f"{path}: datasets {', '.join(_SOLUTION)} missing, it holds only tracks; "
            "solve them with `astrokeras data generate`."
        )
    if not need_abundances and "abundances" in missing:
        missing = [name for name in missing if name not in _SOLUTION]
    if missing:
        raise InputError(
            f"{path}: dataset{'s' * (len(missing) > 1)} {', '.join(missing)} "
            f"missing; {_REMEDY}"
        )
    layout = {k: v for k, v in (_LAYOUT | _OPTIONAL).items() if k in file}
    for name, (kind, axes) in layout.items():
        _check_dataset(file, name, kind, len(axes))
    _check_shapes(file, layout)
    unit = decoded(file["time"].attrs.get("units", ""))
    if unit not in ("", "yr", "year", "years"):
        raise InputError(
            f"{path}: attribute 'units' of dataset 'time' is {unit!r}, but times are "
            f"in years; convert them and {_REMEDY}"
        )
    if "species" in file:
        _check_names(path, "species", strings(file["species"]))
    names = strings(file["parameters"])
    _check_names(path, "parameters", names)
    units = file["parameters"].attrs.get("units")
    if units is None or getattr(units, "shape", None) != (len(names),):
        raise InputError(
            f"{path}: attribute 'units' of dataset 'parameters' must hold one unit for "
            f"each of {', '.join(names)}; {_REMEDY}"
        )


def decoded(value: Any) -> str:
    """Return an HDF5 string, or any other value, as a Python string."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def strings(dataset: "h5py.Dataset | Sequence[Any]") -> tuple[str, ...]:
    """Return a dataset or an attribute of HDF5 strings as Python strings."""
    return tuple(map(decoded, dataset[:]))


def stored_item(parent: "h5py.Group", name: str) -> Any:
    """Return an object that is stored in the file itself, `None` for a link."""
    import h5py

    link = parent.get(name, getlink=True)
    return parent.get(name) if isinstance(link, h5py.HardLink) else None


def plain_dataset(parent: "h5py.Group", name: str) -> "h5py.Dataset":
    """Return a dataset that is stored in the file itself and can be decompressed.

    Links and virtual or external storage could give access to any other file.

    Raises:
        InputError: If it is a link, not a dataset, stored in another file, or
            compressed with a filter that is not installed.
    """
    import h5py

    path = parent.file.filename
    dataset = stored_item(parent, name)
    if not isinstance(dataset, h5py.Dataset):
        found = dataset or parent.get(name, getlink=True)
        raise InputError(
            f"{path}: {name!r} must be a dataset of the file itself, not "
            f"{type(found).__name__}; copy the data into one file."
        )
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{path}: dataset {name!r} is stored in other files; "
            "copy the data into one file (h5repack does)."
        )
    _check_filters(dataset)
    return dataset


def filters_of(dataset: "h5py.Dataset") -> list[int]:
    """Return the numbers of the HDF5 filters that a dataset is compressed with."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]


def missing_filters(dataset: "h5py.Dataset") -> list[int]:
    """Return the numbers of the filters of a dataset that are not installed."""
    from h5py.h5z import filter_avail

    filters = filters_of(dataset)
    if not all(map(filter_avail, filters)):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401  Its import registers more filters.
    return [code for code in filters if not filter_avail(code)]


def is_readable(dataset: "h5py.Dataset") -> bool:
    """Return whether a dataset holds numbers or text, with installed filters.

    Other values, such as pickled objects and references, are never read.
    """
    import h5py

    is_object = dataset.dtype.kind == "O" and not h5py.check_string_dtype(dataset.dtype)
    return not (is_object or missing_filters(dataset))


def _check_filters(dataset: "h5py.Dataset") -> None:
    unknown = missing_filters(dataset)
    if unknown:
        raise InputError(
            f"{dataset.file.filename}: dataset {dataset.name!r} is compressed with "
            f"HDF5 filter {unknown[0]}, which is not installed; "
            "`pip install hdf5plugin`."
        )


def _check_dataset(file: "h5py.File", name: str, kind: str, rank: int) -> None:
    import h5py

    dataset = plain_dataset(file, name)
    if h5py.check_string_dtype(dataset.dtype) is not None:
        actual = "s"
    else:
        actual = {"f": "f", "i": "i", "u": "i"}.get(dataset.dtype.kind, "?")
    if actual != kind:
        raise InputError(
            f"{file.filename}: dataset {name!r} must hold {_KINDS[kind]}, "
            f"not {dataset.dtype}; {_REMEDY}"
        )
    if dataset.ndim != rank or 0 in dataset.shape:
        raise InputError(
            f"{file.filename}: dataset {name!r} must have {rank} axes, none of them "
            f"empty, not shape {dataset.shape}; {_REMEDY}"
        )


def _check_shapes(file: "h5py.File", layout: dict[str, tuple[str, str]]) -> None:
    path = file.filename
    tracers, states = file["time"].shape
    sizes = {
        "N": tracers,
        "B": states,
        "T": states - 1,
        "A": states,
        "S": len(file["species"]) if "species" in file else 0,
        "P": len(file["parameters"]),
    }
    if "abundances" in file and file["abundances"].shape[1] == 1:
        sizes["A"] = 1  # Only state 0: a file of initial conditions for predictions.
    for name, (_, axes) in layout.items():
        expected = tuple(sizes[axis] for axis in axes)
        if file[name].shape != expected:
            raise InputError(
                f"{path}: dataset {name!r} has shape {file[name].shape}, but 'time', "
                f"'species' and 'parameters' require {expected}; {_REMEDY}"
            )
    widest = max("SP", key=lambda axis: sizes[axis])
    if 4 * states * sizes[widest] > LARGEST_TRACER:
        what = {"S": "species", "P": "parameters"}[widest]
        raise InputError(
            f"{path}: a tracer of {states} states with {sizes[widest]} {what} takes "
            f"more than {LARGEST_TRACER} bytes; cut the tracers into shorter ones."
        )


def _check_names(path: str, dataset: str, names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.strip() or not is_line(name) or name in seen:
            fault = "twice" if name in seen else "as a name"
            raise InputError(
                f"{path}: dataset {dataset!r} holds {name!r} {fault}; {_REMEDY}"
            )
        seen.add(name)
