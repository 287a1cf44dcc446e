"""Training of ensembles: members that differ by their seed, and their provenance."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from astrokeras.config import Config
from astrokeras.runs.directory import Run
from astrokeras.system.atomic_files import write_text
from astrokeras.system.progress import report


def train_members(
    config: Config, run: Run, train: Callable[..., Run], resume: bool, **options: Any
) -> list[Run]:
    """Train the members one after the other, each as a run in the folder `members`.

    Members may also be trained separately, in parallel or on other machines, with
    `train name=K runs_dir=RUN/members seed=SEED+K`; with `resume` the finished ones
    are kept.

    Args:
        config: Configuration of the ensemble.
        run: Run of the ensemble.
        train: The function `astrokeras.training.train.train`.
        resume: Whether to resume members that were interrupted.
        **options: Further arguments of `train`.

    Returns:
        The runs of the members.
    """
    members = []
    for number in range(config.ensemble_size):
        report(f"Member {number + 1} of {config.ensemble_size}")
        member = replace(
            config,
            name=str(number),
            runs_dir=str(run.path / "members"),
            seed=config.seed + number,
            ensemble_size=1,
        )
        begun = Run(Path(member.runs_dir) / member.name).config.is_file()
        members.append(train(member, resume=resume and begun, **options))
    return members


def record_members(run: Run, config: Config, members: list[Run]) -> None:
    """Write the provenance of all members into the `provenance.json` of an ensemble."""
    provenance = members[0].read_provenance() | {
        "configuration": asdict(config),
        "members": _origins(members),
    }
    del provenance["stages"]
    write_text(run.provenance, json.dumps(provenance, indent=1))


def are_recorded(run: Run, members: list[Run]) -> bool:
    """Return whether the ensemble of a run averages exactly these trained members."""
    return run.read_provenance().get("members") == _origins(members)


def _origins(members: list[Run]) -> list[dict[str, Any]]:
    """Return what the provenance of an ensemble holds of each member."""
    origins = [member.read_provenance() for member in members]
    return [{key: one[key] for key in ("seed", "git", "stages")} for one in origins]
