"""The two stages of a training: the autoencoder, then the emulator and surrogate."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from astrokeras.config import Config
from astrokeras.data.pipeline.samplers import RowSampler
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.pipeline.validation_samplers import RolloutSampler, StateSampler
from astrokeras.data.tracers.hdf5_sandbox import mark_verified
from astrokeras.models.emulator import AnyAutoencoder, Emulator, copy_model
from astrokeras.models.surrogate import Surrogate
from astrokeras.monitoring.example_tracers import WATCHED
from astrokeras.runs.directory import Run
from astrokeras.runs.loading import load, load_autoencoder
from astrokeras.runs.model_file_check import WEIGHTS
from astrokeras.runs.provenance import resume_signature
from astrokeras.runs.surrogate_reference import find_surrogate_reference
from astrokeras.system.atomic_files import hash_file, written_beside
from astrokeras.system.progress import report
from astrokeras.training.builders import (
    make_autoencoder,
    make_emulator,
    make_loss,
    make_metric,
    make_surrogate,
    make_window_sampler,
)
from astrokeras.training.calibration import calibrate
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.finetuned_models import (
    LEAST_SIMULATIONS,
    adopt_scales,
    begin_emulator,
    count_held_out,
    make_finetuned,
    widen_bounds,
)
from astrokeras.training.fit import StageTraining, fit

LATENT_SAMPLE = 65536  # states from which the spread of the latents is measured
VALIDATION_BATCH = 24  # whole tracers per batch of the emulator's validation


def train_autoencoder(
    config: Config, cache: Cache, run: Run, resume: bool, group: ProcessGroup
) -> None:
    """Train the autoencoder and write `autoencoder.keras`."""
    settings = config.autoencoder
    model = make_autoencoder(config, cache)
    training = StageTraining(
        "autoencoder",
        model,
        RowSampler(cache, settings.fit.batch_size, config.seed),
        StateSampler(cache, 14),
        StateSampler(cache, WATCHED),
        loss=make_loss(settings.loss, cache),
        metric=partial(make_metric, cache),
        annealed=("drop", "latent_noise"),
        signature=_signature("autoencoder", config, cache),
    )
    fit(training, config, run, resume, group)
    if group.is_chief:
        _save(copy_model(model), run.autoencoder)


def train_emulator(
    config: Config, cache: Cache, run: Run, resume: bool, group: ProcessGroup
) -> Surrogate | None:
    """Train the emulator with the run's autoencoder and write `surrogate.keras`.

    With `config.from_`, the emulator and the autoencoder of that surrogate go on from
    their weights.

    Returns:
        The surrogate in the process that writes the run, else `None`.
    """
    settings = config.emulator
    former = _former(config)
    if former is not None:
        cache = adopt_scales(cache, former)
        model = begin_emulator(former, config, cache)
        begin = {"from": find_surrogate_reference(config.from_).sha256()}
    else:
        autoencoder = copy_model(load_autoencoder(run.autoencoder), config.precision)
        model = make_emulator(config, cache, autoencoder)
        model.latent_scaler.set_scales(*_latent_scales(autoencoder, cache, config.seed))
        begin = {"autoencoder": hash_file(run.autoencoder)}
    sampler = make_window_sampler(config, cache)
    if sampler.left_out and group.is_chief:
        report(
            f"Left out {sampler.left_out} training tracers that are shorter than the "
            f"shortest window of {sampler.windows[0]} steps."
        )
    training = StageTraining(
        "emulator",
        model,
        sampler,
        RolloutSampler(cache, VALIDATION_BATCH, settings.use_timestep),
        RolloutSampler(cache, WATCHED, settings.use_timestep),
        loss=make_loss(settings.loss, cache),
        metric=partial(make_metric, cache),
        annealed=(),
        signature=_signature("emulator", config, cache) | begin,
    )
    fit(training, config, run, resume, group)
    if not group.is_chief:
        return None
    bounds = _latent_bounds(model, cache, config.seed)
    if former is not None:
        emulator = copy_model(model, bounds=widen_bounds(bounds, former))
        surrogate = make_finetuned(former, emulator, cache, sampler.reach)
    else:
        emulator = copy_model(model, bounds=bounds)
        surrogate = make_surrogate(emulator, cache, settings, sampler.reach)
    _save(surrogate, run.surrogate)
    return surrogate


def calibrate_surrogate(
    config: Config, source: Path, run: Run, surrogate: Surrogate | None = None
) -> None:
    """Add error bars and expected errors to `surrogate.keras`, unless it has them.

    Args:
        config: Configuration of the training.
        source: The tracer file of the training.
        run: The run.
        surrogate: The run's surrogate if it has just been trained, else it is loaded.
    """
    surrogate = surrogate or load(run.surrogate)
    surrogate.trainable = False
    if surrogate.trust is None:
        former = _former(config)
        if former is not None and former.trust is not None:
            count = count_held_out(source, config.calibration)
            if count < LEAST_SIMULATIONS:
                report(
                    f"{count} simulations are held out, fewer than {LEAST_SIMULATIONS}:"
                    " expected errors and error bars stay those of the surrogate that "
                    "was fine-tuned, and gas unlike its own stays not reliable."
                )
                _save(surrogate.replace(trust=former.trust), run.surrogate)
                return
        calibrated = calibrate(surrogate, source, config)
        if calibrated is not None:
            _save(calibrated, run.surrogate)


def _former(config: Config) -> Surrogate | None:
    """Return the surrogate that is fine-tuned, if any."""
    return None if config.from_ is None else load(config.from_)


def _signature(stage: str, config: Config, cache: Cache) -> dict[str, Any]:
    """Return the data and settings that must be the same when a stage is resumed."""
    return {
        "data": cache.source_hash,
        "floor": cache.floor,
        "seed": config.seed,
        "precision": config.precision,
        "settings": resume_signature(getattr(config, stage)),
    }


def _latent_scales(
    autoencoder: AnyAutoencoder, cache: Cache, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and spread of each latent over training states.

    The spread is the standard deviation of a normal distribution with the same 5th and
    95th percentiles, on which outliers have no influence.
    """
    latents = _encode_sample(autoencoder, cache, seed)
    low, centre, high = np.percentile(latents, [5, 50, 95], axis=0)
    spread = (high - low) / 3.29  # 3.29 standard deviations of a normal distribution
    return centre, np.where(spread > 1e-6, spread, 1.0)


def _latent_bounds(emulator: Emulator, cache: Cache, seed: int) -> np.ndarray:
    """Return the range of each latent over training states, widened to twice it."""
    latents = _encode_sample(emulator, cache, seed)
    low, high = latents.min(0), latents.max(0)
    return np.stack([low - (high - low) / 2, high + (high - low) / 2])


def _encode_sample(
    model: AnyAutoencoder | Emulator, cache: Cache, seed: int
) -> np.ndarray:
    """Return the latents of a random sample of training states, (n, L)."""
    sampler = RowSampler(cache, 4096, seed)
    batches = min(sampler.steps, max(1, LATENT_SAMPLE // sampler.batch_size))
    latents = np.concatenate(
        [
            keras.ops.convert_to_numpy(model.encode(sampler.batch(0, i)[0]))
            for i in range(batches)
        ]
    )
    sampler.close()
    return latents


def _save(model: keras.Model, path: Path) -> None:
    """Write a model file, which is either complete or absent."""
    with written_beside(path) as beside:
        model.save(beside)
    mark_verified(path, WEIGHTS, model.count_params())
