"""Input features of a time step: parameters and, with `use_timestep`, its length.

Parameters change within a long time step. With `use_timestep` the emulator receives
their mean, the deviations of the first and the last value from it, and the length of
the step. Formulas are written once for NumPy and `keras.ops`: `xp` is the module.
"""

from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError


def feature_count(parameters: int, use_timestep: bool) -> int:
    """Return the number of input features of a time step."""
    return 3 * parameters + 1 if use_timestep else parameters


def is_linear(parameters: Sequence[str], units: Sequence[str]) -> np.ndarray:
    """Return which parameters are averaged arithmetically, (P,) bool: densities.

    All others are averaged geometrically.
    """
    return np.array(
        [
            name.lower() == "density" or "cm^-3" in unit
            for name, unit in zip(parameters, units, strict=True)
        ]
    )


def average(
    scaled: Any, years: Any, linear: Any, scale: Any, xp: ModuleType = np
) -> Any:
    """Return the mean of scaled parameters over an interval.

    Args:
        scaled: `(log10 p - offset) / scale` of the pieces, `(..., pieces, P)`.
        years: Length of each piece, `(..., pieces)`; pieces of length 0 do not count.
        linear: Which parameters are averaged arithmetically, `(P,)`.
        scale: Scale of the parameters, `(P,)`; the offset cancels.
        xp: NumPy or `keras.ops`.

    Returns:
        The scaled mean, `(..., P)`.
    """
    share = (years / xp.sum(years, axis=-1, keepdims=True))[..., None]
    of_logarithms = xp.sum(share * scaled, axis=-2)
    amount = xp.sum(share * xp.power(10.0, xp.multiply(scaled, scale)), axis=-2)
    return xp.where(linear, xp.divide(xp.log10(amount), scale), of_logarithms)


def timestep_features(
    mean: Any, first: Any, last: Any, years: Any, step: float, xp: ModuleType = np
) -> Any:
    """Return the features of time steps for an emulator with `use_timestep`.

    Args:
        mean: Mean of the scaled parameters over the step, `(..., P)`.
        first: Scaled parameters at its beginning, `(..., P)`.
        last: Scaled parameters at its end, `(..., P)`.
        years: Length of the steps, `(...)`.
        step: Reference length, whose feature is 0, years.
        xp: NumPy or `keras.ops`.

    Returns:
        Features, `(..., 3 P + 1)`.
    """
    length = xp.log10(years / step)[..., None]
    return xp.concatenate([mean, first - mean, last - mean, length], axis=-1)


def coarsen(
    physical: np.ndarray,
    time: np.ndarray,
    states: int | Sequence[int],
    linear: np.ndarray,
) -> np.ndarray:
    """Return parameters for `Surrogate.emulate` when some of the states are left out.

    Args:
        physical: Parameters in their units, constant over each step, `(N, T, P)`.
        time: Times of the states, years, `(N, T+1)`.
        states: Ascending numbers of the K+1 states to keep, with the times
            `time[:, states]`. A single number k keeps every k-th, `time[:, ::k]`.
        linear: Which parameters are averaged arithmetically, `(P,)`, see `is_linear`.

    Returns:
        Mean, first and last value of each interval, `(N, K, 3, P)` float32.

    Raises:
        InputError: If the numbers do not ascend, or there are no such states; for
            masked or labelled values, see `as_numbers`.
    """
    physical = as_numbers("physical", physical, "float64")
    time = as_numbers("time", time, "float64", units=["yr"])
    last = physical.shape[1]
    if isinstance(states, int):
        states = range(0, last + 1, states)
    edges = np.asarray(states)
    if len(edges) < 2 or (np.diff(edges) < 1).any() or edges[0] < 0 or edges[-1] > last:
        raise InputError(
            f"states are {edges.tolist()}; give two or more ascending numbers from 0 "
            f"to {last}."
        )
    logs, years = np.log10(physical), np.diff(time)
    mean = [
        average(logs[:, a:b], years[:, a:b], linear, 1.0) for a, b in pairwise(edges)
    ]
    ends = logs[:, edges[:-1]], logs[:, edges[1:] - 1]
    result = np.stack([np.stack(mean, axis=1), *ends], axis=2)
    return (10.0**result).astype("float32")
