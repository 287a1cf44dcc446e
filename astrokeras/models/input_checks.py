"""Input checks of `emulate` and `encode`: abundances, parameters and time."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import (
    COLUMNS,
    columns_warning,
    insert_columns,
    lacks_columns,
    light_comes_through,
)
from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST
from astrokeras.data.tracers.foreign_arrays import column_names
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.timestep_features import is_linear
from astrokeras.errors import InputError
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.status import RejectedTracers, Status
from astrokeras.trajectories.intervals import count_parts, split_intervals


@dataclass(frozen=True)
class TracerInputs:
    """Checked inputs of N tracers with T time steps.

    Attributes:
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P) or (N, T, 3, P).
        time: Years of the states, (N, T+1).
        rejected: Status bits of rejected tracers, 0 for valid ones, (N,).
        assumed: Line on column densities that were assumed and matter, if any.
    """

    initial: np.ndarray
    physical: np.ndarray
    time: np.ndarray
    rejected: np.ndarray
    assumed: str | None = None

    def rows(self, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return abundances, parameters and years of some tracers."""
        return self.initial[rows], self.physical[rows], self.time[rows]

    def valid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inputs of the valid tracers alone."""
        return self.rows(self.rejected == 0)

    def filled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all inputs, with the first valid tracer in place of rejected ones."""
        first = int((self.rejected == 0).argmax())
        return self.rows(np.where(self.rejected, first, np.arange(len(self.rejected))))

    def split(self, metadata: SurrogateMetadata) -> tuple["TracerInputs", np.ndarray]:
        """Return the tracers with intervals of trained lengths alone.

        Args:
            metadata: Of the surrogate, with its trained lengths.

        Returns:
            The tracers after `split_intervals`, with the first valid one in place of
            rejected ones; and the numbers that their states have now, (N, T+1).
        """
        if (count_parts(np.diff(self.valid()[2]), metadata.dt_range) <= 1).all():
            return self, np.broadcast_to(np.arange(self.time.shape[1]), self.time.shape)
        initial, physical, time = self.filled()
        parts = count_parts(np.diff(time), metadata.dt_range)
        linear = is_linear(metadata.parameters, metadata.units)
        physical, time, states = split_intervals(physical, time, parts, linear)
        return replace(self, initial=initial, physical=physical, time=time), states


def check_tracers(
    metadata: SurrogateMetadata,
    initial: Any,
    physical: Any,
    time: Any,
    flag: bool,
    substep: bool = False,
) -> TracerInputs:
    """Return the checked inputs of tracers.

    Args:
        metadata: Of the surrogate.
        initial: Abundances of state 0, `(N, S)` or `(S,)`, or the name of an initial
            condition of the surrogate.
        physical: See `shape_physical`.
        time: See `check_time`.
        flag: Whether rejected tracers get a status instead of raising an error.
        substep: Whether intervals may be longer than trained, since they are split.

    Raises:
        InputError: For shapes that disagree; without `flag`, for invalid values.
    """
    if isinstance(initial, str):
        initial = metadata.initial_condition(initial)
    assumed = lacks_columns(metadata.parameters, physical, column_names(physical))
    physical = shape_physical(metadata, physical)
    count, steps = physical.shape[:2]
    rejected = RejectedTracers(count, flag)
    check_physical(metadata, physical, rejected)
    initial = check_initial(metadata, initial, count, rejected)
    time = check_time(metadata, time, count, steps, rejected, substep)
    line = None
    if assumed:
        valid = physical[rejected.status == 0]
        light = light_comes_through(valid, metadata.parameters)
        light = light.any(tuple(range(2, light.ndim))).sum(-1)
        line = columns_warning(light, np.full_like(light, steps))
    return TracerInputs(initial, physical, time, rejected.status, line)


def shape_physical(metadata: SurrogateMetadata, physical: Any) -> np.ndarray:
    """Return parameters as float32 with an axis of tracers.

    Args:
        metadata: Of the surrogate.
        physical: `(T, P)`, `(N, T, P)` or `(N, T, 3, P)`. If P is smaller by two, the
            columns `NH2` and `NCO` are missing and follow from the extinction.

    Returns:
        `(N, T, P)`, constant within an interval, or `(N, T, 3, P)`: mean, first and
        last value.

    Raises:
        InputError: For another shape.
    """
    given = names = metadata.parameters
    if assumed := lacks_columns(names, physical, column_names(physical)):
        given = tuple(name for name in names if name not in COLUMNS)
    units = [metadata.units[names.index(name)] for name in given]
    physical = as_numbers("physical", physical, columns=given, units=units)
    physical = physical[None] if physical.ndim == 2 else physical
    if assumed:
        physical = insert_columns(physical, names)
    constant = physical.ndim == 3 and physical.shape[2] == len(names)
    if not constant and physical.shape[2:] != (3, len(names)):
        raise InputError(
            f"physical has shape {physical.shape}; it must be "
            f"(tracers, steps, {len(names)}) with {', '.join(names)}, or (tracers, "
            f"steps, 3, {len(names)}) with mean, first and last of each interval."
        )
    return physical


