"""What a search found: its leaderboard, and its best configurations for `train`."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict

from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import remove
from astrokeras.tuning.search_space import to_overrides
from astrokeras.tuning.trials import STAGES, Result, Search


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


def _best(search: Search) -> list[Result]:
    done = [one for one in search.results() if one.val_dex is not None]
    return done[: search.settings.best]


def _groups(search: Search) -> Sequence[str]:
    """Return the stages whose variants say what a trial was trained with.

    The trials of an emulator have an autoencoder in common.
    """
    return STAGES[:1] if search.settings.stage == "autoencoder" else STAGES
