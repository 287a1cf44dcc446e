"""Fields of the configuration: their ranges and choices, and the checks of a value."""

import dataclasses
import math
import re
from dataclasses import field
from typing import Any

from astrokeras.errors import InputError
from astrokeras.system.arguments import shown
from astrokeras.system.close_names import suggest


class ConfigError(InputError):
    """A key that does not exist, a wrong type, or a value out of range."""


def ranged(default: Any, low: float, high: float = math.inf) -> Any:
    """Return a field whose numbers must lie between two bounds, both included."""
    return field(default=default, metadata={"range": (low, high)})


def one_of(default: Any, *choices: Any) -> Any:
    """Return a field that takes one of the given choices."""
    return field(default=default, metadata={"choices": choices})


def interval(start: float, end: float, low: float, high: float = math.inf) -> Any:
    """Return a field with the bounds of a log-uniform distribution."""
    return field(
        default_factory=lambda: [start, end],
        metadata={"range": (low, high), "interval": True},
    )


def thresholds(passes: float, noted: float) -> Any:
    """Return a field with the last values of a figure that pass and that are noted."""
    return field(
        default_factory=lambda: [passes, noted],
        metadata={"range": (0.0, math.inf), "length": 2},
    )


def activation_name() -> Any:
    """Return a field that names a Keras activation."""
    return one_of("gelu", "gelu", "silu", "relu", "elu", "selu", "tanh", "softplus")


def layer_sizes(*default: int) -> Any:
    """Return a field with a list of positive integers, such as widths of layers."""
    return field(default_factory=lambda: list(default), metadata={"range": (1, 65536)})


def dotted_keys(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dictionary, with keys such as `fit.epochs`."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        key = f"{prefix}{name}"
        is_group = isinstance(value, dict) and value
        flat |= dotted_keys(value, f"{key}.") if is_group else {key: value}
    return flat


def check(config: Any, prefix: str = "") -> None:
    """Check every field of nested dataclasses against its declared range or choices.

    Args:
        config: An instance of a configuration dataclass.
        prefix: Precedes the keys in messages, such as `emulator.`.

    Raises:
        ConfigError: For the first value that is not allowed.
    """
    known = {item.name for item in dataclasses.fields(config)}
    unknown = sorted(set(vars(config)) - known)
    if unknown:
        raise ConfigError(
            f"{prefix}{unknown[0]} is not a key; keys are: {', '.join(sorted(known))}"
            f"{suggest(unknown[0], sorted(known))}"
        )
    for item in dataclasses.fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        check_field(item, value, key)


def _check_finite(value: Any, key: str) -> None:
    """Raise ConfigError if a number in a value, however nested, is not finite."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_finite(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_finite(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} is {shown(value)}; give a finite number.")


def check_field(item: dataclasses.Field[Any], value: Any, key: str) -> None:
    """Check one value against the range or the choices that its field declares.

    Args:
        item: The field of a configuration dataclass.
        value: The value to check.
        key: The key to name in messages.

    Raises:
        ConfigError: If the field does not allow the value.
    """
    _check_finite(value, key)
    choices = item.metadata.get("choices")
    # The type comes first: for an array, `in` would compare element by element.
    if choices and not (type(value) in map(type, choices) and value in choices):
        allowed = ", ".join(str(choice) for choice in choices if choice is not None)
        raise ConfigError(
            f"{key} is {shown(value)}; allowed are: {allowed}{suggest(value, choices)}"
        )
    pattern = item.metadata.get("pattern")
    if pattern and not (isinstance(value, str) and re.fullmatch(pattern, value)):
        raise ConfigError(
            f"{key} is {shown(value)}; use letters, digits, '.', '_' and '-' only."
        )
    low, high = item.metadata.get("range", (None, None))
    if low is None or value is None:
        return
    values = value if isinstance(value, list) else [value]
    integer = "float" not in str(item.type)
    kinds = (int,) if integer else (int, float)
    wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, kinds)]
    if wrong:
        number = "a whole number" if integer else "a number"
        raise ConfigError(f"{key} is {shown(wrong[0])}; give {number}.")
    if not values:
        raise ConfigError(f"{key} is empty; give at least one value.")
    if item.metadata.get("interval") and (len(values) != 2 or values[0] > values[1]):
        raise ConfigError(
            f"{key} is {shown(value)}; give two numbers, the smaller one first."
        )
    length = item.metadata.get("length", len(values))
    if len(values) != length:
        raise ConfigError(f"{key} is {shown(value)}; give {length} numbers.")
    if not all(low <= v <= high for v in values):
        raise ConfigError(
            f"{key} is {shown(value)}; it must lie in [{low:g}, {high:g}]."
        )
