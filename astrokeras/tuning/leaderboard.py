"""Leaderboard of a search, and its best configurations as variants for `train`."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from astrokeras.config import STAGES
from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import remove
from astrokeras.tuning.search_space import override_key, to_overrides
from astrokeras.tuning.trials import Result, Search

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 5
FILE_WIDTH = 120


def write_best(search: Search) -> None:
    """Write the best configurations as variants, `configs/STAGE/best-N.yaml`.

    The variants have the epochs of the configuration, not the fewer ones of the trials.
    """
    from omegaconf import OmegaConf

    remove(search.path, ["configs/*/best-*.yaml"])
    for rank, result in enumerate(_best(search), 1):
        config = search.configure(result.values, full=True)
        for group in _groups(search):
            settings = asdict(getattr(config, group))
            if group not in search.stages:  # This is the autoencoder of all trials.
                provenance = search.autoencoder.read_provenance()
                settings = provenance["stages"][group]["settings"]
            text = (
                f"# Trial {result.trial} of {search.path}: {result.val_dex:.4f} dex in "
                f"validation.\ndefaults:\n  - schema\n  - _self_\n\n"
                + OmegaConf.to_yaml(OmegaConf.create(settings))
            )
            path = search.path / "configs" / group / f"best-{rank}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)


def command(search: Search, rank: int, result: Result) -> str:
    """Return the command line that trains the best configuration of a rank."""
    groups = _groups(search)
    others = {k: v for k, v in result.values.items() if k.split(".")[0] not in groups}
    overrides = [
        word
        for word in search.overrides
        if override_key(word).split(".")[0] not in {*groups, "name"}
    ]
    words = ["astrokeras", "train", "--config-dir", str(search.path / "configs")]
    words += [f"{group}=best-{rank}" for group in groups]
    words += [*overrides, *to_overrides(others), f"name={search.path.name}-best-{rank}"]
    return shlex.join(words)


def to_json(search: Search) -> str:
    """Return all results, best first, and the commands that train the best ones."""
    content = {
        "search": str(search.path),
        "stage": search.settings.stage,
        "algorithm": search.settings.algorithm,
        "trials": [asdict(result) for result in search.results()],
        "best": [
            {
                "trial": result.trial,
                "val_dex": result.val_dex,
                "train": command(search, rank, result),
            }
            for rank, result in enumerate(_best(search), 1)
        ],
    }
    return json.dumps(content, indent=1)


def show(search: Search) -> None:
    """Print the best trials, the reason of failures, and the command for the best."""
    from rich.console import Console
    from rich.text import Text

    results = search.results()
    done = [result for result in results if result.val_dex is not None]
    failed = [result for result in results if result.val_dex is None]
    lines = []
    if len(done) > SHOWN:
        lines.append(f"{len(done) - SHOWN} more with --json.")
    if failed:
        lines.append(f"{len(failed)} failed; {failed[0].trial}: {failed[0].reason}")
    if done:
        lines.append("To train the best one for the configured number of epochs:")
        lines.append(command(search, 1, done[0]))
    console = Console()
    if not console.is_terminal:  # The lines of a file may be longer.
        console.width = max(console.width, FILE_WIDTH)
    console.print(_table(search, len(results), done[:SHOWN]))
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _table(search: Search, count: int, results: Sequence[Result]) -> "Table":
    """Return a table with a column per trial, the best first, and a row per field."""
    from rich.table import Table
    from rich.text import Text

    title = (
        f"{search.path.name}: {count} trials, {search.settings.algorithm}, "
        f"{' and '.join(search.stages)}"
    )
    table = Table(title=Text(title, style="bold"), title_justify="left")
    table.add_column("trial", no_wrap=True)
    for result in results:
        table.add_column(result.trial, justify="right", overflow="fold")
    rows = {
        "dex": [f"{result.val_dex:.4f}" for result in results],
        "epochs": [" + ".join(map(str, result.epochs.values())) for result in results],
        "seconds": [f"{result.seconds:.0f}" for result in results],
    }
    for path in search.settings.space:
        # Trials lack the fields that depend on another value of another field.
        rows[path] = [_cell(result.values.get(path, "")) for result in results]
    for name, cells in rows.items():
        table.add_row(name, *cells, end_section=name == "seconds")
    return table


def _cell(value: Any) -> str:
    """Return the text of a value in the table."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(search: Search) -> list[Result]:
    """Return the results of the best trials, best first."""
    done = [result for result in search.results() if result.val_dex is not None]
    return done[: search.settings.best]


def _groups(search: Search) -> Sequence[str]:
    """Return the stages whose settings are written as variants.

    A search of the emulator writes those of the autoencoder of all trials too.
    """
    return STAGES[:1] if search.settings.stage == "autoencoder" else STAGES
