"""The command `astrokeras train`: from a tracer file to the directory of a run.

Wrong input is refused here, before Keras is imported; `stages` trains the models.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from astrokeras.config import STAGES, Config
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.runs.model_card import write_card
from astrokeras.runs.provenance import check_autoencoder, check_finished, record
from astrokeras.system.atomic_files import write_text
from astrokeras.system.backend import select_device, start_keras
from astrokeras.system.folder_lock import hold
from astrokeras.system.folder_replacement import drop_aside, set_aside
from astrokeras.system.manifest import EVALUATION, check_names, claim, run_names
from astrokeras.system.progress import report
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.preflight import (
    check_backend,
    check_profile,
    check_timesteps,
    prepare_data,
)

if TYPE_CHECKING:
    from astrokeras.models.surrogate import Surrogate

KEPT_WITH_AUTOENCODER = ("history.json", "history.csv", "provenance.json")


def train(
    config: Config,
    stages: Sequence[str] = STAGES,
    mode: str = "both",
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    calibrated: bool = True,
) -> Run:
    """Train the given stages and write the directory of the run.

    Args:
        config: The composed configuration.
        stages: `autoencoder`, `emulator` or both, in this order.
        mode: `preprocess` only makes the training cache, `train` requires that it
            exists, `both` makes it if it is missing.
        resume: Whether to resume from the run's checkpoints.
        overwrite: Whether an existing run of this name may be replaced. It is kept in
            the folder until the new run is finished.
        device: `cpu` or `gpu`; by default a GPU if there is one.
        calibrated: Whether the surrogate gets error bars and expected errors.

    Returns:
        The run.

    Raises:
        InputError: For wrong input, for an existing run without `resume` or
            `overwrite`, for an emulator without a trained autoencoder, if another
            process trains the run, or if the folder has a file with the name of a
            run's file that this package did not write.
        WorkError: If training diverges.
    """
    select_device(device)
    group = ProcessGroup.from_config(config, stages)
    check_backend(config, stages)
    check_timesteps(config)
    check_profile(config.board.profile)
    run = Run(Path(config.runs_dir) / config.name)
    # Only rank 0 writes the run, so only rank 0 locks and checks the folder.
    writes = group.is_chief and mode != "preprocess"
    with hold(run.path) if writes else nullcontext(), group.connect():
        if writes:
            _check_run(run, stages, resume, overwrite)
        source, cache = prepare_data(config, stages, mode != "train", group)
        if mode == "preprocess":
            return run
        if "autoencoder" not in stages:
            config.autoencoder = check_autoencoder(run, cache)

        start_keras(device)
        group.start_devices(config, stages)
        surrogate = _train_stages(config, cache, source, run, stages, resume, group)
        if group.is_chief:
            if run.surrogate.is_file():
                if calibrated:
                    from astrokeras.training.stages import calibrate_surrogate

                    calibrate_surrogate(config, source, run, surrogate)
                write_card(run)
            drop_aside(run.path)
    return run


def _train_stages(
    config: Config,
    cache: Cache,
    source: Path,
    run: Run,
    stages: Sequence[str],
    resume: bool,
    group: ProcessGroup,
) -> "Surrogate | None":
    """Train the stages that are not finished, and record their provenance.

    Returns:
        The surrogate if it was trained now and this process writes the run.
    """
    from astrokeras.training.stages import train_autoencoder, train_emulator

    if group.is_chief:
        _begin(run, config, stages, resume)
    work = {"autoencoder": train_autoencoder, "emulator": train_emulator}
    surrogate = None
    for stage in stages:
        # All processes wait until rank 0 has written the files of the stage before.
        group.barrier(f"the beginning of the {stage}")
        is_trained = _model_file(run, stage).is_file() and _is_recorded(run, stage)
        if resume and is_trained:
            check_finished(run, config, cache, stage)
            if group.is_chief:
                report(f"The {stage} of {run.path} is trained already.")
            continue
        began = time.time()
        surrogate = work[stage](config, cache, run, resume, group)
        if group.is_chief:
            record(run, config, cache, source, stage, time.time() - began)
    return surrogate


def _model_file(run: Run, stage: str) -> Path:
    """Return the model file that a stage writes."""
    return run.autoencoder if stage == "autoencoder" else run.surrogate


def _is_recorded(run: Run, stage: str) -> bool:
    """Return whether a stage with a model file is finished.

    It is finished when its provenance is recorded, or when it has no checkpoint because
    it was trained in another folder.
    """
    recorded = stage in run.read_provenance().get("stages", {})
    return recorded or not run.checkpoint(stage).is_dir()


def _check_run(run: Run, stages: Sequence[str], resume: bool, overwrite: bool) -> None:
    """Raise InputError if the run cannot be started, resumed or replaced."""
    check_names(run.path, run_names(stages))
    _check_begun(run, stages, resume or overwrite)
    if "autoencoder" not in stages and not run.autoencoder.is_file():
        raise InputError(
            f"{run.autoencoder}: the emulator needs a trained autoencoder; "
            f"run `astrokeras train autoencoder name={run.name}` first."
        )
    begun = any(_is_begun(run, stage) for stage in stages)
    # A run that was killed in its first epoch has only its configuration.
    begun |= run.config.is_file() and "autoencoder" in stages
    if resume and not begun:
        raise InputError(
            f"{run.path}: there is nothing to resume; start without --resume."
        )


def _check_begun(run: Run, stages: Sequence[str], allowed: bool) -> None:
    """Raise InputError if a stage was begun before, unless that is allowed."""
    for stage in stages:
        if _is_begun(run, stage) and not allowed:
            raise InputError(
                f"{run.path}: the run has a trained or interrupted {stage}; choose "
                "another name=..., or --resume it, or replace it with --overwrite."
            )


def _is_begun(run: Run, stage: str) -> bool:
    """Return whether a stage has a model file or a checkpoint."""
    return _model_file(run, stage).is_file() or run.checkpoint(stage).is_dir()


def _begin(run: Run, config: Config, stages: Sequence[str], resume: bool) -> None:
    """Prepare the folder of a run: move aside the files that the stages replace.

    Files that this package did not write stay in their place.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    names = run_names(stages)
    if not resume:
        # If only the emulator is trained, the autoencoder keeps its history and its
        # provenance.
        kept = () if "autoencoder" in stages else KEPT_WITH_AUTOENCODER
        replaced = [name for name in names if name not in kept]
        set_aside(run.path, ["figures/*.png", *replaced])
    claim(run.path, "run", [name for name in names if name not in EVALUATION])
    if not (resume and run.config.is_file()):
        _write_config(run, config)


def _write_config(run: Run, config: Config) -> None:
    """Write the configuration of a run as `config.yaml`."""
    from omegaconf import OmegaConf

    write_text(run.config, OmegaConf.to_yaml(OmegaConf.structured(config)))
