"""Suggestions of similar names for unknown names."""

import difflib
from collections.abc import Iterable

MOST = 2
"""Largest number of suggestions in a message."""


def suggest(name: object, known: Iterable[object], otherwise: str = ".") -> str:
    """Return the end of a message: "; did you mean 'CO'?" if a known name is similar.

    A name that differs only in case and blanks is the only suggestion.

    Args:
        name: The unknown name.
        known: The known names.
        otherwise: The end of the message if no name is similar.
    """
    if not isinstance(name, str):
        return otherwise
    names = list(dict.fromkeys(map(str, known)))
    wanted = _plain(name)
    close = [known_name for known_name in names if _plain(known_name) == wanted][:1]
    if not close and wanted:
        by_plain = {_plain(known_name): known_name for known_name in reversed(names)}
        matches = difflib.get_close_matches(wanted, by_plain, n=MOST, cutoff=0.7)
        close = [by_plain[match] for match in matches]
    if not close:
        return otherwise
    return f"; did you mean {' or '.join(map(repr, close))}?"


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()
