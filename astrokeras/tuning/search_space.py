"""Search space: the searched fields of the configuration and their values."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astrokeras.config import (
    STAGES,
    Config,
    ConfigError,
    RangeConfig,
    TunerConfig,
    check_field,
)
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest

OF_TYPE: dict[Any, str] = {int: "int", float: "float", bool: "bool"}
GENERAL = ("seed", "precision")
"""Fields outside the stages that may be searched too."""


@dataclass(frozen=True)
class Dimension:
    """One searched field and its values.

    Attributes:
        path: Path of the field, such as `emulator.fit.learning_rate`.
        kind: `int`, `float`, `bool` or `choice`.
        values: Values of a choice.
        low, high, step, log: Range of a number.
        when: Values of other dimensions for which this one is searched.
    """

    path: str
    kind: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    when: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    def store(self, value: Any) -> Any:
        """Return a value as keras-tuner stores it: choices of any type as JSON."""
        return json.dumps(value) if self.kind == "choice" else value

    def restore(self, stored: Any) -> Any:
        """Return a value that keras-tuner proposes as the field accepts it.

        Messages between chief and worker contain floats in single precision and
        booleans as numbers, so a proposal at the end of a range may lie beyond it.
        """
        if self.kind == "choice":
            return json.loads(stored)
        if self.kind == "bool":
            return bool(stored)
        # Four digits are more than a search resolves, and easy to read.
        value = float(f"{stored:.4g}") if self.kind == "float" else int(stored)
        return type(value)(min(max(value, self.low), self.high))


def read_space(settings: TunerConfig) -> list[Dimension]:
    """Check the search space, and complete it with the ranges of the fields.

    Returns:
        The dimensions, each after those that it depends on.

    Raises:
        ConfigError: With the field and the mistake.
    """
    if not settings.space:
        raise ConfigError(
            "tuner.space is empty; name the fields to search, as configs/tuner/ does."
        )
    space = {}
    for path, given in settings.space.items():
        _check_stage(path, settings)
        space[path] = _dimension(path, given)
    for path, given in settings.space.items():
        when = {
            other: _condition(path, other, values, space)
            for other, values in given.when.items()
        }
        space[path] = dataclasses.replace(space[path], when=when)
    return _ordered(space)


def find_field(path: str) -> tuple[Any, dataclasses.Field[Any]]:
    """Return the dataclass that a field of the configuration belongs to, and the field.

    Raises:
        ConfigError: If there is no such field, or it is a group of fields.
    """
    owner: Any = Config
    *groups, key = arguments.text("a field of tuner.space", path).split(".")
    for depth, name in enumerate([*groups, key]):
        fields = {item.name: item for item in dataclasses.fields(owner)}
        is_last = depth == len(groups)
        if name not in fields or dataclasses.is_dataclass(fields[name].type) == is_last:
            group = ".".join(groups[:depth]) or "the configuration"
            raise ConfigError(
                f"tuner.space {path}: this key does not exist or has no value; "
                f"{group} has {', '.join(fields)}{suggest(name, fields)}"
            )
        if not is_last:
            owner = fields[name].type
    return owner, fields[key]


def check_value(path: str, value: Any) -> Any:
    """Return a value as its field stores it, converted and checked by OmegaConf.

    Raises:
        ConfigError: If the field does not accept the value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    owner, item = find_field(path)
    node = OmegaConf.structured(owner)
    try:
        node[item.name] = value
    except OmegaConfBaseException as error:
        text = " ".join(str(error).split()).split(" full_key:")[0]
        raise ConfigError(f"tuner.space {path}: {text}.") from error
    stored = node[item.name]
    stored = OmegaConf.to_container(stored) if OmegaConf.is_config(stored) else stored
    check_field(item, stored, f"tuner.space {path}")
    return stored


