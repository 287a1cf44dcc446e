"""Ensembles: several trainings that differ by their seed, and one surrogate of them."""

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
    """Train the members one after the other, each a run of its own in `members/`.

    Members may as well be trained apart, side by side or on other machines, with
    `train name=K runs_dir=RUN/members seed=SEED+K`: those that are finished are taken
    over by `resume`.

    Args:
        config: Of the ensemble.
        run: Of the ensemble.
        train: `workflows.train.train`.
        resume: Whether to go on where members were interrupted.
        **options: Its other arguments.

    Returns:
        The members' runs.
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
    """Write into `provenance.json` where the members come from, in one record."""
    origins = [member.read_provenance() for member in members]
    facts = origins[0] | {
        "configuration": asdict(config),
        "members": [
            {"seed": origin["seed"], "git": origin["git"], "stages": origin["stages"]}
            for origin in origins
        ],
    }
    del facts["stages"]
    write_text(run.provenance, json.dumps(facts, indent=1))
