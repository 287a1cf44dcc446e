"""A search for a better configuration: trials that keras-tuner proposes."""

import contextlib
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from astrokeras.config import Config, compose_tuner
from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run, find_run
from astrokeras.runs.provenance import check_autoencoder
from astrokeras.system.atomic_files import write_text
from astrokeras.system.backend import select_device, start_keras
from astrokeras.system.folder_lock import hold
from astrokeras.system.folder_replacement import drop_aside, set_aside
from astrokeras.system.manifest import SEARCH, check_names, claim
from astrokeras.system.progress import report
from astrokeras.training.preflight import check_backend, check_intervals, prepare_data
from astrokeras.training.train import train
from astrokeras.tuning.chief_workers import Team, await_file, enter_team
from astrokeras.tuning.leaderboard import write_best
from astrokeras.tuning.search_space import Dimension, read_space
from astrokeras.tuning.trials import Search, run_trial, share_autoencoder

MAY_CHANGE = ("tuner.trials", "tuner.best", "overrides")
"""What a resumed search may have other of; the overrides say nothing of their own."""


def tune(
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    team: Team | None = None,
) -> Search:
    """Search, and write the best configurations.

    Each trial composes the configuration anew, with the values that are tried, and is
    trained as `train` does; its objective is the validation error of the last stage's
    best epoch.

    Args:
        overrides: Hydra's, of the group `tuner` and of the configuration that the
            trials vary.
        resume: Whether to go on with an interrupted search.
        overwrite: Whether an existing search of this name may be replaced. It is kept
            in the folder until the new one is finished.
        device: `cpu`, `gpu`, or what is there.
        team: This process' part in a search by several; alone by default.

    Returns:
        The search.

    Raises:
        InputError: For wrong input, an existing search without `resume` or
            `overwrite`, one that another process is at, or a file in its folder that
            has the name of one of a search's and was not written by this package.
        WorkError: If every trial failed, or the chief does not answer.
    """
    team = team or Team()
    select_device(device)
    search = find_search(overrides, device)
    space = read_space(search.settings)
    config = search.configure({})
    check_tunable(config, search)
    facts = {
        "tuner": asdict(search.settings),
        "configuration": asdict(config),
        "overrides": list(search.overrides),
    }
    if team.worker is None:
        with hold(search.path):
            _check_search(search, facts, resume, overwrite)
            _prepare(search, config, facts, overwrite)
            enter_team(team)
            _search(search, space, config, team)
            if not any(one.val_dex is not None for one in search.results()):
                raise WorkError(_all_failed(search))
            write_best(search)
            drop_aside(search.path)
    else:
        await_file(search.facts, team)
        _check_facts(search, facts)
        enter_team(team)
        _search(search, space, config, team)
    return search


def find_search(overrides: Sequence[str], device: str | None = None) -> Search:
    """Return the search that overrides describe, whether it was begun or not."""
    own = [word for word in overrides if _key(word).split(".")[0] == "tuner"]
    rest = [word for word in overrides if word not in own]
    if not any(_key(word) == "name" for word in rest):
        rest.append("name=tune_${dataset.name}")
    search = Search(Path(), compose_tuner(own), rest, device)
    config = search.configure({})
    return replace(search, path=Path(config.runs_dir) / config.name)


def check_tunable(config: Config, search: Search) -> None:
    """Refuse what no trial could be trained with, before Keras is imported."""
    if importlib.util.find_spec("keras_tuner") is None:
        raise InputError(
            "keras-tuner is not installed; `pip install 'astrokeras[tune]'` brings it."
        )
    algorithm = search.settings.algorithm
    if algorithm == "bayesian" and importlib.util.find_spec("sklearn") is None:
        raise InputError(
            "tuner.algorithm=bayesian needs scikit-learn, which is not installed; "
            "`pip install 'astrokeras[tune]'` brings it."
        )
    if config.ensemble_size > 1:
        raise InputError(
            f"ensemble_size is {config.ensemble_size}; search with ensemble_size=1, "
            "and train an ensemble of what was found."
        )
    check_backend(config, search.stages)
    if not {"emulator.stride", "emulator.use_timestep"} & set(search.settings.space):
        check_intervals(config)


