"""Checks of single arguments, shared by all public functions; without Keras.

Each check returns the plain value, or raises an `InputError` that names the argument,
its value, and the expected value.
"""

import math
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

LARGEST = 2**31 - 1
"""Largest accepted count, size or identifier."""


def whole(name: str, value: Any, low: int = 0, high: int = LARGEST) -> int:
    """Return a whole number from `low` to `high`; 2.0 and True are refused."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except Exception:  # Methods of the value may raise any exception.
        number = None
    if number is None or not low <= number <= high:
        raise InputError(
            f"{name} is {shown(value)}; give a whole number from {low} to {high}."
        )
    return number


def wholes(name: str, values: Any, low: int = 0, least: int = 0) -> list[int]:
    """Return a list of at least `least` whole numbers, none smaller than `low`."""
    try:
        found = None if isinstance(values, str | bytes) else list(values)
    except Exception:  # Methods of the value may raise any exception.
        found = None
    if found is None or len(found) < least:
        many = f"{least} or more " * bool(least)
        raise InputError(f"{name} is {shown(values)}; give a list of {many}numbers.")
    return [whole(name, value, low) for value in found]


def number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a finite number from `low` to `high` as a float; True is refused."""
    try:
        found = math.nan if isinstance(value, str | bytes | bool) else float(value)
    except Exception:  # Methods of the value may raise any exception.
        found = math.nan
    if not (math.isfinite(found) and low <= found <= high):
        limits = "" if low == -high else f" from {low:g} to {high:g}"
        raise InputError(f"{name} is {shown(value)}; give a finite number{limits}.")
    return found


def flag(name: str, value: Any) -> bool:
    """Return a truth value; only True and False are accepted."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {shown(value)}; give True or False.")
    return bool(value)


def flags(**values: Any) -> None:
    """Raise InputError if one of the arguments is neither True nor False."""
    for name, value in values.items():
        flag(name, value)


def function(name: str, value: Any) -> Callable[..., Any]:
    """Return a callable."""
    if not callable(value):
        raise InputError(f"{name} is {shown(value)}; give a function.")
    return value


def choice(name: str, value: Any, *allowed: str) -> str:
    """Return a string that must be one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(
            f"{name} is {shown(value)}; give {' or '.join(allowed)}"
            f"{suggest(value, allowed)}"
        )
    return value


def text(name: str, value: Any) -> str:
    """Return a string of one line."""
    if not is_line(value):
        raise InputError(f"{name} is {shown(value)}; give a string of one line.")
    return value


def is_line(value: Any) -> bool:
    """Return whether a value is a string of at most one line that UTF-8 can encode."""
    if not isinstance(value, str) or "\0" in value:
        return False
    if value.splitlines() not in ([], [value]):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def texts(name: str, values: Any, least: int = 0) -> tuple[str, ...]:
    """Return a sequence of strings; sets, mappings and single strings are refused."""
    given = None if isinstance(values, str | bytes | Set | Mapping) else values
    try:
        found = tuple(given) if isinstance(given, Iterable) else None
    except Exception:  # Methods of the value may raise any exception.
        found = None
    if found is None or not all(map(is_line, found)):
        raise InputError(f"{name} is {shown(values)}; give a list of strings.")
    if len(found) < least:
        raise InputError(f"{name} is empty; name at least {least}.")
    return found


def path(name: str, value: Any) -> Path:
    """Return a path that the file system accepts; the file need not exist."""
    try:
        found = Path(value)
        if str(found).splitlines() not in ([], [str(found)]):
            raise ValueError("it has line breaks")
        os.stat(found)  # Raises an error for a name that the file system refuses.
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (TypeError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{name} is {shown(value)} ({reason}); give the path of a file."
        ) from error
    return found


def article(noun: str) -> str:
    """Return a noun with its indefinite article."""
    return f"{'an' if noun[:1] in 'aeiouAEIOU' else 'a'} {noun}"


def shown(value: Any) -> str:
    """Return a value as text for a message, on one line of at most 80 characters."""
    try:
        return " ".join(reprlib.repr(value).split())[:80]
    except Exception:  # Methods of the value may raise any exception.
        return article(type(value).__name__)
