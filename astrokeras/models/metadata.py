"""Surrogate metadata: species, parameters, units, training ranges, initial conditions.

Keras is not imported here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import with_columns
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest
from astrokeras.system.old_names import SURROGATE, rename_keys

FORMAT = 2
"""Version of the metadata in a `.keras` file; version 1 had other key names."""
PARAMETER_MARGIN = 1e-4
"""Relative margin of parameter ranges, which allows for rounding."""
INITIAL_MARGIN_DEX = 0.05
"""Margin of initial abundances around the trained range."""
COVERAGE = 0.9
"""Fraction of the errors that lie within the error bars."""

LATER_KEYS = {"conserve": True, "residual_decay_length": 0.0}
"""Keys that the first files lack, with the values that these files imply."""


@dataclass(frozen=True, eq=False)
class SurrogateMetadata:
    """Everything about a surrogate except its weights, in plain values.

    The constructor accepts lists, tuples, arrays and labelled arrays, and converts
    them to the types below.

    Attributes:
        species: Names in column order, (S,).
        parameters: Names in column order, (P,).
        units: Units of the parameters, (P,).
        elements: Names of the elements, (E,).
        stoichiometry: Atom counts, (S, E).
        dt_range: Shortest and longest trained time step, years.
        t_max: Longest time over which training followed a tracer, years.
        parameter_ranges: Lowest and highest trained value of each parameter, in its
            unit.
        species_ranges: Lowest and highest trained abundance of each species, (2, S).
        initial_conditions: Named initial abundances, (S,) each.
        floor: Smallest abundance relative to H nuclei.
        fixed: Quantities that the training data held fixed, and assumed columns.
        conserve: Whether rollouts keep the element totals of their initial state.
        residual_decay_length: e-folding latent path length of the initial
            reconstruction residual; 0 for no residual.
        calibrated: Whether the surrogate returns error bars and expected errors.
        version: Version of the format.
        provenance: `provenance.json` of the run, empty if it was not read.
        figures: `metrics.json` of the run, empty if it was not read.

    Raises:
        InputError: For a value of another type or names that do not match.
    """

    species: tuple[str, ...]
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    elements: tuple[str, ...]
    stoichiometry: np.ndarray
    dt_range: tuple[float, float]
    t_max: float
    parameter_ranges: dict[str, tuple[float, float]]
    species_ranges: np.ndarray
    initial_conditions: dict[str, np.ndarray] = field(default_factory=dict)
    floor: float = 1e-20
    fixed: tuple[str, ...] = ()
    conserve: bool = True
    residual_decay_length: float = 0.0
    calibrated: bool = False
    version: int = FORMAT
    provenance: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        species = arguments.texts("species", self.species, least=1)
        parameters = arguments.texts("parameters", self.parameters, least=1)
        units = arguments.texts("units", self.units)
        ranges = dict(self.parameter_ranges)
        if len(units) != len(parameters) or set(ranges) != set(parameters):
            raise InputError(
                f"units are {arguments.shown(units)}, parameter_ranges holds "
                f"{arguments.shown(list(ranges))}; give one of each for the "
                f"parameters {', '.join(parameters)}."
            )
        elements = tuple(self.elements)

        def abundances(name: str, values: Any) -> np.ndarray:
            return as_numbers(name, values, "float64", columns=species, units=[""])

        low, high = np.asarray(self.dt_range, "float64").tolist()
        converted = {
            "species": species,
            "parameters": parameters,
            "units": units,
            "elements": elements,
            "stoichiometry": as_numbers(
                "stoichiometry", self.stoichiometry, "float64", columns=elements
            ),
            "dt_range": (low, high),
            "t_max": arguments.number("t_max", self.t_max, low=1e-300),
            "parameter_ranges": {
                name: (float(first), float(last))
                for name, (first, last) in ranges.items()
            },
            "species_ranges": abundances("species_ranges", self.species_ranges),
            "initial_conditions": {
                name: abundances(f"initial_conditions[{name!r}]", values)
                for name, values in self.initial_conditions.items()
            },
            "floor": arguments.number("floor", self.floor),
            "fixed": with_columns(tuple(self.fixed), parameters),
            "conserve": arguments.flag("conserve", self.conserve),
            "residual_decay_length": arguments.number(
                "residual_decay_length", self.residual_decay_length, low=0
            ),
        }
        self.__dict__.update(converted)

    def to_config(self) -> dict[str, Any]:
        """Return the values of `KEYS` as lists, numbers and texts."""
        values = {name: getattr(self, name) for name in KEYS}
        for name in ("species", "parameters", "units", "elements", "fixed", "dt_range"):
            values[name] = list(values[name])
        for name in ("stoichiometry", "species_ranges"):
            values[name] = values[name].tolist()
        values["parameter_ranges"] = {
            name: list(bounds) for name, bounds in self.parameter_ranges.items()
        }
        values["initial_conditions"] = {
            name: state.tolist() for name, state in self.initial_conditions.items()
        }
        return values

    def initial_condition(self, name: str) -> np.ndarray:
        """Return a copy of the named initial abundances, (S,).

        Raises:
            InputError: If there are none of this name; the message lists the names.
        """
        known = self.initial_conditions
        if arguments.text("an initial condition", name) not in known:
            raise InputError(
                f"no initial condition is named {arguments.shown(name)}; there are: "
                f"{', '.join(known) or 'none'}{suggest(name, known)}"
            )
        return known[name].copy()

    def outside_parameters(self, physical: np.ndarray) -> np.ndarray:
        """Return whether each parameter lies outside its range, (..., P)."""
        low, high = self._parameter_bounds()
        low, high = low * (1 - PARAMETER_MARGIN), high * (1 + PARAMETER_MARGIN)
        return (physical < low) | (physical > high)

    def parameter_excess(self, physical: np.ndarray) -> np.ndarray:
        """Return how far parameters (..., P) leave their ranges, dex; 0 inside."""
        low, high = np.log10(self._parameter_bounds())
        logs = np.log10(physical)
        return np.maximum(np.maximum(low - logs, logs - high), 0.0)

    def initial_excess(self, initial: np.ndarray) -> np.ndarray:
        """Return how far abundances (..., S) leave the trained range, dex; 0 inside."""
        low, high = np.log10(np.maximum(self.species_ranges, self.floor))
        logs = np.log10(np.maximum(initial, self.floor))
        excess = np.maximum(low - logs, logs - high)
        return np.where(excess > INITIAL_MARGIN_DEX, excess, 0.0)

    def outside_steps(self, time: np.ndarray) -> np.ndarray:
        """Return whether time steps lie outside `dt_range`, (..., T+1) to (..., T)."""
        low, high = self.dt_range
        steps = np.diff(time)
        low, high = low * (1 - STEP_MARGIN), high * (1 + STEP_MARGIN)
        return ~((steps >= low) & (steps <= high))  # True for NaN

    def beyond_t_max(self, time: np.ndarray) -> np.ndarray:
        """Return whether states lie more than `t_max` after state 0, (..., T+1)."""
        return time - time[..., :1] > self.t_max * (1 + STEP_MARGIN)

    def _parameter_bounds(self) -> np.ndarray:
        return np.array([self.parameter_ranges[name] for name in self.parameters]).T


NOT_STORED = ("calibrated", "provenance", "figures")
KEYS = tuple(f.name for f in fields(SurrogateMetadata) if f.name not in NOT_STORED)
"""Keys of the metadata in the configuration of a `Surrogate`."""


def check_metadata(path: Path, config: Mapping[str, Any]) -> SurrogateMetadata:
    """Return the metadata in a surrogate's configuration, after checking each value.

    Args:
        path: The `.keras` file, for messages.
        config: The configuration of the surrogate.

    Raises:
        InputError: Naming the first key that is missing or wrong, and its value.
    """
    version = config.get("version")
    # A later version may have other keys, so this comes first.
    if type(version) is int and version > FORMAT:
        raise InputError(
            f"{path}: the surrogate has format version {version}, this astrokeras "
            f"reads up to {FORMAT}; install a newer one."
        )
    config = LATER_KEYS | rename_keys(config, SURROGATE)
    missing = [key for key in KEYS if key not in config]
    if missing:
        raise InputError(
            f"{path}: its config.json lacks {', '.join(missing)}; it is damaged or of "
            "another version, fetch or make it again."
        )
    values = {key: config[key] for key in KEYS}
    species, parameters = values["species"], values["parameters"]
    elements = values["elements"]
    names = {
        "version": type(version) is int and version >= 1,
        "species": _are_names(species),
        "parameters": _are_names(parameters),
        "elements": _are_names(elements),
        "fixed": _are_texts(values["fixed"]),
    }
    _raise_if_damaged(path, values, names)
    count = len(species)
    units, ranges = values["units"], values["parameter_ranges"]
    conditions = values["initial_conditions"]
    numbers = {
        "units": _are_texts(units) and len(units) == len(parameters),
        "stoichiometry": _is_array(
            values["stoichiometry"], (count, len(elements)), 0, 1e6
        ),
        "dt_range": _is_range(values["dt_range"]),
        "t_max": _is_range([values["t_max"], math.inf]),
        "parameter_ranges": isinstance(ranges, dict)
        and set(ranges) == set(parameters)
        and all(map(_is_range, ranges.values())),
        "species_ranges": _is_array(values["species_ranges"], (2, count), 0, 2),
        "initial_conditions": isinstance(conditions, dict)
        and all(_is_array(state, (count,), 0, 2) for state in conditions.values()),
        "floor": _is_array(values["floor"], (), 1e-40, 1e-3),
        "conserve": isinstance(values["conserve"], bool),
        "residual_decay_length": _is_array(
            values["residual_decay_length"], (), 0, 1e300
        ),
    }
    _raise_if_damaged(path, values, numbers)
    return SurrogateMetadata(**values, calibrated=config.get("trust") is not None)


def _raise_if_damaged(
    path: Path, values: Mapping[str, Any], good: Mapping[str, bool]
) -> None:
    for key, fine in good.items():
        if not fine:
            value = str(values[key])
            raise InputError(
                f"{path}: its config.json has {key} = {value[:60]}"
                f"{'...' * (len(value) > 60)}, which no surrogate has; it is damaged, "
                "fetch or make it again."
            )


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(text, str) for text in values)


def _are_names(values: Any) -> bool:
    if not (_are_texts(values) and values):
        return False
    return all(text.strip() for text in values) and len(set(values)) == len(values)


def _is_array(value: Any, shape: Sequence[int], low: float, high: float) -> bool:
    """Return whether a value has a shape and lies within bounds everywhere."""
    try:
        values = np.asarray(value)
    except ValueError:  # Lists of different lengths.
        return False
    if values.dtype.kind not in "if" or values.shape != tuple(shape):
        return False
    return bool(((values >= low) & (values <= high)).all())


def _is_range(value: Any) -> bool:
    """Return whether a value is a pair of positive numbers in ascending order."""
    ascending = _is_array(value, (2,), 1e-300, math.inf) and value[0] <= value[1]
    return bool(ascending) and math.isfinite(value[0])
