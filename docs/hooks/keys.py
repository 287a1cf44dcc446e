"""Tables of the configuration's keys, from its YAML files and its dataclasses.

The mark `<!-- keys: emulator -->` on a page is replaced by the table of that group.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

from astrokeras.config import (
    GROUPS,
    Config,
    compose,
    compose_evaluation,
    compose_generation,
    compose_tracks,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MARK = re.compile(r"<!-- keys: (\w+) -->")
LINE = re.compile(r"( *)(\w+):(.*?)(?:\s+# (.*))?$")
FILES = {
    "root": "config.yaml",
    "dataset": "dataset/grav.yaml",
    "autoencoder": "autoencoder/default.yaml",
    "emulator": "emulator/default.yaml",
    "solver": "solver/uclchem.yaml",
    "collapse": "tracks/collapse.yaml",
    "turbulent": "tracks/turbulent.yaml",
    "explore": "tracks/explore.yaml",
    "standard": "tracks/standard.yaml",
    "evaluation": "evaluation/default.yaml",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each mark of a page by its table."""
    return MARK.sub(lambda match: table(match[1]), markdown)


def table(group: str) -> str:
    """Return the table of a group, or with `root` of the keys outside groups."""
    config: Any = compose()
    if FILES[group].startswith("tracks/"):
        config = compose_tracks(group)
    elif group == "solver":
        config = compose_generation().solver
    elif group == "evaluation":
        config = compose_evaluation()
    elif group != "root":
        config = getattr(config, group)
    lines = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    meanings = comments(CONFIGS / FILES[group])
    for key, value, field in leaves(config):
        if key not in meanings:
            raise PluginError(f"configs/{FILES[group]}: {key} has no comment")
        cells = [f"`{key}`", f"`{shown(value)}`", allowed(value, field), meanings[key]]
        cells = [cell.replace("|", "\\|") for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def leaves(config: Any, prefix: str = "") -> Any:
    """Yield key, value and field of every key that holds a value, not a group."""
    for field in dataclasses.fields(config):
        if isinstance(config, Config) and field.name in GROUPS:
            continue
        value, key = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value, field


def comments(path: Path) -> dict[str, str]:
    """Return the comment of each key of a YAML file, by the key's dotted path."""
    found: dict[str, str] = {}
    parents: list[str] = []
    for match in map(LINE.match, path.read_text().splitlines()):
        if match is None:
            continue
        depth = len(match[1]) // 2
        parents = [*parents[:depth], match[2]]
        if match[4]:
            found[".".join(parents)] = match[4]
    return found


def shown(value: Any) -> str:
    """Return a value as YAML writes it."""
    if isinstance(value, dict):
        value = "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
    elif isinstance(value, list):
        value = "[" + ", ".join(map(str, value)) + "]"
    elif isinstance(value, bool) or value is None:
        value = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, float):
        value = f"{value:g}"
    return str(value)


def allowed(value: Any, field: Any) -> str:
    """Return the choices or the range of a key."""
    if choices := field.metadata.get("choices"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if isinstance(value, bool):
        return "`true`, `false`"
    if limits := field.metadata.get("range"):
        low, high = limits
        return f"≥ {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
    return ""
