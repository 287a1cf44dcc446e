"""The command `astrokeras tune`: a search of the best configuration by keras-tuner."""

import contextlib
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from astrokeras.config import Config, compose_tuner, dotted_keys
from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run, find_run
from astrokeras.runs.provenance import check_autoencoder
from astrokeras.system.atomic_files import write_text
from astrokeras.system.backend import select_device, start_keras
from astrokeras.system.folder_lock import hold
from astrokeras.system.folder_replacement import drop_aside, set_aside
from astrokeras.system.manifest import SEARCH, check_names, claim
from astrokeras.system.old_names import rename_configuration, rename_space
from astrokeras.system.progress import report
from astrokeras.training.preflight import check_backend, check_timesteps, prepare_data
from astrokeras.training.train import train
from astrokeras.tuning.chief_workers import Team, await_file, enter_team
from astrokeras.tuning.leaderboard import write_best
from astrokeras.tuning.search_space import Dimension, override_key, read_space
from astrokeras.tuning.trials import Search, run_trial, share_autoencoder

MAY_CHANGE = ("tuner.trials", "tuner.best", "overrides")
"""Settings that may change on resumption; the configuration includes the overrides."""


def tune(
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    team: Team | None = None,
) -> Search:
    """Search for the best configurations, and write them as variants.

    Each trial composes the configuration with its own values, and is trained as by
    `train`. Its objective is the validation error in the best epoch of the last stage.

    Args:
        overrides: Hydra's overrides of the group `tuner`, and of the configuration that
            the trials vary.
        resume: Whether to resume an interrupted search.
        overwrite: Whether an existing search of this name may be replaced. It is kept
            in the folder until the new search is finished.
        device: `cpu` or `gpu`; by default a GPU if there is one.
        team: The role of this process in a search by several processes.

    Returns:
        The search.

    Raises:
        InputError: For wrong input, for an existing search without `resume` or
            `overwrite`, if another process runs the search, or if the folder has a
            file with the name of a search's file that this package did not write.
        WorkError: If every trial failed, or the chief does not answer.
    """
    team = team or Team()
    select_device(device)
    search = find_search(overrides, device)
    space = read_space(search.settings)
    config = search.configure({})
    check_tunable(config, search)
    settings = {
        "tuner": asdict(search.settings),
        "configuration": asdict(config),
        "overrides": list(search.overrides),
    }
    if team.worker is None:
        with hold(search.path):
            _check_search(search, settings, resume, overwrite)
            _prepare(search, config, settings, overwrite)
            enter_team(team)
            _search(search, space, config, team)
            if all(result.val_dex is None for result in search.results()):
                raise WorkError(_all_failed(search))
            write_best(search)
            drop_aside(search.path)
    else:
        await_file(search.settings_file, team)
        _check_settings(search, settings)
        enter_team(team)
        _search(search, space, config, team)
    return search


def find_search(overrides: Sequence[str], device: str | None = None) -> Search:
    """Return the search that overrides describe, whether it exists or not."""
    tuner = [word for word in overrides if override_key(word).split(".")[0] == "tuner"]
    others = [word for word in overrides if word not in tuner]
    if not any(override_key(word) == "name" for word in others):
        others.append("name=tune_${dataset.name}")
    search = Search(Path(), compose_tuner(tuner), others, device)
    config = search.configure({})
    return replace(search, path=Path(config.runs_dir) / config.name)


def check_tunable(config: Config, search: Search) -> None:
    """Raise InputError for settings with which no trial could be trained."""
    install = "which is not installed; run `pip install 'astrokeras[tune]'`."
    if importlib.util.find_spec("keras_tuner") is None:
        raise InputError(f"a search needs keras-tuner, {install}")
    algorithm = search.settings.algorithm
    if algorithm == "bayesian" and importlib.util.find_spec("sklearn") is None:
        raise InputError(f"tuner.algorithm=bayesian needs scikit-learn, {install}")
    if config.from_ is not None:
        raise InputError(
            f"from is {config.from_!r}; search without it, then fine-tune with "
            "`astrokeras train`."
        )
    check_backend(config, search.stages)
    if not {"emulator.stride", "emulator.use_timestep"} & set(search.settings.space):
        check_timesteps(config)


