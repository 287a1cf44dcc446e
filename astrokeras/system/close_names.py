"""Matching of names, and suggestions of similar names for unknown ones."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

MOST = 2
"""Largest number of suggestions in a message."""


def match_names(
    given: Sequence[object], wanted: Sequence[str], otherwise: str = "."
) -> tuple[list[int], str]:
    """Return where each wanted name stands among the given ones, and what is wrong.

    A name that differs in case and blanks alone matches if no other one does.

    Args:
        given: The names of the columns at hand, in any order.
        wanted: Different names, each of which must be given once.
        otherwise: The end of the message if no name is similar.

    Returns:
        The places, `(len(wanted),)`, and the end of a message that lists the names
        that are missing, unknown or given twice, empty if there are none.
    """
    exact = {name: i for i, name in enumerate(given)}
    spare = set(exact) - set(wanted)
    missing = [name for name in wanted if name not in exact]
    alike = Counter(_plain(name) for name in (*spare, *missing))
    by_plain = {_plain(name): name for name in spare}
    near = {
        name: by_plain[_plain(name)]
        for name in missing
        if alike[_plain(name)] == 2 and _plain(name) in by_plain
    }
    unknown = [name for name in exact if name in spare - set(near.values())]
    faults: dict[str, list[object]] = {
        "lacks": [name for name in missing if name not in near],
        "also has": unknown,
        "repeats": [name for i, name in enumerate(given) if exact[name] != i],
    }
    found = [f"{verb} {listed(names)}" for verb, names in faults.items() if names]
    if not found:
        return [exact[near.get(name, name)] for name in wanted], ""
    known = faults["lacks"] or list(wanted)
    remedy = suggest(unknown[0], known, otherwise) if unknown else otherwise
    return [], f"it {' and '.join(found)}{remedy}"


def listed(names: Sequence[object], most: int = 3) -> str:
    """Return the first of some names, separated by commas."""
    return ", ".join(map(str, names[:most])) + ", ..." * (len(names) > most)


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


def _plain(name: object) -> str:
    return "".join(str(name).split()).casefold()
