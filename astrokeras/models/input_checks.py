"""What a caller asks of a surrogate: checked, and in the form that it computes with."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.models.refused_tracers import Refused
from astrokeras.models.status import Status
from astrokeras.models.training_ranges import Limits
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest


def check_tracers(
    limits: Limits, initial: Any, physical: Any, time: Any, flagged: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return abundances, parameters and years of tracers, and which are refused.

    Args:
        limits: Of the surrogate.
        initial: Abundances of state 0, `(N, S)` or `(S,)`.
        physical: See `shape_physical`.
        time: See `check_time`.
        flagged: Whether tracers that are refused are marked and are no error.

    Returns:
        `(N, S)`, `(N, T, P)` or `(N, T, 3, P)`, `(N, T+1)`, and the status of each
        tracer by its input, 0 if it is fine, `(N,)`.

    Raises:
        InputError: For shapes that disagree; unless flagged, for refused tracers.
    """
    physical = shape_physical(limits, physical)
    count, steps = physical.shape[:2]
    refused = Refused(count, flagged)
    check_physical(limits, physical, refused)
    initial = check_initial(limits, initial, count, refused)
    time = check_time(limits, time, count, steps, refused)
    return initial, physical, time, refused.status


def shape_physical(limits: Limits, physical: Any) -> np.ndarray:
    """Return parameters as float32, of a shape that is known.

    Args:
        limits: Of the surrogate.
        physical: `(T, P)`, `(N, T, P)` or `(N, T, 3, P)`.

    Returns:
        `(N, T, P)`, held within an interval, or `(N, T, 3, P)`: mean, first and last.

    Raises:
        InputError: For another shape.
    """
    names, units = limits.parameters, limits.units
    physical = as_numbers("physical", physical, columns=names, units=units)
    physical = physical[None] if physical.ndim == 2 else physical
    held = physical.ndim == 3 and physical.shape[2] == len(names)
    if not held and physical.shape[2:] != (3, len(names)):
        raise InputError(
            f"physical has shape {physical.shape}; it must be "
            f"(tracers, steps, {len(names)}) with {', '.join(names)}, or (tracers, "
            f"steps, 3, {len(names)}) with mean, first and last of each interval."
        )
    return physical


def check_physical(limits: Limits, physical: np.ndarray, refused: Refused) -> None:
    """Refuse tracers with a parameter that is not positive and finite."""
    bad = ~(np.isfinite(physical) & (physical > 0))
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        name = limits.parameters[where[-1]]
        refused.add(
            bad.any(tuple(range(1, bad.ndim))),
            Status.INPUT,
            f"physical: {name} is {physical[where]:.6g} for tracer {where[0]}, step "
            f"{where[1]}; it must be positive and finite",
        )


def check_initial(
    limits: Limits, initial: Any, count: int, refused: Refused
) -> np.ndarray:
    """Return initial abundances as `(count, S)` float32, within floor and 1.

    Args:
        limits: Of the surrogate.
        initial: `(count, S)`, or `(S,)` for all tracers.
        count: N.
        refused: Is told of tracers with a value that no abundance can have.

    Raises:
        InputError: For another shape.
    """
    initial = as_numbers("initial", initial, columns=limits.species, units=[""])
    shape = (count, len(limits.species))
    if initial.shape not in {shape, shape[1:]}:
        raise InputError(
            f"initial has shape {initial.shape}; with {count} tracers it "
            f"must be {shape}, the last axis holds the species of the surrogate."
        )
    initial = np.broadcast_to(initial, shape)
    bad = ~possible(initial)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        refused.add(
            bad.any(-1),
            Status.INPUT,
            f"initial: {limits.species[column]} is {initial[row, column]:.6g} for "
            f"tracer {row}; it must lie in [0, 1], relative to H nuclei",
        )
    return raise_to_floor(limits, initial)


