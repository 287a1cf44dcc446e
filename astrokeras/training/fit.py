"""One fit of one stage: compile, callbacks, and the way back after an interruption."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from astrokeras.callbacks import (
    AnnealOnPlateau,
    Checkpoint,
    HistoryWriter,
    StopOnNonFinite,
)
from astrokeras.config import Config, FitConfig
from astrokeras.data.pipeline.datasets import batches
from astrokeras.data.pipeline.device_dataset import fits_on_device
from astrokeras.data.pipeline.sampler_dataset import EpochNumber
from astrokeras.data.pipeline.samplers import Sampler
from astrokeras.errors import WorkError
from astrokeras.metrics import Dex
from astrokeras.monitoring.callback import Board
from astrokeras.monitoring.example_tracers import Sample
from astrokeras.monitoring.hparams import write_hparams
from astrokeras.monitoring.profiler import Profile
from astrokeras.monitoring.progress_bar import EpochBar
from astrokeras.optimizers import SteadyMuon
from astrokeras.runs.directory import Run
from astrokeras.system.progress import report
from astrokeras.training.distribution import ProcessGroup

MONITOR = "val_dex"


def fit(
    model: keras.Model,
    training: Sampler,
    validation: Sampler,
    watched: Sampler,
    loss: keras.losses.Loss,
    metric: Callable[[], Dex],
    config: Config,
    annealed: Sequence[str],
    run: Run,
    stage: str,
    facts: dict[str, Any],
    resume: bool,
    group: ProcessGroup,
) -> None:
    """Fit a model and leave it with the weights of its best validation.

    Args:
        model: Built, not compiled.
        training: Sampler of the training batches.
        validation: Sampler of the validation batches.
        watched: Sampler whose first batch is the validation tracers to look at closely.
        loss: The loss.
        metric: Makes the metric called `dex`, watched as `val_dex`.
        config: Configuration: `fit` of the stage has the optimiser and the schedules,
            `board` says what is written for TensorBoard.
        annealed: Names of the layers whose `strength` is lowered on stagnation.
        run: Where checkpoints, history and TensorBoard files go.
        stage: Name of the stage.
        facts: What a checkpoint must agree with to be resumed.
        resume: Whether to go on from the checkpoint, if the stage has one.
        group: The processes and devices. Only the chief writes, and only its model is
            left with the best weights.
    """
    settings, board = getattr(config, stage).fit, config.board
    for sampler in (training, validation):
        sampler.shard(group.rank, group.world_size, group.devices)
    folder = run.tensorboard / stage
    opened: list[Any] = [training, validation, watched]
    with group.replicate(model) as copy:
        measured = metric()
        compile_model(copy, loss, measured, settings, group)
        layers = [getattr(copy, name) for name in annealed]
        schedules = _schedules(settings, layers)
        checkpoint = Checkpoint(
            run.checkpoint(stage), MONITOR, schedules, facts, group.is_chief
        )
        history = HistoryWriter(run.path, stage, checkpoint)
        first = 0
        if resume and checkpoint.state_path.is_file():
            first = checkpoint.restore(copy)
            if group.is_chief:
                history.write()  # it may lack the last epoch, which the checkpoint has
            report(f"Resuming the {stage} after epoch {first} of {settings.epochs}.")
        elif resume:
            report(f"The {stage} begins with epoch 1: none was finished before.")
        callbacks = [*schedules, checkpoint]
        if group.is_chief:
            # All devices would have to look at the sample together.
            every = 0 if group.strategy else board.every
            sample = Sample.of(watched)
            seen = Board(folder, loss, measured, layers, sample, every, first)
            shown: list[Any] = [EpochBar(stage, settings.epochs, MONITOR)]
            if board.profile:
                # Not otherwise: a callback that looks at batches makes JAX wait for
                # each.
                shown.append(Profile(folder, board.profile))
            opened += [seen, *shown]
            callbacks = [seen, *callbacks, history, *shown]
        try:
            if first < settings.epochs and not checkpoint.waited(settings.patience):
                _fit_epochs(copy, training, validation, settings, first, callbacks)
        except KeyboardInterrupt:
            _report_interruption(len(checkpoint.history), stage)
            raise
        except WorkError:
            if group.is_chief:
                _write_session(folder, facts, checkpoint, failed=True)
            raise
        finally:
            for one in opened:
                one.close()
    group.barrier(f"epoch {len(checkpoint.history)}, the last of the {stage}")
    who = "" if group.is_chief else f"Rank {group.rank}: "
    report(f"{who}Best {MONITOR} of the {stage}: {checkpoint.best:.4f} dex.")
    if group.is_chief:
        _write_session(folder, facts, checkpoint)
        checkpoint.restore_best(model)


def _fit_epochs(
    model: keras.Model,
    training: Sampler,
    validation: Sampler,
    settings: FitConfig,
    first: int,
    callbacks: Sequence[Any],
) -> None:
    """Fit a compiled model from an epoch on to the last."""
    epoch = EpochNumber(first)
    device_cache = fits_on_device(settings.device_cache, (training, validation))
    model.fit(
        # Each lasts an epoch, so that no call of several steps runs past it.
        batches(training, epoch, device_cache),
        validation_data=batches(validation, device_cache=device_cache),
        epochs=settings.epochs,
        initial_epoch=first,
        shuffle=False,
        verbose=0,
        callbacks=[epoch, StopOnNonFinite(), *callbacks],
    )


def _report_interruption(done: int, stage: str) -> None:
    kept = "--resume goes on from there."
    lost = "nothing of this stage is kept."
    report(f"Interrupted after epoch {done} of the {stage}; {kept if done else lost}")


def compile_model(
    model: keras.Model,
    loss: keras.losses.Loss,
    metric: keras.metrics.Metric,
    settings: FitConfig,
    group: ProcessGroup | None = None,
) -> None:
    """Compile a model with the optimiser that a stage's settings ask for."""
    optimizer = _optimizer(settings)
    model.compile(
        group.sum_before_clipping(optimizer) if group else optimizer,
        loss=loss,
        weighted_metrics=[metric],
        steps_per_execution=settings.steps_per_execution,
    )
    # Else TensorFlow meets its variables in the first step, and traces it again.
    model.optimizer.build(model.trainable_variables)


