"""Options in messages, spelled as a user types them in a shell."""

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[\w.+/#-]+")


def typed(key: str, value: str | list[str] | Mapping[str, str]) -> str:
    """Return an override of the configuration in backquotes, ready to be typed.

    Names with signs that Hydra or a shell would read are quoted.

    Args:
        key: The key, such as `dataset.parameters.NH2`.
        value: A name, a list of names, or names by name.
    """
    if isinstance(value, Mapping):
        inner = ",".join(f"{name}:{_quoted(text)}" for name, text in value.items())
        text = f"{key}={{{inner}}}"
    elif isinstance(value, list):
        text = f"{key}=[{','.join(map(_quoted, value))}]"
    else:
        text = f"{key}={_quoted(value)}"
    plain = _PLAIN.fullmatch(text.replace("=", "", 1))
    return f"`{text}`" if plain else f'`"{text}"`'


def _quoted(text: str) -> str:
    """Return a name as Hydra reads it: in quotes unless it is plain."""
    return text if _PLAIN.fullmatch(text) else f"'{text}'"
