"""What a search found: its leaderboard, and its best configurations for `train`."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import remove
from astrokeras.tuning.search_space import to_overrides
from astrokeras.tuning.trials import STAGES, Result, Search

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 5
FILE_WIDTH = 120


def write_best(search: Search) -> None:
    """Write the best configurations as variants, `configs/STAGE/best-N.yaml`.

    Their epochs are those of the configuration, not the fewer ones of the trials.
    """
    from omegaconf import OmegaConf

    remove(search.path, ["configs/*/best-*.yaml"])
    for rank, result in enumerate(_best(search), 1):
        config = search.configure(result.values, full=True)
        for group in _groups(search):
            settings = asdict(getattr(config, group))
            if group not in search.stages:  # the shared autoencoder
                facts = search.autoencoder.read_provenance()
                settings = facts["stages"][group]["settings"]
            text = (
                f"# Trial {result.trial} of {search.path}: {result.val_dex:.4f} dex in "
                f"validation.\ndefaults:\n  - schema\n  - _self_\n\n"
                + OmegaConf.to_yaml(OmegaConf.create(settings))
            )
            path = search.path / "configs" / group / f"best-{rank}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)


def command(search: Search, rank: int, result: Result) -> str:
    """Return the command line that trains one of the best configurations."""
    groups = _groups(search)
    beside = {k: v for k, v in result.values.items() if k.split(".")[0] not in groups}
    kept = [
        word
        for word in search.overrides
        if word.lstrip("+~").split("=")[0].split(".")[0] not in {*groups, "name"}
    ]
    words = ["astrokeras", "train", "--config-dir", str(search.path / "configs")]
    words += [f"{group}=best-{rank}" for group in groups]
    words += [*kept, *to_overrides(beside), f"name={search.path.name}-best-{rank}"]
    return shlex.join(words)


def to_json(search: Search) -> str:
    """Return all results, best first, and the commands that train the best."""
    found = {
        "search": str(search.path),
        "stage": search.settings.stage,
        "algorithm": search.settings.algorithm,
        "trials": [asdict(result) for result in search.results()],
        "best": [
            {
                "trial": one.trial,
                "val_dex": one.val_dex,
                "train": command(search, i, one),
            }
            for i, one in enumerate(_best(search), 1)
        ],
    }
    return json.dumps(found, indent=1)


def show(search: Search) -> None:
    """Print the best trials, why others failed, and how to train the best."""
    from rich.console import Console
    from rich.text import Text

    results = search.results()
    done = [one for one in results if one.val_dex is not None]
    failed = [one for one in results if one.val_dex is None]
    lines = []
    if len(done) > SHOWN:
        lines.append(f"{len(done) - SHOWN} more with --json.")
    if failed:
        lines.append(f"{len(failed)} failed; {failed[0].trial}: {failed[0].reason}")
    if done:
        lines.append("To train the best one, for as many epochs as configured:")
        lines.append(command(search, 1, done[0]))
    console = Console()
    if not console.is_terminal:  # a file has no width that the columns must share
        console.width = max(console.width, FILE_WIDTH)
    console.print(_table(search, len(results), done[:SHOWN]))
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _table(search: Search, count: int, results: Sequence[Result]) -> "Table":
    """Return a table with a column a trial, the best first, and a row a field."""
    from rich.table import Table
    from rich.text import Text

    title = (
        f"{search.path.name}: {count} trials, {search.settings.algorithm}, "
        f"{' and '.join(search.stages)}"
    )
    table = Table(title=Text(title, style="bold"), title_justify="left")
    table.add_column("trial", no_wrap=True)
    for one in results:
        table.add_column(one.trial, justify="right", overflow="fold")
    rows = {
        "dex": [f"{one.val_dex:.4f}" for one in results],
        "epochs": [" + ".join(map(str, one.epochs.values())) for one in results],
        "seconds": [f"{one.seconds:.0f}" for one in results],
    }
    for path in search.settings.space:
        # What waits for another field's value is not in every trial.
        rows[path] = [_cell(one.values.get(path, "")) for one in results]
    for name, cells in rows.items():
        table.add_row(name, *cells, end_section=name == "seconds")
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(search: Search) -> list[Result]:
    done = [one for one in search.results() if one.val_dex is not None]
    return done[: search.settings.best]


def _groups(search: Search) -> Sequence[str]:
    """Return the stages whose variants say what a trial was trained with.

    The trials of an emulator have an autoencoder in common.
    """
    return STAGES[:1] if search.settings.stage == "autoencoder" else STAGES
