"""Static gas: the evolution of abundances at parameters that are held."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import ASSUMED, COLUMNS
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.system import arguments
from astrokeras.system.close_names import match_names

GROWTH = 10**0.1 - 1
"""Interval over age: ten states per decade, as far as the trained intervals allow."""
MOST_INTERVALS = 100_000
"""Largest number of intervals between two requested times."""
OPTIONS = {
    "species",
    "batch_size",
    "strict",
    "conserve",
    "return_sigma",
    "return_expected_error",
    "return_reliable",
    "return_status",
    "return_cost",
    "fallback",
    "on_error",
    "output",
}
"""Arguments of `emulate` that `static` hands on."""


class StaticGas:
    """The method `static` of a `Surrogate`."""

    metadata: SurrogateMetadata
    emulate: Callable[..., Any]

    def static(self, time: Any = 1e6, initial: Any = None, **named: Any) -> Any:
        """Evolve gas at held parameters, to one time or several.

        Between the times it takes intervals that the surrogate was trained on, about
        ten per decade of age, and returns the states at `time` alone.

        Args:
            time: Years after state 0, one or increasing ones, `(K,)`; 0 is state 0.
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of the `initial_conditions`: by default
                "initial_abundances", otherwise the first of them.
            **named: The parameters by name, each a number or `(N,)`, in `units` or with
                a unit, such as `Density=1e5`. `dustTemp = gasTemp`, `zeta = 1` and, as
                by `emulate`, the columns `NH2` and `NCO` are assumed if they are not
                given. Further arguments of `emulate`, such as `species` and `output`,
                except `state_indices`.

        Returns:
            What `emulate` returns: abundances, `(N, K, S or len(species))`, with any
            `return_*` in a tuple, or an `xarray.Dataset`.

        Raises:
            InputError: For a parameter that is missing or unknown, a time that no
                trained intervals add up to, and as by `emulate`.
        """
        options = {name: named.pop(name) for name in OPTIONS & set(named)}
        species = self.metadata.species
        initial = choose_initial(self.metadata, initial)
        initial = as_numbers("initial", initial, columns=species, units=[""])
        values = held_values(self.metadata, named)
        years, states = times_between(time, self.metadata.dt_range)
        tracers = [*(value.shape for value in values.values()), initial.shape[:-1]]
        try:
            shape = np.broadcast_shapes(*tracers)
        except ValueError as error:
            shapes = ", ".join(map(str, dict.fromkeys(tracers)))
            raise InputError(
                f"parameters and initial abundances have the shapes {shapes}; give one "
                "value for each tracer, or one for all."
            ) from error
        physical = {
            name: np.broadcast_to(value[..., None], (*shape, len(years) - 1))
            for name, value in values.items()
        }
        return self.emulate(initial, physical, years, state_indices=states, **options)


def choose_initial(metadata: SurrogateMetadata, initial: Any) -> Any:
    """Return initial abundances: those given, or an initial condition.

    Args:
        metadata: Of the surrogate.
        initial: Abundances, or the name of an initial condition; `None` for
            "initial_abundances", otherwise the first of them.

    Raises:
        InputError: If none has this name, or there are none.
    """
    known = metadata.initial_conditions
    if initial is None and known:
        default = "initial_abundances"
        initial = default if default in known else next(iter(known))
    if initial is None:
        raise InputError(
            "this surrogate has no initial conditions; give initial abundances."
        )
    return metadata.initial_condition(initial) if isinstance(initial, str) else initial


def held_values(
    metadata: SurrogateMetadata, named: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return held parameters in their units, each `()` or `(N,)`, float32.

    Args:
        metadata: Of the surrogate.
        named: Values by name. `dustTemp` and `zeta` are assumed if they are missing;
            the columns `NH2` and `NCO` may be missing.

    Raises:
        InputError: For a parameter that is missing, unknown or not a number.
    """
    values = match_parameters(metadata, named, "static")
    for name, assumed in ASSUMED.items():
        if name in metadata.parameters and name not in values:
            values[name] = values.get(assumed) if isinstance(assumed, str) else assumed
    units = dict(zip(metadata.parameters, metadata.units, strict=True))
    numbers = {
        name: as_numbers(name, value, units=[units[name]])
        for name, value in values.items()
        if value is not None
    }
    for name, value in numbers.items():
        if value.ndim > 1:
            raise InputError(
                f"{name} has shape {value.shape}; give a number, or one for each "
                "tracer; `emulate` takes parameters that change."
            )
    return numbers


