"""The space of a search: fields of the configuration, and what is tried of each."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astrokeras.config import (
    Config,
    ConfigError,
    RangeConfig,
    TunerConfig,
    check_field,
)
from astrokeras.system import arguments

OF_TYPE: dict[Any, str] = {int: "int", float: "float", bool: "bool"}
BESIDE = ("seed", "precision")
"""Fields that belong to no stage and may be searched all the same."""


@dataclass(frozen=True)
class Dimension:
    """What a search tries of one field.

    Attributes:
        path: The field, such as `emulator.fit.learning_rate`.
        kind: `int`, `float`, `bool` or `choice`.
        values: Of a choice.
        low, high, step, log: Of a number.
        when: Values of other dimensions with which this one is tried at all.
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
        """Return a value as keras-tuner keeps it: choices, of any type, as JSON."""
        return json.dumps(value) if self.kind == "choice" else value

    def restore(self, stored: Any) -> Any:
        """Return the value that keras-tuner proposes, as the field takes it.

        Messages between chief and worker carry floats in single precision and truth
        values as numbers, and a proposal at the very end of a range may lie beyond it.
        """
        if self.kind == "choice":
            return json.loads(stored)
        if self.kind == "bool":
            return bool(stored)
        # Four digits are more than a search can tell apart, and can be read.
        value = float(f"{stored:.4g}") if self.kind == "float" else int(stored)
        return type(value)(min(max(value, self.low), self.high))


def read_space(settings: TunerConfig) -> list[Dimension]:
    """Check what a search tries, and fill in what its fields say themselves.

    Returns:
        The dimensions, each after those that it depends on.

    Raises:
        ConfigError: Naming the field and what is wrong with it.
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
        ConfigError: If there is none of this name, or it is a group of others.
    """
    kind: Any = Config
    names = arguments.text("a field of tuner.space", path).split(".")
    for place, name in enumerate(names):
        owner, last = kind, place == len(names) - 1
        known = {item.name: item for item in dataclasses.fields(owner)}
        if name not in known or dataclasses.is_dataclass(known[name].type) == last:
            group = ".".join(names[:place]) or "the configuration"
            raise ConfigError(
                f"tuner.space {path}: is no key that takes a value; "
                f"{group} has {', '.join(known)}."
            )
        kind = known[name].type
    return owner, known[name]


def check_value(path: str, value: Any) -> Any:
    """Return a value as its field keeps it.

    Raises:
        ConfigError: If the field does not take it.
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
    kept = node[item.name]
    kept = OmegaConf.to_container(kept) if OmegaConf.is_config(kept) else kept
    check_field(item, kept, f"tuner.space {path}")
    return kept


def to_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a configuration that give fields these values."""
    return [f"{path}={_text(value)}" for path, value in values.items()]


def _check_stage(path: str, settings: TunerConfig) -> None:
    """Refuse a field that the trials of the stage do not train with."""
    find_field(path)
    stages = ("autoencoder", "emulator")
    searched = stages if settings.stage == "both" else (settings.stage,)
    if path.split(".")[0] not in (*searched, *BESIDE):
        raise ConfigError(
            f"tuner.space {path}: tuner.stage is {settings.stage}; "
            f"name fields of {', '.join((*searched, *BESIDE))}."
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
            raise ConfigError(f"tuner.space {path}: {name} means nothing to {kind}.")
    if kind == "bool":
        return Dimension(path, kind)
    if kind == "choice":
        values = given.values or item.metadata.get("choices")
        if own == "bool":
            values = values or (True, False)
        if not values:
            raise ConfigError(f"tuner.space {path}: give the values to choose among.")
        return Dimension(path, kind, tuple(check_value(path, one) for one in values))
    return _number(path, kind, given, item.metadata.get("range", (None, None)))


def _number(
    path: str, kind: str, given: RangeConfig, allowed: tuple[Any, Any]
) -> Dimension:
    """Return the dimension of a number, between bounds that its field allows."""
    low, high = (
        field if value is None else value
        for value, field in zip((given.min, given.max), allowed, strict=True)
    )
    for name, value in (("min", low), ("max", high)):
        if value is None or not math.isfinite(value):
            raise ConfigError(f"tuner.space {path}: give {name}, its field has none.")
        if kind == "int" and value != int(value):
            raise ConfigError(f"tuner.space {path}: {name} is {value:g}, not whole.")
        check_value(path, int(value) if kind == "int" else value)
    if low >= high:
        raise ConfigError(
            f"tuner.space {path}: min is {low:g} and max {high:g}; min must be smaller."
        )
    if given.log and low <= 0:
        raise ConfigError(
            f"tuner.space {path}: min is {low:g}; a log scale needs one above 0."
        )
    step = given.step
    least = 1 if given.log else 0
    if step is not None and step <= least:
        raise ConfigError(
            f"tuner.space {path}: step is {step:g}; it must be above {least}"
            + (", the factor from one value to the next." if given.log else ".")
        )
    if step is not None and kind == "int" and step != int(step):
        raise ConfigError(f"tuner.space {path}: step is {step:g}, not whole.")
    return Dimension(path, kind, (), low, high, step, given.log)


def _condition(
    path: str, other: str, values: Any, space: Mapping[str, Dimension]
) -> tuple[Any, ...]:
    """Return the values of another dimension with which a field is tried."""
    if other not in space or space[other].kind == "float":
        why = "is a float" if other in space else "is not searched"
        raise ConfigError(
            f"tuner.space {path}: its when names {other}, which {why}; name a choice, "
            "an int or a bool of the same space."
        )
    parent = space[other]
    wanted = values if isinstance(values, list) and values else [values]
    if parent.kind == "choice" and values in parent.values:
        wanted = [values]  # a list that is one value, such as widths
    kept = tuple(check_value(other, one) for one in wanted)
    for value in kept:
        tried = value in parent.values
        if parent.kind != "choice":
            tried = parent.kind == "bool" or parent.low <= value <= parent.high
        if not tried:
            raise ConfigError(
                f"tuner.space {path}: its when waits for {other}={_text(value)}, "
                "which is never tried."
            )
    return kept


def _ordered(space: dict[str, Dimension]) -> list[Dimension]:
    """Return the dimensions, each after those that it depends on."""
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(space):
        ready = [
            one
            for path, one in space.items()
            if path not in ordered and all(other in ordered for other in one.when)
        ]
        if not ready:
            left = ", ".join(path for path in space if path not in ordered)
            raise ConfigError(
                f"tuner.space: {left} wait for one another in their when."
            )
        ordered |= {one.path: one for one in ready}
    return list(ordered.values())


def _text(value: Any) -> str:
    """Return a value as an override spells it."""
    words = {"null", "true", "false", "nan", "inf"}  # Hydra's own
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value)
    if plain and value.lower() not in words:
        return value
    return json.dumps(value, separators=(",", ":"))
