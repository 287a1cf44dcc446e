"""Leaderboard of a search, and its best configurations as variants for `train`."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict

from astrokeras.config import STAGES
from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import remove
from astrokeras.tuning.search_space import override_key, to_overrides
from astrokeras.tuning.trials import Result, Search


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


def _best(search: Search) -> list[Result]:
    """Return the results of the best trials, best first."""
    done = [result for result in search.results() if result.val_dex is not None]
    return done[: search.settings.best]


def _groups(search: Search) -> Sequence[str]:
    """Return the stages whose settings are written as variants.

    A search of the emulator writes those of the autoencoder of all trials too.
    """
    return STAGES[:1] if search.settings.stage == "autoencoder" else STAGES
