"""What a surrogate says of itself, checked without Keras."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.old_names import SURROGATE, rename_keys

FORMAT = 2
"""Version of a surrogate's description of itself; 1 had other names."""
KEYS = (
    "species",
    "parameters",
    "units",
    "elements",
    "stoichiometry",
    "dt_range",
    "t_max",
    "parameter_ranges",
    "species_ranges",
    "initial_conditions",
    "floor",
    "fixed",
    "version",
)


def check_metadata(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a surrogate says of itself, of the types and shapes that it must be.

    Args:
        path: Its file, for messages.
        config: The configuration of the surrogate.

    Raises:
        InputError: Naming the first key that is missing or wrong, and its value.
    """
    version = config.get("version")
    if type(version) is int and version > FORMAT:  # whatever else it holds then
        raise InputError(
            f"{path}: the surrogate has format version {version}, this astrokeras "
            f"reads up to {FORMAT}; install a newer one."
        )
    config = rename_keys(config, SURROGATE)
    missing = [key for key in KEYS if key not in config]
    if missing:
        raise InputError(
            f"{path}: its config.json lacks {', '.join(missing)}; it is damaged or of "
            "another version, fetch or make it again."
        )
    facts = {key: config[key] for key in KEYS}
    species, parameters = facts["species"], facts["parameters"]
    good = {
        "version": type(version) is int and version >= 1,
        "species": _are_names(species),
        "parameters": _are_names(parameters),
        "elements": _are_names(facts["elements"]),
        "fixed": isinstance(facts["fixed"], list)
        and all(isinstance(one, str) for one in facts["fixed"]),
    }
    _refuse_first(path, facts, good)
    count = len(species)
    parameter_ranges, initial_conditions = (
        facts["parameter_ranges"],
        facts["initial_conditions"],
    )
    good = {
        "units": isinstance(facts["units"], list)
        and len(facts["units"]) == len(parameters)
        and all(isinstance(one, str) for one in facts["units"]),
        "stoichiometry": _lie(
            facts["stoichiometry"], (count, len(facts["elements"])), 0, 1e6
        ),
        "dt_range": _rise(facts["dt_range"]),
        "t_max": _rise([facts["t_max"], math.inf]),
        "parameter_ranges": isinstance(parameter_ranges, dict)
        and set(parameter_ranges) == set(parameters)
        and all(map(_rise, parameter_ranges.values())),
        "species_ranges": _lie(facts["species_ranges"], (2, count), 0, 2),
        "initial_conditions": isinstance(initial_conditions, dict)
        and all(_lie(one, (count,), 0, 2) for one in initial_conditions.values()),
        "floor": _lie(facts["floor"], (), 1e-40, 1e-3),
    }
    _refuse_first(path, facts, good)
    return facts | {"calibrated": config.get("trust") is not None}


def _refuse_first(
    path: Path, facts: Mapping[str, Any], good: Mapping[str, bool]
) -> None:
    for key, fine in good.items():
        if not fine:
            value = str(facts[key])
            raise InputError(
                f"{path}: its config.json has {key} = {value[:60]}"
                f"{'...' * (len(value) > 60)}, which no surrogate has; it is damaged, "
                "fetch or make it again."
            )


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, str) and one.strip() for one in value)
        and len(set(value)) == len(value)
    )


def _lie(value: Any, shape: tuple[int, ...], low: float, high: float) -> bool:
    """Whether it is an array of a shape with all numbers in a range."""
    try:
        values = np.asarray(value)
    except ValueError:  # Lists of different lengths.
        return False
    return (
        values.dtype.kind in "if"
        and values.shape == shape
        and bool(((values >= low) & (values <= high)).all())
    )


def _rise(value: Any) -> bool:
    """Whether it is a pair of positive numbers, the second not below the first."""
    return (
        _lie(value, (2,), 1e-300, math.inf)
        and value[0] <= value[1]
        and (math.isfinite(value[0]))
    )
