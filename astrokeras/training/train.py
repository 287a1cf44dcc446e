"""Training: a tracer file and a configuration in, a run directory out.

What can be refused is refused here, before Keras is imported; `stages` does the rest.
"""

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
from astrokeras.system.folder_replacement import drop_aside, set_aside
from astrokeras.system.manifest import EVALUATION, check_names, claim, run_names
from astrokeras.system.progress import report
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.ensemble_training import record_members, train_members
from astrokeras.training.preflight import (
    check_backend,
    check_intervals,
    check_profile,
    prepare_data,
)

KEPT_WITH_AUTOENCODER = ("history.json", "history.csv", "provenance.json")


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
        overwrite: Whether an existing run of this name may be replaced. It is kept in
            the folder until the new one is finished.
        device: `cpu`, `gpu`, or what is there.
        calibrated: Whether the surrogate gets error bars and trust scores.

    Returns:
        The run.

    Raises:
        InputError: For wrong input, an existing run without `resume` or `overwrite`,
            an emulator without a trained autoencoder, a run that another process
            trains, or a file in its folder that has the name of one of a run's and was
            not written by this package.
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
        if group.is_chief:
            if run.surrogate.is_file():
                if calibrated:
                    from astrokeras.training.stages import calibrate_surrogate

                    calibrate_surrogate(config, source, run)
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
) -> None:
    """Train what is not trained yet, and record it."""
    from astrokeras.training.stages import train_autoencoder, train_emulator

    if group.is_chief:
        _begin(run, config, stages, resume)
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
    _check_ensemble(run, stages, resume, overwrite)
    _begin(run, config, stages, resume)
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
    _write_config(run, config)  # of a resumed one, now that all members agree with it
    if "emulator" in stages:
        from astrokeras.training.stages import calibrate_surrogate, combine

        combine(members, run)
        calibrate_surrogate(config, source, run)
        record_members(run, config, members)
        write_card(run)
    drop_aside(run.path)
    return run


def _check_ensemble(
    run: Run, stages: Sequence[str], resume: bool, overwrite: bool
) -> None:
    """Refuse to replace an ensemble, a member or a single run without being asked."""
    if run.surrogate.is_file() and not (resume or overwrite):
        raise InputError(
            f"{run.path}: the run has a trained ensemble; choose another name=..., or "
            "replace it with --overwrite."
        )
    for one in (run, *map(Run, sorted(run.path.glob("members/*")))):
        check_names(one.path, run_names(stages))
        _check_begun(one, stages, resume or overwrite)


def _check_run(run: Run, stages: Sequence[str], resume: bool, overwrite: bool) -> None:
    check_names(run.path, run_names(stages))
    _check_begun(run, stages, resume or overwrite)
    if "autoencoder" not in stages and not run.autoencoder.is_file():
        raise InputError(
            f"{run.autoencoder}: the emulator needs a trained autoencoder; "
            f"run `astrokeras train autoencoder name={run.name}` first."
        )
    begun = any(_is_begun(run, stage) for stage in stages)
    # Killed in its first epoch, a run has its configuration alone.
    begun |= run.config.is_file() and "autoencoder" in stages
    if resume and not begun:
        raise InputError(
            f"{run.path}: there is nothing to resume; start without --resume."
        )


def _check_begun(run: Run, stages: Sequence[str], allowed: bool) -> None:
    for stage in stages:
        if _is_begun(run, stage) and not allowed:
            raise InputError(
                f"{run.path}: the run has a trained or interrupted {stage}; choose "
                "another name=..., or --resume it, or replace it with --overwrite."
            )


def _is_begun(run: Run, stage: str) -> bool:
    made = {"autoencoder": run.autoencoder, "emulator": run.surrogate}
    return made[stage].is_file() or run.checkpoint(stage).is_dir()


def _begin(run: Run, config: Config, stages: Sequence[str], resume: bool) -> None:
    """Make the folder ready: what the stages make anew, and what was made of it, goes.

    What astrokeras did not write stays where it is, or was refused.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    names = run_names(stages)
    if not resume:
        # Those of the autoencoder stay with it, as does the former configuration
        # until the new one is written.
        kept = () if "autoencoder" in stages else KEPT_WITH_AUTOENCODER
        names_aside = [name for name in names if name not in kept]
        set_aside(run.path, ["figures/*.png", *names_aside])
    claim(run.path, "run", [name for name in names if name not in EVALUATION])
    if not (resume and run.config.is_file()):
        _write_config(run, config)


def _write_config(run: Run, config: Config) -> None:
    from omegaconf import OmegaConf

    write_text(run.config, OmegaConf.to_yaml(OmegaConf.structured(config)))
