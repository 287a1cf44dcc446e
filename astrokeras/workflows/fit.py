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
)
from astrokeras.config import BoardConfig, FitConfig
from astrokeras.data.batches import EpochNumber, batches
from astrokeras.data.resident import is_resident
from astrokeras.data.sampling import Sampler
from astrokeras.errors import WorkError
from astrokeras.metrics import Dex
from astrokeras.optimizers import SteadyMuon
from astrokeras.workflows.epochs import EpochBar
from astrokeras.workflows.hparams import write_hparams
from astrokeras.workflows.profile import Profile
from astrokeras.workflows.progress import report
from astrokeras.workflows.runs import Run
from astrokeras.workflows.sample import Sample
from astrokeras.workflows.tensorboard import Board

MONITOR = "val_dex"


def fit(
    model: keras.Model,
    training: Sampler,
    validation: Sampler,
    watched: Sampler,
    loss: keras.losses.Loss,
    metric: Dex,
    settings: FitConfig,
    board: BoardConfig,
    annealed: Sequence[Any],
    run: Run,
    stage: str,
    facts: dict[str, Any],
    resume: bool,
) -> None:
    """Fit a model and leave it with the weights of its best validation.

    Args:
        model: Built, not compiled.
        training: Sampler of the training batches.
        validation: Sampler of the validation batches.
        watched: Sampler whose first batch is the validation tracers to look at closely.
        loss: The loss.
        metric: The metric called `dex`, watched as `val_dex`.
        settings: Optimiser and schedules.
        board: What is written for TensorBoard.
        annealed: Layers whose `strength` is lowered on stagnation.
        run: Where checkpoints, history and TensorBoard files go.
        stage: Name of the stage.
        facts: What a checkpoint must agree with to be resumed.
        resume: Whether to go on from the checkpoint, if the stage has one.
    """
    compile_model(model, loss, metric, settings)
    schedules = _schedules(settings, annealed)
    checkpoint = Checkpoint(run.checkpoint(stage), MONITOR, schedules, facts)
    history = HistoryWriter(run.path, stage, checkpoint)
    first = 0
    if resume and checkpoint.state_path.is_file():
        first = checkpoint.restore(model)
        history.write()  # it may lack the last epoch, which the checkpoint has
        report(f"Resuming the {stage} after epoch {first} of {settings.epochs}.")
    elif resume:
        report(f"The {stage} begins with epoch 1: none was finished before.")
    folder = run.tensorboard / stage
    seen = Board(folder, loss, metric, annealed, Sample.of(watched), board.every, first)
    shown: list[Any] = [EpochBar(stage, settings.epochs, MONITOR)]
    if board.profile:
        # Not otherwise: a callback that looks at batches makes JAX wait for each.
        shown.append(Profile(folder, board.profile))
    try:
        if first < settings.epochs and not checkpoint.waited(settings.patience):
            epoch = EpochNumber(first)
            resident = is_resident(settings.resident, (training, validation))
            model.fit(
                # Each lasts an epoch, so that no call of several steps runs past it.
                batches(training, epoch, resident),
                validation_data=batches(validation, resident=resident),
                epochs=settings.epochs,
                initial_epoch=first,
                shuffle=False,
                verbose=0,
                callbacks=[
                    epoch,
                    StopOnNonFinite(),
                    seen,
                    *schedules,
                    checkpoint,
                    history,
                    *shown,
                ],
            )
    except KeyboardInterrupt:
        done = len(checkpoint.history)
        report(
            f"Interrupted after epoch {done} of the {stage}; "
            + (
                "--resume goes on from there."
                if done
                else "nothing of this stage is kept."
            )
        )
        raise
    except WorkError:
        write_hparams(folder, _hparams(facts), {}, failed=True)
        raise
    finally:
        for open_one in (seen, *shown, training, validation):
            open_one.close()
    best = {f"best_{MONITOR}": checkpoint.best, "epochs": len(checkpoint.history)}
    write_hparams(folder, _hparams(facts), best)
    checkpoint.restore_best(model)
    report(f"Best {MONITOR} of the {stage}: {checkpoint.best:.4f} dex.")


def compile_model(
    model: keras.Model,
    loss: keras.losses.Loss,
    metric: keras.metrics.Metric,
    settings: FitConfig,
) -> None:
    """Compile a model with the optimiser that a stage's settings ask for."""
    model.compile(
        _optimizer(settings),
        loss=loss,
        weighted_metrics=[metric],
        steps_per_execution=settings.steps_per_execution,
    )


def _hparams(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a training depends on but for its data, names joined by dots."""

    def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in settings.items():
            inside = isinstance(value, dict)
            values |= flat(value, f"{key}.") if inside else {f"{prefix}{key}": value}
        return values

    common = {key: facts[key] for key in ("seed", "precision")}
    return flat(facts["settings"]) | common | {"backend": keras.config.backend()}


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
