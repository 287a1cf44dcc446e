"""Training: a tracer file and a configuration in, a run directory out.

What can be refused is refused here, before Keras is imported; `stages` does the rest.
"""

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from astrokeras.config import Config
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.runs.model_card import write_card
from astrokeras.runs.provenance import check_autoencoder, check_finished, record
from astrokeras.system.atomic_files import write_text
from astrokeras.system.backend import select_device, start_keras
from astrokeras.system.folder_lock import hold
from astrokeras.system.progress import report
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.ensemble_training import record_members, train_members
from astrokeras.training.preflight import (
    check_backend,
    check_intervals,
    check_profile,
    prepare_data,
)


def train(
    config: Config,
    stages: Sequence[str] = ("autoencoder", "emulator"),
    mode: str = "both",
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    calibrated: bool = True,
) -> Run:
    """Train the stages asked for and write a run directory.

    With `config.members` above 1 every member is trained so, in the folder `members`
    of the run, and the surrogate is their ensemble.

    Args:
        config: The composed configuration.
        stages: `autoencoder`, `emulator` or both, in this order.
        mode: `preprocess` makes the training cache only, `train` needs it, `both`.
        resume: Whether to go on from the run's checkpoints.
        overwrite: Whether an existing run of this name may be replaced.
        device: `cpu`, `gpu`, or what is there.
        calibrated: Whether the surrogate gets error bars and trust scores.

    Returns:
        The run.

    Raises:
        InputError: For wrong input, an existing run without `resume` or `overwrite`,
            an emulator without a trained autoencoder, or a run that another process
            trains.
        WorkError: If training diverges.
    """
    select_device(device)
    group = ProcessGroup.from_config(config, stages)
    check_backend(config, stages)
    check_intervals(config)
    check_profile(config.board.profile)
    run = Run(Path(config.runs_dir) / config.name)
    # Only rank 0 writes the run, so only it holds the folder and looks what is there.
    writes = group.is_chief and mode != "preprocess"
    with hold(run.path) if writes else nullcontext(), group.connect():
        if writes and config.ensemble_size == 1:
            _check_run(run, stages, resume, overwrite)
        source, cache = prepare_data(config, stages, mode != "train", group)
        if mode == "preprocess":
            return run
        if config.ensemble_size > 1:
            return _train_ensemble(
                config, source, stages, mode, resume, overwrite, device
            )
        if "autoencoder" not in stages:
            config.autoencoder = check_autoencoder(run, cache)

        start_keras(device)
        group.start_devices(config, stages)
        _train_stages(config, cache, source, run, stages, resume, group)
        if run.surrogate.is_file() and group.is_chief:
            if calibrated:
                from astrokeras.training.stages import calibrate_surrogate

                calibrate_surrogate(config, source, run)
            write_card(run)
    return run


def _train_stages(
    config: Config,
    cache: Cache,
    source: Path,
    run: Run,
    stages: Sequence[str],
    resume: bool,
    group: ProcessGroup,
) -> None:
    """Train what is not trained yet, and record it."""
    from astrokeras.training.stages import train_autoencoder, train_emulator

    if group.is_chief:
        run.path.mkdir(parents=True, exist_ok=True)
        if not resume:
            _clear(run, stages)
            _write_config(run, config)
    work = {"autoencoder": train_autoencoder, "emulator": train_emulator}
    made = {"autoencoder": run.autoencoder, "emulator": run.surrogate}
    for stage in stages:
        # Nobody looks before rank 0 has written what it had to.
        group.barrier(f"the beginning of the {stage}")
        if resume and made[stage].is_file() and _is_recorded(run, stage):
            check_finished(run, config, cache, stage)
            if group.is_chief:
                report(f"The {stage} of {run.path} is trained already.")
            continue
        began = time.time()
        work[stage](config, cache, run, resume, group)
        if group.is_chief:
            record(run, config, cache, source, stage, time.time() - began)


def _is_recorded(run: Run, stage: str) -> bool:
    """Whether a stage came to its end, and not only to its model file.

    A stage without a checkpoint was trained elsewhere, and can be no other.
    """
    recorded = stage in run.read_provenance().get("stages", {})
    return recorded or not run.checkpoint(stage).is_dir()


def _train_ensemble(
    config: Config,
    source: Path,
    stages: Sequence[str],
    mode: str,
    resume: bool,
    overwrite: bool,
    device: str | None,
) -> Run:
    """Train all members, then write their ensemble."""
    run = Run(Path(config.runs_dir) / config.name)
    if run.surrogate.is_file() and not (resume or overwrite):
        raise InputError(
            f"{run.path}: the run has a trained ensemble; choose another name=..., or "
            "replace it with --overwrite."
        )
    run.path.mkdir(parents=True, exist_ok=True)
    _write_config(run, config)
    members = train_members(
        config,
        run,
        train,
        resume,
        stages=stages,
        mode=mode,
        overwrite=overwrite,
        device=device,
        calibrated=False,
    )
    if "emulator" in stages:
        from astrokeras.training.stages import calibrate_surrogate, combine

        combine(members, run)
        calibrate_surrogate(config, source, run)
        record_members(run, config, members)
        write_card(run)
    return run


def _check_run(run: Run, stages: Sequence[str], resume: bool, overwrite: bool) -> None:
    made = {"autoencoder": run.autoencoder, "emulator": run.surrogate}
    for stage in stages:
        started = made[stage].is_file() or run.checkpoint(stage).is_dir()
        if started and not (resume or overwrite):
            raise InputError(
                f"{run.path}: the run has a trained or interrupted {stage}; choose "
                "another name=..., or --resume it, or replace it with --overwrite."
            )
    if "autoencoder" not in stages and not run.autoencoder.is_file():
        raise InputError(
            f"{run.autoencoder}: the emulator needs a trained autoencoder; "
            f"run `astrokeras train autoencoder name={run.name}` first."
        )
    begun = any(
        made[stage].is_file() or run.checkpoint(stage).is_dir() for stage in stages
    )
    # Killed in its first epoch, a run has its configuration alone.
    begun |= run.config.is_file() and "autoencoder" in stages
    if resume and not begun:
        raise InputError(
            f"{run.path}: there is nothing to resume; start without --resume."
        )


def _clear(run: Run, stages: Sequence[str]) -> None:
    """Remove what the stages will make anew, and what was made of it."""
    made = [run.surrogate, run.metrics, run.path / "report.html", run.path / "card.md"]
    folders = [run.checkpoint("emulator"), run.tensorboard / "emulator"]
    folders.append(run.path / "figures")
    if "autoencoder" in stages:
        made += [run.autoencoder, run.path / "history.json", run.path / "history.csv"]
        made.append(run.provenance)
        folders += [run.checkpoint("autoencoder"), run.tensorboard / "autoencoder"]
    for path in made:
        path.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _write_config(run: Run, config: Config) -> None:
    from omegaconf import OmegaConf

    write_text(run.config, OmegaConf.to_yaml(OmegaConf.structured(config)))