def check_abundances(limits: Limits, abundances: Any) -> np.ndarray:
    """Return abundances `(..., S)` as float32, raised to the floor.

    Raises:
        InputError: For another shape or a value that no abundance can have.
    """
    names = limits.species
    abundances = as_numbers("abundances", abundances, columns=names, units=[""])
    if abundances.shape[-1:] != (len(limits.species),):
        raise InputError(
            f"abundances have shape {abundances.shape}; the last axis must hold "
            f"the {len(limits.species)} species of the surrogate."
        )
    good = possible(abundances)
    if not good.all():
        bad = tuple(np.argwhere(~good)[0])
        states = int((~good.all(-1)).sum())
        raise InputError(
            f"abundances: {limits.species[bad[-1]]} is {abundances[bad]:.6g} in state "
            f"{', '.join(map(str, bad[:-1])) or 0}, the first of {states} such states; "
            "it must lie in [0, 1], relative to H nuclei."
        )
    return raise_to_floor(limits, abundances)


def possible(abundances: np.ndarray) -> np.ndarray:
    """Whether abundances can be, but for rounding."""
    return (abundances >= LOWEST) & (abundances <= HIGHEST)


def raise_to_floor(limits: Limits, abundances: np.ndarray) -> np.ndarray:
    """Return abundances as float32, none below the floor.

    Those within half a decade below it are kept: a surrogate says them of species at
    the floor, and finds its latents by them where a code encodes what was decoded.
    """
    least = limits.floor * 10.0 ** (-MARGIN_DEX - 0.01)
    raised = np.where(abundances < least, limits.floor, abundances)
    return np.minimum(raised, 1.0).astype("float32")


def check_time(
    limits: Limits, time: Any, count: int, steps: int, refused: Refused
) -> np.ndarray:
    """Return the years of all states, refusing intervals that were not trained.

    Args:
        limits: Of the surrogate.
        time: Years of the states, `(N, T+1)` or `(T+1,)`, or one interval.
        count: N.
        steps: T.
        refused: Is told of tracers whose time does not go on, or by an interval that
            was not trained.

    Returns:
        Years of the states, `(N, T+1)` float64.

    Raises:
        InputError: For another shape.
    """
    time = as_numbers("time", time, "float64", units=["yr"])
    if time.ndim and time.shape not in {(steps + 1,), (count, steps + 1)}:
        raise InputError(
            f"time has shape {time.shape} for {count} tracers of {steps} steps; give "
            f"{steps + 1} times a tracer, or one interval."
        )
    with np.errstate(all="ignore"):
        years = time if time.ndim else time * np.arange(steps + 1)
        years = np.broadcast_to(years, (count, steps + 1))
        intervals = np.diff(years)
        untrained = limits.outside_steps(years)
    still = ~(np.isfinite(years).all(-1) & (intervals > 0).all(-1))
    other = untrained.any(-1) & ~still
    low, high = limits.dt_range
    for bad, status in ((still, Status.INPUT), (other, Status.TIME)):
        if bad.any():
            row = int(bad.argmax())
            value = intervals[row][untrained[row]] if steps else years[row]
            refused.add(
                bad,
                status,
                f"time has an interval of {value[0]:.6g} yr for tracer {row}; this "
                f"surrogate was trained on {low:.6g} to {high:.6g} yr, give states at "
                "these",
            )
    return years


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
        return None, np.zeros((0, 0), "float32")
    if isinstance(species, str):  # one name, not a sequence of letters
        species = [species]
    species = arguments.texts("species", species, least=1)
    column = {name: i for i, name in enumerate(known_species)}
    parts = []
    for name in species:
        both = [f"#{name[1:]}", f"@{name[1:]}"] if name[:1] == "$" else [name]
        known = [part for part in both if part in column]
        if not known:
            remedy = suggest(name, column, "; see its `species`.")
            raise InputError(
                f"species {arguments.shown(name)} is not among the {len(column)} of "
                f"this surrogate{remedy}"
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
    wanted = np.atleast_1d(as_numbers("state_indices", state_indices, None))
    if wanted.ndim != 1 or not wanted.size or wanted.dtype.kind not in "iu":
        raise InputError(
            f"state_indices are {arguments.shown(state_indices)}; give a list of "
            f"numbers of states, 0 to {steps}, not years."
        )
    as_floats = wanted.astype("float64")  # which hold any integer's size
    if ((as_floats < -steps - 1) | (as_floats > steps)).any():
        raise InputError(
            f"state_indices {arguments.shown(state_indices)} reach beyond the "
            f"{steps + 1} states; give numbers of states from {-steps - 1} to {steps}, "
            "not years."
        )
    return wanted.astype("int64") % (steps + 1)


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