def match_parameters(
    metadata: SurrogateMetadata, named: Mapping[str, Any], needed_by: str
) -> dict[str, Any]:
    """Return values of parameters by the surrogate's names.

    Args:
        metadata: Of the surrogate.
        named: Values by name; those that are assumed may be missing.
        needed_by: What needs them, for messages.

    Raises:
        InputError: For a parameter that is missing or unknown.
    """
    given = {name.casefold() for name in named}
    free = {*ASSUMED, *(COLUMNS if "Av" in metadata.parameters else ())}
    wanted = [
        name
        for name in metadata.parameters
        if name not in free or name.casefold() in given
    ]
    needed = f"; this surrogate has the parameters {', '.join(metadata.parameters)}."
    places, fault = match_names(list(named), wanted, needed)
    if fault:
        raise InputError(f"{needed_by} needs {', '.join(wanted)}, but {fault}")
    parts = list(named.values())
    return {name: parts[place] for name, place in zip(wanted, places, strict=True)}


def times_between(
    time: Any, dt_range: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return years of states that lead to some times by intervals within a range.

    Args:
        time: Years after state 0, one or several increasing ones, (K,).
        dt_range: Shortest and longest interval, years.

    Returns:
        Years of all states, (T+1,), from 0, and the numbers of the requested states,
        (K,).

    Raises:
        InputError: For times that do not increase, or to which no intervals add up.
    """
    times = np.atleast_1d(as_numbers("time", time, "float64", units=["yr"]))
    steps = np.diff(times.ravel())
    increasing = np.isfinite(times).all() and (times >= 0).all() and (steps > 0).all()
    if times.ndim != 1 or not times.size or not increasing or times[-1] == 0:
        raise InputError(
            f"time is {arguments.shown(time)}; give years after the start, positive "
            "and increasing."
        )
    later = times[times > 0]
    years, states = [np.zeros(1)], [0] * (len(times) - len(later))
    for start, end in pairwise([0.0, *later.tolist()]):
        ages = start + np.cumsum(_intervals(start, end, dt_range))
        ages[-1] = end
        years.append(ages)
        states.append(sum(map(len, years)) - 1)
    return np.concatenate(years), np.array(states)


def _intervals(start: float, end: float, dt_range: Sequence[float]) -> np.ndarray:
    """Return the lengths of intervals from one age to another, years."""
    low, high = dt_range[0] * (1 - STEP_MARGIN / 2), dt_range[1] * (1 + STEP_MARGIN / 2)
    span = end - start
    fewest, most = math.ceil(span / high), math.floor(span / low)
    if fewest > most or fewest > MOST_INTERVALS:
        reason = "no number" if fewest > most else f"only {fewest:.3g}"
        raise InputError(
            f"time has {span:.6g} yr from {start:.6g} to {end:.6g} yr, to which "
            f"{reason} of the trained intervals of {dt_range[0]:.6g} to "
            f"{dt_range[1]:.6g} yr add up; give other times."
        )
    lengths: list[float] = []
    age = start
    while age < end and len(lengths) < most:
        lengths.append(min(max(GROWTH * age, dt_range[0]), dt_range[1]))
        age += lengths[-1]
    lengths += [dt_range[1]] * (fewest - len(lengths))
    steps = np.array(lengths)
    # All become shorter or longer, in proportion to the room that each has.
    room = steps - low if steps.sum() > span else high - steps
    if room.sum() > 0:
        steps += room * ((span - steps.sum()) / room.sum())
    return steps