def _check_search(
    search: Search, settings: dict[str, Any], resume: bool, overwrite: bool
) -> None:
    """Raise InputError if the folder holds a run, or a search that must be kept."""
    begun = search.settings_file.is_file()
    folder = search.path
    if not begun and (Run(folder).config.is_file() or any(folder.glob("*.keras"))):
        raise InputError(
            f"{folder}: this is a run and not a search; choose another name=..."
        )
    if begun and not (resume or overwrite):
        raise InputError(
            f"{folder}: there is a search of this name; choose another name=..., "
            "or --resume it, or replace it with --overwrite."
        )
    if resume and not begun:
        raise InputError(
            f"{folder}: there is nothing to resume; start without --resume."
        )
    check_names(folder, SEARCH)
    if resume:
        _check_settings(search, settings)


def _check_settings(search: Search, settings: dict[str, Any]) -> None:
    """Raise InputError if a search was begun with other settings."""
    stored = json.loads(search.settings_file.read_text())
    stored["configuration"] = rename_configuration(stored["configuration"])
    tuner = stored.get("tuner")
    if isinstance(tuner, dict) and isinstance(tuner.get("space"), dict):
        tuner["space"] = rename_space(tuner["space"])
    before = dotted_keys(stored)
    now = dotted_keys(json.loads(json.dumps(settings)))
    # A key that is younger than the search had its default value.
    defaults = dotted_keys({"configuration": asdict(Config())})
    before |= {k: defaults[k] for k in now if k not in before and k in defaults}
    for key in now | before:
        if key not in MAY_CHANGE and before.get(key) != now.get(key):
            raise InputError(
                f"{search.settings_file}: {key} is {before.get(key)} in this search "
                f"and {now.get(key)} now; give the same value, or choose another "
                "name=..."
            )


def _prepare(
    search: Search, config: Config, settings: dict[str, Any], overwrite: bool
) -> None:
    """Make the files that all trials use: the training cache and an autoencoder."""
    if overwrite:
        # The file that workers wait for is moved first, then the former trials.
        set_aside(search.path)
    _, cache = prepare_data(config, search.stages)
    search.path.mkdir(parents=True, exist_ok=True)
    claim(search.path, "search", SEARCH)
    if search.settings.stage == "emulator":
        _prepare_autoencoder(search)
        check_autoencoder(search.autoencoder, cache)
    # This file comes last, because workers wait for it.
    write_text(search.settings_file, json.dumps(settings, indent=1))


def _prepare_autoencoder(search: Search) -> None:
    """Copy the autoencoder that all trials use from a run, or train it."""
    run = search.autoencoder
    if search.settings.autoencoder is not None:
        source = find_run(search.settings.autoencoder)
        if not (source.autoencoder.is_file() and source.provenance.is_file()):
            raise InputError(
                f"tuner.autoencoder is {source.path}: it lacks "
                f"{source.autoencoder.name} or {source.provenance.name}; name a run of "
                "`astrokeras train`."
            )
        share_autoencoder(source, run)
    if run.autoencoder.is_file() and run.provenance.is_file():
        return
    report("Training the autoencoder that all trials use.")
    config = search.configure({}, full=True)
    train(
        replace(config, name=run.name, runs_dir=str(search.path)),
        ("autoencoder",),
        resume=run.config.is_file(),
        device=search.device,
    )


def _search(
    search: Search, space: Sequence[Dimension], config: Config, team: Team
) -> None:
    """Train the trials that keras-tuner proposes until it proposes no more."""
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
    dimensions = {dimension.path: dimension for dimension in space}

    def run(trial: str, proposed: dict[str, Any], epochs: int | None) -> float:
        values = {path: dimensions[path].restore(v) for path, v in proposed.items()}
        counts = {}
        if epochs is not None:  # Hyperband gives the epochs of the last stage.
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
        # keras-tuner prints on stdout, which is for the results.
        with contextlib.redirect_stdout(io.StringIO()):
            TrialTuner(oracle, run, search.state.parent).search(verbose=0)
    except SearchFailed as error:
        raise error.__cause__ or error from None
    except grpc.RpcError as error:
        raise WorkError(f"the chief at {team.chief} does not answer.") from error


def _all_failed(search: Search) -> str:
    """Return the message for a search without a successful trial."""
    results = search.results()
    reason = results[0].reason if results else "no trial was started"
    return f"{search.path}: each of {len(results)} trials failed; the first: {reason}"