def to_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return the overrides that set fields of a configuration to given values."""
    return [f"{path}={_text(value)}" for path, value in values.items()]


def override_key(word: str) -> str:
    """Return the key that an override sets."""
    return word.lstrip("+~").split("=")[0]


def _check_stage(path: str, settings: TunerConfig) -> None:
    """Raise ConfigError if the searched stages do not use a field."""
    find_field(path)
    searched = STAGES if settings.stage == "both" else (settings.stage,)
    allowed = (*searched, *GENERAL)
    if path.split(".")[0] not in allowed:
        raise ConfigError(
            f"tuner.space {path}: tuner.stage is {settings.stage}; "
            f"name fields of {', '.join(allowed)}."
        )
    if settings.algorithm == "hyperband" and path.endswith(".fit.epochs"):
        raise ConfigError(
            f"tuner.space {path}: Hyperband sets the epochs itself; leave it out, or "
            "give tuner.algorithm=random or bayesian."
        )


def _dimension(path: str, given: RangeConfig) -> Dimension:
    """Return the dimension of a field, without its conditions."""
    _, item = find_field(path)
    own = OF_TYPE.get(item.type, "choice")
    kind = given.kind or ("choice" if given.values else own)
    if kind not in (own, "choice"):
        raise ConfigError(
            f"tuner.space {path}: kind is {kind}, the field's is {own}; "
            f"give {own} or choice."
        )
    surplus = {
        "choice": ("min", "max", "step", "log"),
        "bool": ("min", "max", "step", "log", "values"),
    }.get(kind, ("values",))
    for name in surplus:
        if getattr(given, name):
            raise ConfigError(f"tuner.space {path}: {name} has no effect on a {kind}.")
    if kind == "bool":
        return Dimension(path, kind)
    if kind == "choice":
        values = given.values or item.metadata.get("choices")
        if own == "bool":
            values = values or (True, False)
        if not values:
            raise ConfigError(f"tuner.space {path}: give the values to choose from.")
        return Dimension(path, kind, tuple(check_value(path, v) for v in values))
    return _number(path, kind, given, item.metadata.get("range", (None, None)))


def _number(
    path: str, kind: str, given: RangeConfig, allowed: tuple[Any, Any]
) -> Dimension:
    """Return the dimension of a number, with bounds that its field allows."""
    low = allowed[0] if given.min is None else given.min
    high = allowed[1] if given.max is None else given.max
    for name, value in (("min", low), ("max", high)):
        if value is None or not math.isfinite(value):
            raise ConfigError(
                f"tuner.space {path}: give {name}, for which the field has no default."
            )
        whole = kind == "int" and float(value).is_integer()
        check_value(path, int(value) if whole else value)
    if low >= high:
        raise ConfigError(
            f"tuner.space {path}: min is {low:g} and max is {high:g}; min must be "
            "smaller."
        )
    if given.log and low <= 0:
        raise ConfigError(
            f"tuner.space {path}: min is {low:g}; a log scale needs a min above 0."
        )
    step = given.step
    least = 1 if given.log else 0
    if step is not None and step <= least:
        raise ConfigError(
            f"tuner.space {path}: step is {step:g}; it must be above {least}"
            + (", the factor from one value to the next." if given.log else ".")
        )
    if step is not None and kind == "int" and step != int(step):
        raise ConfigError(f"tuner.space {path}: step is {step:g}; give a whole number.")
    return Dimension(path, kind, (), low, high, step, given.log)


def _condition(
    path: str, other: str, values: Any, space: Mapping[str, Dimension]
) -> tuple[Any, ...]:
    """Return the values of another dimension for which a field is searched."""
    if other not in space or space[other].kind == "float":
        why = "is a float" if other in space else "is not searched"
        raise ConfigError(
            f"tuner.space {path}: its when names {other}, which {why}; name a choice, "
            "an int or a bool of the same space."
        )
    parent = space[other]
    several = isinstance(values, list) and values
    if parent.kind == "choice" and values in parent.values:
        several = False  # The list is a single value, such as widths.
    checked = tuple(check_value(other, v) for v in (values if several else [values]))
    for value in checked:
        tried = value in parent.values
        if parent.kind != "choice":
            tried = parent.kind == "bool" or parent.low <= value <= parent.high
        if not tried:
            raise ConfigError(
                f"tuner.space {path}: its when names {other}={_text(value)}, "
                "which is never tried."
            )
    return checked


def _ordered(space: dict[str, Dimension]) -> list[Dimension]:
    """Return the dimensions, each after those that it depends on."""
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(space):
        left = {path: item for path, item in space.items() if path not in ordered}
        ready = {p: item for p, item in left.items() if set(item.when) <= set(ordered)}
        if not ready:
            raise ConfigError(
                f"tuner.space: {', '.join(left)} depend on each other by their when."
            )
        ordered |= ready
    return list(ordered.values())


def _text(value: Any) -> str:
    """Return a value in the spelling of an override."""
    words = {"null", "true", "false", "nan", "inf"}  # Hydra's own
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value)
    if plain and value.lower() not in words:
        return value
    return json.dumps(value, separators=(",", ":"))
