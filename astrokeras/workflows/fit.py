"""One fit of one stage: compile, callbacks, and the way back after an interruption."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from astrokeras.callbacks import (
    AnnealOnPlateau,
    Checkpoint,
    HistoryWriter,
    StopOnNonFinite,
    TensorBoardScalars,
)
from astrokeras.config import FitConfig
from astrokeras.data.batches import EpochNumber, batches
from astrokeras.data.resident import is_resident
from astrokeras.distribution import Cluster
from astrokeras.optimizers import SteadyMuon
from astrokeras.workflows.epochs import EpochBar
from astrokeras.workflows.progress import report
from astrokeras.workflows.runs import Run

MONITOR = "val_dex"


def fit(
    model: keras.Model,
    training: Any,
    validation: Any,
    loss: keras.losses.Loss,
    metric: Callable[[], keras.metrics.Metric],
    settings: FitConfig,
    annealed: Sequence[str],
    run: Run,
    stage: str,
    facts: dict[str, Any],
    resume: bool,
    cluster: Cluster,
) -> None:
    """Fit a model and leave it with the weights of its best validation.

    Args:
        model: Built, not compiled.
        training: Sampler of the training batches.
        validation: Sampler of the validation batches.
        loss: The loss.
        metric: Makes the metric called `dex`, watched as `val_dex`.
        settings: Optimiser and schedules.
        annealed: Names of the layers whose `strength` is lowered on stagnation.
        run: Where checkpoints, history and TensorBoard files go.
        stage: Name of the stage.
        facts: What a checkpoint must agree with to be resumed.
        resume: Whether to go on from the checkpoint, if the stage has one.
        cluster: The devices. Only the process that leads writes, and only its model is
            left with the best weights.
    """
    with cluster.spread(model) as spread:
        compile_model(spread, loss, metric(), settings, cluster)
        layers = [getattr(spread, name) for name in annealed]
        schedules = _schedules(settings, layers)
        checkpoint = Checkpoint(
            run.checkpoint(stage), MONITOR, schedules, facts, cluster.leads
        )
        kept, shown = [*schedules, checkpoint], []
        if cluster.leads:
            kept.append(HistoryWriter(run.path, stage, checkpoint))
            shown = [
                TensorBoardScalars(run.tensorboard / stage, layers),
                EpochBar(stage, settings.epochs, MONITOR),
            ]
        try:
            _fit_epochs(
                spread,
                training,
                validation,
                settings,
                checkpoint,
                [*kept, *shown],
                stage,
                resume,
            )
        finally:
            for open_one in (*shown, training, validation):
                open_one.close()
    cluster.meet(f"epoch {len(checkpoint.history)}, the last of the {stage}")
    who = "" if cluster.leads else f"Rank {cluster.share.rank}: "
    report(f"{who}Best {MONITOR} of the {stage}: {checkpoint.best:.4f} dex.")
    if cluster.leads:
        checkpoint.restore_best(model)


def _fit_epochs(
    model: keras.Model,
    training: Any,
    validation: Any,
    settings: FitConfig,
    checkpoint: Checkpoint,
    callbacks: Sequence[Any],
    stage: str,
    resume: bool,
) -> None:
    """Fit a compiled model from its checkpoint, if it is resumed, to the last epoch."""
    first = 0
    if resume and checkpoint.state_path.is_file():
        first = checkpoint.restore(model)
        report(f"Resuming the {stage} after epoch {first} of {settings.epochs}.")
    if first >= settings.epochs or checkpoint.waited(settings.patience):
        return
    epoch = EpochNumber(first)
    resident = is_resident(settings.resident, (training, validation))
    try:
        model.fit(
            # Each lasts an epoch, so that no call of several steps runs past it.
            batches(training, epoch, resident),
            validation_data=batches(validation, resident=resident),
            epochs=settings.epochs,
            initial_epoch=first,
            shuffle=False,
            verbose=0,
            callbacks=[epoch, StopOnNonFinite(), *callbacks],
        )
    except KeyboardInterrupt:
        done = len(checkpoint.history)
        report(
            f"Interrupted after epoch {done} of the {stage}; "
            + (
                "the same command with --resume goes on from there."
                if done
                else "nothing of this stage is kept."
            )
        )
        raise


def compile_model(
    model: keras.Model,
    loss: keras.losses.Loss,
    metric: keras.metrics.Metric,
    settings: FitConfig,
    cluster: Cluster | None = None,
) -> None:
    """Compile a model with the optimiser that a stage's settings ask for."""
    optimizer = _optimizer(settings)
    model.compile(
        cluster.whole_gradients(optimizer) if cluster else optimizer,
        loss=loss,
        weighted_metrics=[metric],
        steps_per_execution=settings.steps_per_execution,
    )


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
