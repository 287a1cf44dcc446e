"""Suggestions for names that nothing has."""

import difflib
from collections.abc import Iterable

MOST = 2
"""Suggestions of one message."""


def suggest(name: object, known: Iterable[object], otherwise: str = ".") -> str:
    """Return the end of a message: "; did you mean 'CO'?" where a known name is close.

    A name that differs in case and blanks alone is the only one that is suggested.

    Args:
        name: What nothing has.
        known: Names that there are.
        otherwise: The end of the message where no name is close.
    """
    names = list(dict.fromkeys(str(one) for one in known))
    wanted = _plain(str(name))
    close = [one for one in names if _plain(one) == wanted][:1]
    if not close and wanted:
        by_plain = {_plain(one): one for one in reversed(names)}
        found = difflib.get_close_matches(wanted, by_plain, n=MOST, cutoff=0.7)
        close = [by_plain[one] for one in found]
    if not close:
        return otherwise
    return f"; did you mean {' or '.join(map(repr, close))}?"


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()
