"""Messages of Hydra in one line, with the key and a remedy."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from astrokeras.config.run import Config
from astrokeras.system.close_names import suggest

LONGEST = 500
"""Number of characters after which a message of Hydra is cut."""


def one_line(error: BaseException, overrides: Sequence[str]) -> str:
    """Return the cause of an error of Hydra, the key and a remedy, in one line."""
    while error.__cause__ is not None and type(error).__name__.startswith("Config"):
        error = error.__cause__
    key = getattr(error, "full_key", None)
    text = " ".join(str(error).split()).split(" full_key:")[0]
    text = text.split(" Config search path:")[0].split("\nSee https")[0][:LONGEST]
    named = f"configuration key {key!r}: " if key and key not in text else ""
    schema = getattr(error, "object_type", None)
    remedy = "; every key is listed and explained in the YAML files of configs/."
    if "not in" in text and dataclasses.is_dataclass(schema):
        names = [item.name for item in dataclasses.fields(schema)]
        remedy = suggest(str(key).rpartition(".")[2], names, remedy)
        text += f", which has {', '.join(names)}"
    given = f" (given: {' '.join(overrides)})" if overrides else ""
    return f"{named}{text}{given}{_suggestion(text, key, overrides, remedy)}"


def _suggestion(
    text: str, key: str | None, overrides: Sequence[str], remedy: str
) -> str:
    """Return a remedy with the closest variant or key, if any is close.

    Args:
        text: Hydra's message.
        key: The key that the message names.
        overrides: The overrides that the user gave.
        remedy: The remedy if no name is close.
    """
    variant = re.search(r"Could not find '[^']*?([^'/]+)'", text)
    if variant:
        listed = text.partition("Available options in ")[2].partition(": ")[2].split()
        return suggest(variant[1], (name.strip(",'") for name in listed), remedy)
    given = [word.partition("=")[0].lstrip("+~") for word in overrides]
    if given and key not in given:
        key = next((name for name in given if f"'{name}'" in text), key)
    if key is None:
        return remedy
    known = list(_keys(Config))
    longer = next((name for name in given if name.startswith(f"{key}.")), None)
    if longer is not None and f"dataset.{key}" in known:
        return suggest(longer, [f"dataset.{longer}"], remedy)
    if "." not in key:  # This may be the last part of a key, such as `hidden`.
        inner = [name for name in known if name.rpartition(".")[2] == key.casefold()]
        if inner:
            return suggest(inner[0], inner, remedy)
    return suggest(key, known, remedy)


def _keys(schema: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a configuration, such as `seed` and `emulator.hidden`."""
    for item in dataclasses.fields(schema):
        inner: Any = item.default_factory
        yield f"{prefix}{item.name}"
        if dataclasses.is_dataclass(inner):
            yield from _keys(inner, f"{prefix}{item.name}.")