def _check_search(
    search: Search, facts: dict[str, Any], resume: bool, overwrite: bool
) -> None:
    """Refuse to mix two searches, or to replace something without being asked to."""
    begun = search.facts.is_file()
    if not begun and (Run(search.path).config.is_file() or _holds_model(search.path)):
        raise InputError(
            f"{search.path}: is a run and no search; choose another name=..."
        )
    if begun and not (resume or overwrite):
        raise InputError(
            f"{search.path}: there is a search of this name; choose another name=..., "
            "or --resume it, or replace it with --overwrite."
        )
    if resume and not begun:
        raise InputError(
            f"{search.path}: there is nothing to resume; start without --resume."
        )
    check_names(search.path, SEARCH)
    if resume:
        _check_facts(search, facts)


def _check_facts(search: Search, facts: dict[str, Any]) -> None:
    """Refuse to go on with a search with other settings than it was begun with."""
    then = _flat(json.loads(search.facts.read_text()))
    now = _flat(json.loads(json.dumps(facts)))
    for key in now | then:
        if key not in MAY_CHANGE and then.get(key) != now.get(key):
            raise InputError(
                f"{search.facts}: {key} is {then.get(key)} in this search and "
                f"{now.get(key)} now; give the same, or choose another name=..."
            )


def _prepare(
    search: Search, config: Config, facts: dict[str, Any], overwrite: bool
) -> None:
    """Make what all trials share: the training cache, and one autoencoder."""
    if overwrite:
        # What workers wait for goes first, and no trial is taken for one of the new.
        set_aside(search.path)
    _, cache = prepare_data(config, search.stages)
    search.path.mkdir(parents=True, exist_ok=True)
    claim(search.path, "search", SEARCH)
    if search.settings.stage == "emulator":
        _prepare_autoencoder(search)
        check_autoencoder(search.autoencoder, cache)
    # The last thing: it is what workers wait for.
    write_text(search.facts, json.dumps(facts, indent=1))


def _prepare_autoencoder(search: Search) -> None:
    """Take the autoencoder that the trials share from a run, or train it."""
    run, given = search.autoencoder, search.settings.autoencoder
    if given is not None:
        _check_given(find_run(given))
        share_autoencoder(find_run(given), run)
    if run.autoencoder.is_file() and run.provenance.is_file():
        return
    report("Training the autoencoder that all trials share.")
    own = search.configure({}, full=True)
    begun = run.config.is_file()
    train(
        replace(own, name=run.name, runs_dir=str(search.path)),
        ("autoencoder",),
        resume=begun,
        device=search.device,
    )


def _check_given(run: Run) -> None:
    if not (run.autoencoder.is_file() and run.provenance.is_file()):
        raise InputError(
            f"tuner.autoencoder is {run.path}: it lacks {run.autoencoder.name} or "
            f"{run.provenance.name}; name a run of `astrokeras train`."
        )


def _holds_model(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.keras"))


def _search(
    search: Search, space: Sequence[Dimension], config: Config, team: Team
) -> None:
    """Let keras-tuner propose trials until it has no more."""
    start_keras(search.device)
    import grpc

    from astrokeras.tuning.oracles import (
        SearchFailed,
        TrialFailed,
        TrialTuner,
        make_oracle,
    )

    stage = search.stages[-1]
    longest = getattr(config, stage).fit.epochs
    dimensions = {one.path: one for one in space}

    def run(trial: str, proposed: dict[str, Any], epochs: int | None) -> float:
        values = {path: dimensions[path].restore(v) for path, v in proposed.items()}
        counts = {}
        if epochs is not None:  # Hyperband's share of the longest training
            counts = {
                name: max(1, round(getattr(config, name).fit.epochs * epochs / longest))
                for name in search.stages
            }
        result = run_trial(search, trial, values, counts)
        if result.val_dex is None:
            raise TrialFailed(result.reason)
        return result.val_dex

    oracle = make_oracle(search.settings, space, longest, search.state)
    if team.worker is None and search.state.is_file():
        oracle.reload()
        report(f"Resuming {search.path} after {len(search.results())} trials.")
    try:
        # keras-tuner speaks of its trials on stdout, where the results belong.
        with contextlib.redirect_stdout(io.StringIO()):
            TrialTuner(oracle, run, search.state.parent).search(verbose=0)
    except SearchFailed as error:
        raise error.__cause__ or error from None
    except grpc.RpcError as error:
        raise WorkError(f"the chief at {team.chief} does not answer.") from error


def _all_failed(search: Search) -> str:
    results = search.results()
    reason = results[0].reason if results else "none was begun"
    return f"{search.path}: each of {len(results)} trials failed; the first: {reason}"


def _key(word: str) -> str:
    """Return what an override names."""
    return word.lstrip("+~").split("=")[0]


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
