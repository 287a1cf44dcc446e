"""Training of one stage by Keras: optimiser, schedules, callbacks and resumption."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from astrokeras.callbacks import AnnealOnPlateau, StopOnNonFinite
from astrokeras.config import Config, FitConfig, dotted_keys
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
from astrokeras.training.checkpoint import Checkpoint, HistoryWriter
from astrokeras.training.distribution import ProcessGroup

MONITOR = "val_dex"


@dataclass(frozen=True)
class StageTraining:
    """Model, data and loss of one stage.

    Attributes:
        stage: Name of the stage.
        model: The model, built and not compiled.
        training: Sampler of the training batches.
        validation: Sampler of the validation batches.
        watched: Sampler whose first batch has the validation tracers for TensorBoard.
        loss: The loss.
        metric: Function that makes the metric `dex`, which is monitored as `val_dex`.
        annealed: Names of the layers whose `strength` is lowered when validation
            stagnates.
        signature: Data and settings that must be the same on resumption.
    """

    stage: str
    model: keras.Model
    training: Sampler
    validation: Sampler
    watched: Sampler
    loss: keras.losses.Loss
    metric: Callable[[], Dex]
    annealed: Sequence[str]
    signature: dict[str, Any]


def fit(
    work: StageTraining, config: Config, run: Run, resume: bool, group: ProcessGroup
) -> None:
    """Train the model of a stage and give it the weights of its best validation.

    Args:
        work: Model, data and loss.
        config: The configuration: `fit` of the stage for optimiser and schedules,
            `board` for TensorBoard.
        run: The run, for checkpoints, history and TensorBoard files.
        resume: Whether to resume from the checkpoint, if the stage has one.
        group: The processes and devices. Only the chief writes files, and only its
            model gets the best weights.
    """
    stage, settings, board = work.stage, getattr(config, work.stage).fit, config.board
    for sampler in (work.training, work.validation):
        sampler.shard(group.rank, group.world_size, group.devices)
    folder = run.tensorboard / stage
    closing: list[Any] = [work.training, work.validation, work.watched]
    with group.replicate(work.model) as model:
        metric = work.metric()
        compile_model(model, work.loss, metric, settings, group)
        layers = [getattr(model, name) for name in work.annealed]
        schedules = _schedules(settings, layers)
        checkpoint = Checkpoint(
            run.checkpoint(stage), MONITOR, schedules, work.signature, group.is_chief
        )
        history = HistoryWriter(run.path, stage, checkpoint)
        first = 0
        if resume and checkpoint.state_path.is_file():
            first = checkpoint.restore(model)
            if group.is_chief:
                history.write()  # It may lack the last epoch of the checkpoint.
            report(f"Resuming the {stage} after epoch {first} of {settings.epochs}.")
        elif resume:
            report(f"The {stage} starts with epoch 1, as it has no finished epoch.")
        callbacks = [*schedules, checkpoint]
        if group.is_chief:
            # The predictions for TensorBoard would have to run on all devices together.
            every = 0 if group.strategy else board.every
            sample = Sample.of(work.watched)
            writer = Board(folder, work.loss, metric, layers, sample, every, first)
            shown: list[Any] = [EpochBar(stage, settings.epochs, MONITOR)]
            if board.profile:
                # A callback for batches makes JAX wait for each batch, so there is none
                # without a profile.
                shown.append(Profile(folder, board.profile))
            closing += [writer, *shown]
            callbacks = [writer, *callbacks, history, *shown]
        try:
            stopped = checkpoint.stopped_early(settings.patience)
            if first < settings.epochs and not stopped:
                _fit_epochs(model, work, settings, first, callbacks)
        except KeyboardInterrupt:
            _report_interruption(len(checkpoint.history), stage)
            raise
        except WorkError:
            if group.is_chief:
                _write_session(folder, work.signature, checkpoint, failed=True)
            raise
        finally:
            for resource in closing:
                resource.close()
    group.barrier(f"epoch {len(checkpoint.history)}, the last of the {stage}")
    prefix = "" if group.is_chief else f"Rank {group.rank}: "
    report(f"{prefix}Best {MONITOR} of the {stage}: {checkpoint.best:.4f} dex.")
    if group.is_chief:
        _write_session(folder, work.signature, checkpoint)
        checkpoint.restore_best(work.model)


def _fit_epochs(
    model: keras.Model,
    work: StageTraining,
    settings: FitConfig,
    first: int,
    callbacks: Sequence[Any],
) -> None:
    """Fit a compiled model in the epochs from `first` to the last."""
    epoch = EpochNumber(first)
    samplers = work.training, work.validation
    device_cache = fits_on_device(settings.device_cache, samplers)
    model.fit(
        # The dataset lasts one epoch, so that no call of several steps runs past it.
        batches(work.training, epoch, device_cache),
        validation_data=batches(work.validation, device_cache=device_cache),
        epochs=settings.epochs,
        initial_epoch=first,
        shuffle=False,
        verbose=0,
        callbacks=[epoch, StopOnNonFinite(), *callbacks],
    )


def _report_interruption(done: int, stage: str) -> None:
    """Report after which epoch a stage was interrupted, and whether it can resume."""
    outlook = "--resume continues from there" if done else "there is no checkpoint yet"
    report(f"Interrupted after epoch {done} of the {stage}; {outlook}.")


def compile_model(
    model: keras.Model,
    loss: keras.losses.Loss,
    metric: keras.metrics.Metric,
    settings: FitConfig,
    group: ProcessGroup | None = None,
) -> None:
    """Compile a model with the optimiser of a stage's settings."""
    optimizer = _optimizer(settings)
    model.compile(
        group.sum_before_clipping(optimizer) if group else optimizer,
        loss=loss,
        weighted_metrics=[metric],
        steps_per_execution=settings.steps_per_execution,
    )
    # Otherwise TensorFlow creates its variables in the first step, and traces it again.
    model.optimizer.build(model.trainable_variables)


def _write_session(
    folder: Path,
    signature: dict[str, Any],
    checkpoint: Checkpoint,
    failed: bool = False,
) -> None:
    """Write the settings and the result of a training for TensorBoard's HParams."""
    values = {key: signature[key] for key in ("seed", "precision")}
    values |= {"backend": keras.config.backend()} | dotted_keys(signature["settings"])
    results: dict[str, float] = {"hparams/epochs": len(checkpoint.history)}
    if math.isfinite(checkpoint.best):
        results[f"hparams/best_{MONITOR}"] = checkpoint.best
    write_hparams(folder, values, results, failed)


def _optimizer(settings: FitConfig) -> keras.optimizers.Optimizer:
    """Return the optimiser: Muon (Adam for variables other than kernels) or AdamW."""
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
    """Return the callbacks that stop training, anneal noise and set learning rates."""
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
    """Return the function that gives the learning rate of an epoch, half a cosine."""

    def rate(epoch: int) -> float:
        share = epoch / max(1, settings.epochs - 1)
        low, high = settings.minimum_learning_rate, settings.learning_rate
        return low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))

    return rate