def _write_session(
    folder: Path, facts: dict[str, Any], checkpoint: Checkpoint, failed: bool = False
) -> None:
    """Write what the training depends on, but for its data, and how it ended."""
    common = {key: facts[key] for key in ("seed", "precision")}
    values = common | {"backend": keras.config.backend()} | _flat(facts["settings"])
    figures: dict[str, float] = {"hparams/epochs": len(checkpoint.history)}
    if math.isfinite(checkpoint.best):
        figures[f"hparams/best_{MONITOR}"] = checkpoint.best
    write_hparams(folder, values, figures, failed)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their whole name, such as `fit.learning_rate`."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        values |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return values


def _optimizer(settings: FitConfig) -> keras.optimizers.Optimizer:
    """Return Muon for the kernels, Adam for the rest; or AdamW for all."""
    common = {
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "global_clipnorm": settings.clip_norm,
    }
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(**common)
    return SteadyMuon(adam_weight_decay=settings.weight_decay, **common)


def _schedules(
    settings: FitConfig, annealed: Sequence[Any]
) -> list[keras.callbacks.Callback]:
    schedules: list[keras.callbacks.Callback] = [
        keras.callbacks.EarlyStopping(MONITOR, mode="min", patience=settings.patience),
        AnnealOnPlateau(
            annealed, MONITOR, settings.anneal_factor, settings.anneal_patience
        ),
    ]
    if settings.schedule == "cosine":
        schedules.append(keras.callbacks.LearningRateScheduler(_cosine(settings)))
    else:
        schedules.append(
            keras.callbacks.ReduceLROnPlateau(
                MONITOR,
                mode="min",
                factor=settings.lr_factor,
                patience=settings.lr_patience,
                min_lr=settings.minimum_learning_rate,
            )
        )
    return schedules


def _cosine(settings: FitConfig) -> Callable[[int], float]:
    """Return the learning rate of an epoch: half a cosine from first to smallest."""

    def rate(epoch: int) -> float:
        share = epoch / max(1, settings.epochs - 1)
        low, high = settings.minimum_learning_rate, settings.learning_rate
        return low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))

    return rate
