"""What a caller asks of a surrogate: checked, and in the form that it computes with."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.errors import InputError
from astrokeras.models.training_ranges import Limits
from astrokeras.names import suggest


def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return an array of float32.

    Raises:
        InputError: If the values are none.
    """
    try:
        return np.asarray(values, "float32")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is a {type(values).__name__}, no array of numbers ({error})."
        ) from error


def check_physical(limits: Limits, physical: Any) -> np.ndarray:
    """Return parameters as float32, refusing what is not physical.

    Args:
        limits: Of the surrogate.
        physical: `(T, P)`, `(N, T, P)` or `(N, T, 3, P)`.

    Returns:
        `(N, T, P)`, held within an interval, or `(N, T, 3, P)`: mean, first and last.

    Raises:
        InputError: For another shape or a value that is not positive and finite.
    """
    physical = as_numbers("physical", physical)
    physical = physical[None] if physical.ndim == 2 else physical
    names = limits.parameters
    held = physical.ndim == 3 and physical.shape[2] == len(names)
    if not held and physical.shape[2:] != (3, len(names)):
        raise InputError(
            f"physical has shape {physical.shape}; it must be "
            f"(tracers, steps, {len(names)}) with {', '.join(names)}, or (tracers, "
            f"steps, 3, {len(names)}) with mean, first and last of each interval."
        )
    if not (np.isfinite(physical) & (physical > 0)).all():
        bad = np.argwhere(~(np.isfinite(physical) & (physical > 0)))[0]
        raise InputError(
            f"physical: {names[bad[-1]]} is {physical[tuple(bad)]} for tracer "
            f"{bad[0]}, step {bad[1]}; it must be positive and finite."
        )
    return physical


def check_initial(limits: Limits, initial: Any, count: int) -> np.ndarray:
    """Return initial abundances as `(count, S)` float32, within floor and 1."""
    initial = check_abundances(limits, initial)
    if initial.ndim == 1:
        initial = np.broadcast_to(initial, (count, initial.size))
    if initial.shape != (count, len(limits.species)):
        raise InputError(
            f"initial has shape {initial.shape}; with {count} tracers it "
            f"must be {(count, len(limits.species))}."
        )
    return initial


def check_abundances(limits: Limits, abundances: Any) -> np.ndarray:
    """Return abundances `(..., S)` as float32, raised to the floor.

    Those within half a decade below it are kept: a surrogate says them of species at
    the floor, and finds its latents by them where a code encodes what was decoded.
    """
    abundances = as_numbers("abundances", abundances)
    if abundances.shape[-1:] != (len(limits.species),):
        raise InputError(
            f"abundances have shape {abundances.shape}; the last axis must hold "
            f"the {len(limits.species)} species of the surrogate."
        )
    good = (abundances >= -1e-12) & (abundances <= 1 + 1e-6)
    if not good.all():
        bad = tuple(np.argwhere(~good)[0])
        raise InputError(
            f"abundances: {limits.species[bad[-1]]} is {abundances[bad]} in state "
            f"{', '.join(map(str, bad[:-1])) or 0}; it must lie in [0, 1], relative "
            "to H nuclei."
        )
    least = limits.floor * 10.0 ** (-MARGIN_DEX - 0.01)
    raised = np.where(abundances < least, limits.floor, abundances)
    return np.minimum(raised, 1.0).astype("float32")


def check_time(limits: Limits, time: Any, count: int, steps: int) -> np.ndarray:
    """Return the years of all states, refusing intervals that were not trained.

    Args:
        limits: Of the surrogate.
        time: Years of the states, `(N, T+1)` or `(T+1,)`, or one interval.
        count: N.
        steps: T.

    Returns:
        Years of the states, `(N, T+1)` float64.

    Raises:
        InputError: For another shape, or naming the interval and the trained range.
    """
    time = np.asarray(time, "float64")
    if time.ndim and time.shape not in {(steps + 1,), (count, steps + 1)}:
        raise InputError(
            f"time has shape {time.shape} for {count} tracers of {steps} steps; give "
            f"{steps + 1} times a tracer, or one interval."
        )
    years = time if time.ndim else time * np.arange(steps + 1)
    bad = limits.outside_steps(years)
    if bad.any():
        value = float(np.diff(years)[bad].flat[0])
        low, high = limits.dt_range
        raise InputError(
            f"time has an interval of {value:.6g} yr; this surrogate was trained "
            f"on {low:.6g} to {high:.6g} yr, give states at these."
        )
    return np.broadcast_to(years, (count, steps + 1))


