"""Blocks of tracers in memory, and checks of their values."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.config.typed_options import typed
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError

# Values below which nothing changes, for parameters that are 0 in the files of codes.
_SMALLEST = {"Av": 1e-3, "Radfield": 1e-4, "zeta": 1e-3, "NH2": 1e10, "NCO": 1e8}
PER_STATE = {"abundances": "f4", "physical": "f4", "time": "f8"}
UNITS = {"abundances": [""], "time": ["yr"]}
PER_TRACER = {"length": "i4", "tracer": "i8", "simulation": "i8", "split": "u1"}


@dataclass
class Tracers:
    """Block of tracers in memory, as plain NumPy arrays.

    Raises:
        InputError: For masked or labelled values and for values with units, except
            that times with a unit are converted.

    Attributes:
        rows: Row numbers in the file, (n,).
        abundances: Relative to H nuclei, (n, T+1, S); (n, 1, S) if only initial
            abundances are known, (n, 0, S) if there are none.
        physical: Parameters in the file's units, (n, T, P).
        time: Years, (n, T+1).
        length: Number of valid states of each tracer, (n,); later states are NaN.
        tracer: Identifiers, (n,).
        simulation: Identifiers of their simulations, (n,).
        split: 0 train, 1 validation, 2 test, 255 not split, (n,).
    """

    rows: np.ndarray
    abundances: np.ndarray
    physical: np.ndarray
    time: np.ndarray
    length: np.ndarray
    tracer: np.ndarray
    simulation: np.ndarray
    split: np.ndarray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            values = getattr(self, name)
            plain = as_numbers(name, values, None, units=UNITS.get(name, ()))
            setattr(self, name, plain)

    def __len__(self) -> int:
        return len(self.length)

    def take(self, rows: np.ndarray) -> "Tracers":
        """Return copies of the tracers in some rows of this block."""
        names = self.__dataclass_fields__
        return Tracers(**{name: getattr(self, name)[rows].copy() for name in names})

    def padded(self, states: int) -> "Tracers":
        """Return the tracers with room for `states` states, padded with NaN."""
        if self.time.shape[1] == states:
            return self
        padded = empty_tracers(
            len(self), states, self.abundances.shape[2], self.physical.shape[2]
        )
        for name in PER_STATE:
            values = getattr(self, name)
            getattr(padded, name)[:, : values.shape[1]] = values
        for name in PER_TRACER:
            setattr(padded, name, getattr(self, name))
        return padded


def empty_tracers(n: int, states: int, species: int, parameters: int) -> Tracers:
    """Return tracers whose values are NaN, to be filled in."""
    return Tracers(
        rows=np.arange(n),
        abundances=np.full((n, states, species), np.nan, np.float32),
        physical=np.full((n, states - 1, parameters), np.nan, np.float32),
        time=np.full((n, states), np.nan),
        length=np.full(n, states, np.int32),
        tracer=np.zeros(n, np.int64),
        simulation=np.full(n, file_format.NO_SIMULATION, np.int64),
        split=np.full(n, file_format.UNASSIGNED, np.uint8),
    )


def import_xarray() -> Any:
    """Return the module `xarray`, or raise InputError if it is not installed."""
    try:
        import xarray
    except ImportError as error:
        raise InputError(
            'output is "xarray", which is not installed; `pip install '
            "'astrokeras[xarray]'`, or give output=\"arrays\"."
        ) from error
    return xarray


def to_dataset(
    values: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
    time: np.ndarray,
    species: Sequence[str],
    attributes: Mapping[str, Any],
) -> Any:
    """Return values of N tracers at K states as an `xarray.Dataset`.

    Its dimensions are `tracer`, `time` and `species`. The coordinate `time` holds the
    years if all tracers share them; otherwise it numbers the states, and a coordinate
    `years` has the dimensions tracer and time.

    Args:
        values: Arrays (N, K) or (N, K, S) with their attributes, by name.
        time: Years of the states, (N, K).
        species: Names, (S,).
        attributes: Attributes of the dataset.

    Raises:
        InputError: If xarray is not installed.
    """
    xarray = import_xarray()
    dims = ("tracer", "time", "species")
    shared = len(time) > 0 and (time == time[0]).all()
    years = {"units": "yr", "long_name": "time"}
    coords: dict[str, Any] = {
        "tracer": np.arange(len(time)),
        "time": ("time", time[0], years) if shared else np.arange(time.shape[1]),
        "species": ("species", list(species), {"long_name": "species"}),
    }
    if not shared:
        coords["years"] = (dims[:2], time, years)
    data = {
        name: (dims[: array.ndim], array, dict(attrs))
        for name, (array, attrs) in values.items()
    }
    return xarray.Dataset(data, coords, dict(attributes))


def check_values(
    path: str | os.PathLike[str],
    tracers: Tracers,
    species: Sequence[str],
    parameters: Sequence[str],
) -> None:
    """Raise InputError for values that no valid tracer holds.

    Args:
        path: The file, for messages.
        tracers: The tracers; only states within the length of each are checked.
        species: Names, in column order.
        parameters: Names, in column order.

    Raises:
        InputError: For an abundance that is not finite or outside [0, 1] beyond
            rounding, a parameter that is not positive, or times that do not increase.
    """
    states = tracers.time.shape[1]
    valid = None
    if (tracers.length < states).any():
        valid = np.arange(states)[None, :] < tracers.length[:, None]
    low, high = file_format.LOWEST, file_format.HIGHEST

    def check(
        values: np.ndarray,
        inside: np.ndarray | None,
        names: Sequence[str],
        good: Callable[[np.ndarray], np.ndarray],
        allowed: str,
    ) -> None:
        if not values.size:
            return
        # Minima and maxima propagate NaN and need no temporary arrays.
        if inside is None and good(values.min()) and good(values.max()):
            return
        bad = ~good(values)
        if inside is not None:
            bad &= inside.reshape(inside.shape + (1,) * (values.ndim - 2))
        if bad.any():
            where = np.unravel_index(int(bad.argmax()), bad.shape)
            name = names[int(where[2])] if values.ndim == 3 else names[0]
            remedy = "correct the data."
            if values[where] == 0 and name in _SMALLEST:
                option = typed(f"dataset.minimum.{name}", f"{_SMALLEST[name]:g}")
                remedy = f"import it with {option}, to which smaller values are raised."
            raise InputError(
                f"{path}: tracer {tracers.tracer[where[0]]}, state {where[1]}: {name} "
                f"is {values[where]:.6g}, but must be {allowed}; {remedy}"
            )

    solved = tracers.abundances.shape[1]
    check(
        tracers.abundances,
        None if valid is None else valid[:, :solved],
        species,
        lambda x: (x >= low) & (x <= high),
        "an abundance from 0 to 1 relative to H nuclei",
    )
    check(
        tracers.physical,
        None if valid is None else valid[:, 1:],
        parameters,
        lambda x: (x > 0) & np.isfinite(x),
        "positive and finite",
    )
    check(
        tracers.time,
        valid,
        ["time"],
        np.isfinite,
        "finite",
    )
    with np.errstate(invalid="ignore"):
        still = ~(np.diff(tracers.time) > 0)
    if valid is not None:
        still &= valid[:, 1:]
    if still.any():
        row, state = np.unravel_index(int(still.argmax()), still.shape)
        before, after = tracers.time[row, state : state + 2]
        raise InputError(
            f"{path}: tracer {tracers.tracer[row]}, state {state + 1}: time is "
            f"{after:.6g} yr after {before:.6g} yr, but must increase within a tracer; "
            "correct the data."
        )