def check_physical(
    metadata: SurrogateMetadata, physical: np.ndarray, rejected: RejectedTracers
) -> None:
    """Reject tracers with a parameter that is not positive and finite."""
    bad = ~(np.isfinite(physical) & (physical > 0))
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        name = metadata.parameters[where[-1]]
        rejected.reject(
            bad.any(tuple(range(1, bad.ndim))),
            Status.INPUT,
            f"physical: {name} is {physical[where]:.6g} for tracer {where[0]}, step "
            f"{where[1]}; it must be positive and finite",
        )


def check_initial(
    metadata: SurrogateMetadata, initial: Any, count: int, rejected: RejectedTracers
) -> np.ndarray:
    """Return initial abundances as `(count, S)` float32, between the floor and 1.

    Args:
        metadata: Of the surrogate.
        initial: `(count, S)`, or `(S,)` for all tracers.
        count: N.
        rejected: Receives the tracers with an impossible abundance.

    Raises:
        InputError: For another shape.
    """
    initial = as_numbers("initial", initial, columns=metadata.species, units=[""])
    shape = (count, len(metadata.species))
    if initial.shape not in {shape, shape[1:]}:
        raise InputError(
            f"initial has shape {initial.shape}; with {count} tracers it "
            f"must be {shape}, the last axis holds the species of the surrogate."
        )
    initial = np.broadcast_to(initial, shape)
    bad = ~are_possible(initial)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        rejected.reject(
            bad.any(-1),
            Status.INPUT,
            f"initial: {metadata.species[column]} is {initial[row, column]:.6g} for "
            f"tracer {row}; it must lie in [0, 1], relative to H nuclei",
        )
    return raise_to_floor(metadata, initial)


def check_abundances(metadata: SurrogateMetadata, abundances: Any) -> np.ndarray:
    """Return abundances `(..., S)` as float32, raised to the floor.

    Raises:
        InputError: For another shape or an impossible abundance.
    """
    names = metadata.species
    abundances = as_numbers("abundances", abundances, columns=names, units=[""])
    if abundances.shape[-1:] != (len(names),):
        raise InputError(
            f"abundances have shape {abundances.shape}; the last axis must hold "
            f"the {len(names)} species of the surrogate."
        )
    good = are_possible(abundances)
    if not good.all():
        bad = tuple(np.argwhere(~good)[0])
        states = int((~good.all(-1)).sum())
        raise InputError(
            f"abundances: {names[bad[-1]]} is {abundances[bad]:.6g} in state "
            f"{', '.join(map(str, bad[:-1])) or 0}, the first of {states} such states; "
            "it must lie in [0, 1], relative to H nuclei."
        )
    return raise_to_floor(metadata, abundances)


def are_possible(abundances: np.ndarray) -> np.ndarray:
    """Return whether abundances lie in [0, 1], apart from rounding."""
    return (abundances >= LOWEST) & (abundances <= HIGHEST)


def raise_to_floor(metadata: SurrogateMetadata, abundances: np.ndarray) -> np.ndarray:
    """Return abundances as float32, raised to the floor.

    Values up to half a decade below the floor are kept: the decoder returns such values
    for species at the floor, and encoding them again recovers the latents.
    """
    least = metadata.floor * 10.0 ** (-MARGIN_DEX - 0.01)
    raised = np.where(abundances < least, metadata.floor, abundances)
    return np.minimum(raised, 1.0).astype("float32")


def check_time(
    metadata: SurrogateMetadata,
    time: Any,
    count: int,
    steps: int,
    rejected: RejectedTracers,
    substep: bool = False,
) -> np.ndarray:
    """Return the years of all states, `(N, T+1)` float64.

    Args:
        metadata: Of the surrogate.
        time: Years of the states, `(N, T+1)` or `(T+1,)`, or one time step.
        count: N.
        steps: T.
        rejected: Receives the tracers whose time does not increase, or has a time step
            outside the trained range.
        substep: Whether a time step may be the sum of equal ones within the range.

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
        parts = count_parts(intervals, metadata.dt_range)
    invalid = ~(np.isfinite(years).all(-1) & (intervals > 0).all(-1))
    untrained = parts == 0 if substep else parts != 1
    out_of_range = untrained.any(-1) & ~invalid
    for bad, status in ((invalid, Status.INPUT), (out_of_range, Status.TIME)):
        if bad.any():
            row = int(bad.argmax())
            value = intervals[row][untrained[row]] if steps else years[row]
            reason = _why_untrained(metadata, float(value[0]))
            rejected.reject(
                bad,
                status,
                f"time has an interval of {value[0]:.6g} yr for tracer {row}; {reason}",
            )
    return years


def _why_untrained(metadata: SurrogateMetadata, years: float) -> str:
    """Return why an interval is refused, and the remedy."""
    low, high = metadata.dt_range
    trained = f"this surrogate was trained on {low:.6g} to {high:.6g} yr"
    if not years > 0:
        return f"{trained}, give times that increase"
    if years < low:
        return f"{trained} and knows no shorter ones, leave out states in between"
    if not count_parts(np.array(years), metadata.dt_range):
        return f"{trained}, which do not add up to it, give other times"
    return f"{trained}, substep=True splits longer ones"