def describe_outside(
    limits: Limits, initial: np.ndarray, physical: np.ndarray, time: np.ndarray
) -> list[str]:
    """Return a line for each thing that lies outside of what was trained.

    Args:
        limits: Of the surrogate.
        initial: Abundances of state 0, `(N, S)`.
        physical: Parameters, `(N, T, ..., P)`.
        time: Years of the states, `(N, T+1)`.
    """
    lines = []
    rows = physical.reshape(-1, len(limits.parameters))
    leaving = np.any(limits.outside_parameters(rows), axis=0)
    for i, name in enumerate(limits.parameters):
        low, high = limits.parameter_ranges[name]
        values = physical[..., i]
        for value in {values.min(), values.max()} if leaving[i] else ():
            if not low <= value <= high:
                lines.append(
                    f"{name} = {value:.6g} {limits.units[i]} lies outside the "
                    f"training range {low:.6g} to {high:.6g}"
                )
    excess = np.atleast_2d(limits.start_excess(initial))
    outside = excess.max(-1) > 0
    if outside.any():
        row = int(outside.argmax())
        worst = int(excess[row].argmax())
        low, high = limits.species_ranges[:, worst]
        lines.append(
            f"{int(outside.sum())} of {len(outside)} initial states lie outside "
            f"the training range, first {limits.species[worst]} = "
            f"{np.atleast_2d(initial)[row, worst]:.3g} "
            f"(range {low:.3g} to {high:.3g})"
        )
    if limits.beyond_duration(time).any():
        years = (time[:, -1] - time[:, 0]).max()
        lines.append(
            f"{years:.6g} yr lie beyond the {limits.t_max:.6g} yr that training "
            "followed a tracer"
        )
    return lines


def choose_columns(
    known_species: Sequence[str], species: Sequence[str] | None
) -> tuple[tuple[int, ...] | None, np.ndarray]:
    """Return the columns to decode and how they add up to what is wanted.

    Args:
        known_species: Names in column order.
        species: Names wanted, `$X` for `#X` + `@X`; all if `None`.

    Returns:
        Column numbers, `None` for all, and the matrix that adds them up,
        `(wanted, columns)`.

    Raises:
        InputError: For a name that is unknown.
    """
    if species is None:
        return None, np.empty(0)
    if isinstance(species, str):  # one name, not a sequence of letters
        species = [species]
    column = {name: i for i, name in enumerate(known_species)}
    parts = []
    for name in species:
        both = [f"#{name[1:]}", f"@{name[1:]}"] if name[:1] == "$" else [name]
        known = [part for part in both if part in column]
        if not known:
            remedy = suggest(name, column, "; see its `species`.")
            raise InputError(
                f"species {name!r} is not among the {len(column)} of this "
                f"surrogate{remedy}"
            )
        parts.append(known)
    needed = list(dict.fromkeys(part for known in parts for part in known))
    mixing = np.zeros((len(parts), len(needed)), "float32")
    for i, known in enumerate(parts):
        mixing[i, [needed.index(part) for part in known]] = 1.0
    return tuple(column[part] for part in needed), mixing


def choose_states(state_indices: Sequence[int], steps: int) -> np.ndarray:
    """Return the numbers of the states wanted, each in [0, steps].

    Raises:
        InputError: For a number beyond the states.
    """
    wanted = np.atleast_1d(state_indices)
    if not np.issubdtype(wanted.dtype, np.integer):
        raise InputError(
            f"times are {wanted.tolist()}; give numbers of states, 0 to {steps}, "
            "not years."
        )
    if ((wanted < -steps - 1) | (wanted > steps)).any():
        raise InputError(
            f"times {wanted.tolist()} reach beyond the {steps + 1} states; "
            f"give numbers of states from {-steps - 1} to {steps}, not years."
        )
    return wanted % (steps + 1)


def equal_batches(
    arrays: tuple[np.ndarray, ...], size: int
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Cut arrays into equal batches, so that one shape is compiled.

    The last batch is filled up with copies of its last row, which the caller drops.
    """
    count = len(arrays[0])
    if not count:
        return
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + min(size, count)), count - 1)
        yield start, tuple(array[rows] for array in arrays)
