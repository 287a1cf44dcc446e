"""The two stages of a training, each from a cache and a configuration to a file."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import AutoencoderConfig, Config, EmulatorConfig, LossConfig
from astrokeras.data.pipeline.samplers import RowSampler
from astrokeras.data.pipeline.training_cache import Cache, hash_file
from astrokeras.data.pipeline.validation_samplers import RolloutSampler, StateSampler
from astrokeras.data.pipeline.window_sampler import WindowSampler
from astrokeras.data.tracers.abundance_scaling import decades
from astrokeras.data.tracers.hdf5_sandbox import mark_verified
from astrokeras.losses import DexLoss, ReferenceLoss
from astrokeras.metrics import Dex
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.emulator import AnyAutoencoder, Emulator
from astrokeras.models.ensemble import Ensemble
from astrokeras.models.model_copy import copy_model
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.surrogate import Surrogate
from astrokeras.monitoring.example_tracers import WATCHED
from astrokeras.runs.directory import Run
from astrokeras.runs.loading import load, load_autoencoder
from astrokeras.runs.model_file_check import WEIGHTS
from astrokeras.runs.provenance import resume_signature
from astrokeras.system.atomic_files import written_beside
from astrokeras.system.progress import report
from astrokeras.training.calibration import calibrate
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.fit import fit

# States from which the spread of the latents is measured.
LATENT_SAMPLE = 65536
# Whole tracers a batch of the emulator's validation, about what a small file has.
VALIDATED = 24


def train_autoencoder(
    config: Config, cache: Cache, run: Run, resume: bool, group: ProcessGroup
) -> None:
    """Train the autoencoder and write `autoencoder.keras`."""
    settings = config.autoencoder
    model = make_autoencoder(config, cache)
    fit(
        model,
        RowSampler(cache, settings.fit.batch_size, config.seed),
        StateSampler(cache, 14),
        StateSampler(cache, WATCHED),
        loss=make_loss(settings.loss, cache),
        metric=partial(make_metric, cache),
        config=config,
        annealed=("drop", "latent_noise"),
        run=run,
        stage="autoencoder",
        facts=_facts(config, cache, resume_signature(settings)),
        resume=resume,
        group=group,
    )
    if group.is_chief:
        _save(copy_model(model), run.autoencoder)


def train_emulator(
    config: Config, cache: Cache, run: Run, resume: bool, group: ProcessGroup
) -> None:
    """Train the emulator through the run's autoencoder and write `surrogate.keras`."""
    settings = config.emulator
    saved = load_autoencoder(run.autoencoder)
    autoencoder = copy_model(saved, config.precision)
    model = make_emulator(config, cache, autoencoder)
    model.latent_scaler.set_scales(*_latent_scales(autoencoder, cache, config.seed))
    sampler = make_window_sampler(config, cache)
    if sampler.left_out and group.is_chief:
        report(
            f"Left out {sampler.left_out} training tracers, shorter than the shortest "
            f"window of {sampler.windows[0]} steps."
        )
    fit(
        model,
        sampler,
        RolloutSampler(cache, VALIDATED, settings.use_timestep),
        RolloutSampler(cache, WATCHED, settings.use_timestep),
        loss=make_loss(settings.loss, cache),
        metric=partial(make_metric, cache),
        config=config,
        annealed=(),
        run=run,
        stage="emulator",
        facts=_facts(config, cache, resume_signature(settings))
        | {"autoencoder": hash_file(run.autoencoder)},
        resume=resume,
        group=group,
    )
    if not group.is_chief:
        return
    bounds = _latent_bounds(model, cache, config.seed)
    surrogate = make_surrogate(
        copy_model(model, bounds=bounds), cache, settings, sampler.reach
    )
    _save(surrogate, run.surrogate)


def combine(members: Sequence[Run], run: Run) -> None:
    """Write the `surrogate.keras` of an ensemble of trained members."""
    surrogates = [load(member.surrogate) for member in members]
    ensemble = Ensemble([one.emulator for one in surrogates], name="ensemble")
    _save(surrogates[0].replace(emulator=ensemble, trust=None), run.surrogate)


def calibrate_surrogate(config: Config, source: Path, run: Run) -> None:
    """Give the run's `surrogate.keras` error bars and trust, unless it has them."""
    surrogate = load(run.surrogate)
    if surrogate.trust is None:
        calibrated = calibrate(surrogate, source, config)
        if calibrated is not None:
            _save(calibrated, run.surrogate)


def make_autoencoder(config: Config, cache: Cache) -> AnyAutoencoder:
    """Return the untrained autoencoder, its scales those of the training data."""
    settings = config.autoencoder
    keras.utils.set_random_seed(config.seed)
    model = _autoencoder(settings)(
        len(cache.species),
        settings.widths,
        settings.latents,
        activation=settings.activation,
        noise=settings.noise,
        dropout=settings.dropout,
        seed=config.seed,
        precision=config.precision,
        name="autoencoder",
    )
    model.build()
    if settings.standardise:
        statistics = cache.statistics
        model.species_scaler.set_scales(
            statistics.species_mean, statistics.species_spread
        )
    return model


def _autoencoder(settings: AutoencoderConfig) -> Callable[..., AnyAutoencoder]:
    if settings.kind == "projection":
        return ProjectionAutoencoder
    return partial(
        Autoencoder,
        latent_activation=settings.latent_activation,
        normalise=settings.normalise,
        output=settings.output,
        momentum=settings.momentum,
    )


def make_emulator(
    config: Config, cache: Cache, autoencoder: AnyAutoencoder
) -> Emulator:
    """Return the untrained emulator of an autoencoder."""
    settings = config.emulator
    statistics = cache.statistics
    rates = {
        "units": cache.units,
        "offset": statistics.offset,
        "scale": statistics.scale,
    }
    keras.utils.set_random_seed(config.seed)
    model = Emulator(
        autoencoder,
        len(cache.parameters),
        settings.hidden,
        activation=settings.activation,
        finetune_autoencoder=settings.finetune_autoencoder,
        use_timestep=settings.use_timestep,
        relaxing=settings.relaxing,
        rates=rates if settings.rates else None,
        precision=config.precision,
        name="emulator",
    )
    model.build()
    return model


def make_window_sampler(config: Config, cache: Cache) -> WindowSampler:
    """Return the sampler of the emulator's training batches."""
    settings = config.emulator
    return WindowSampler(
        cache,
        settings.fit.batch_size,
        settings.window,
        config.seed,
        from_start=settings.from_start,
        states_per_window=settings.states_per_window,
        reconstruction=settings.reconstruction,
        use_timestep=settings.use_timestep,
        stride=settings.stride,
        native_step_fraction=settings.native_step_fraction,
    )


def _facts(config: Config, cache: Cache, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same when a training is resumed."""
    return {
        "data": cache.source_hash,
        "floor": cache.floor,
        "seed": config.seed,
        "precision": config.precision,
        "settings": settings,
    }


def make_loss(settings: LossConfig, cache: Cache) -> keras.losses.Loss:
    """Return the loss that a stage is configured with."""
    matrix, _ = stoichiometric_matrix(cache.species, cache.elements)
    span = decades(cache.floor)
    if settings.kind == "reference":
        return ReferenceLoss(matrix, span, conservation=settings.conservation)
    return DexLoss(
        matrix,
        span,
        width=settings.width,
        tail=settings.tail,
        conservation=settings.conservation,
        censored=settings.censored,
    )


def make_metric(cache: Cache) -> Dex:
    """Return the metric that every stage is watched by."""
    return Dex(len(cache.species), decades(cache.floor), name="dex")


def _latent_scales(
    autoencoder: AnyAutoencoder, cache: Cache, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and spread of each latent on training states.

    The spread is that of a normal distribution with the same 5th and 95th percentile,
    so that no outlier sets the unit.
    """
    latents = _encode_sample(autoencoder, cache, seed)
    low, centre, high = np.percentile(latents, [5, 50, 95], axis=0)
    spread = (high - low) / 3.29
    return centre, np.where(spread > 1e-6, spread, 1.0)


def _latent_bounds(emulator: Emulator, cache: Cache, seed: int) -> np.ndarray:
    """Return the range of latents of training states and half its width around it."""
    latents = _encode_sample(emulator, cache, seed)
    low, high = latents.min(0), latents.max(0)
    return np.stack([low - (high - low) / 2, high + (high - low) / 2])


def _encode_sample(
    model: AnyAutoencoder | Emulator, cache: Cache, seed: int
) -> np.ndarray:
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


def make_surrogate(
    emulator: Emulator, cache: Cache, settings: EmulatorConfig, reach: int = 1
) -> Surrogate:
    """Return the surrogate of a trained emulator, with the limits of its training.

    Args:
        emulator: The trained emulator.
        cache: What it was trained on.
        settings: What rollouts keep of their state 0.
        reach: Steps of the file that an interval spanned at most.
    """
    statistics = cache.statistics
    shortest, longest = statistics.step
    matrix, elements = stoichiometric_matrix(cache.species, cache.elements)
    low, high = statistics.parameter_low, statistics.parameter_high
    surrogate = Surrogate(
        emulator,
        species=cache.species,
        parameters=cache.parameters,
        units=cache.units,
        elements=elements,
        stoichiometry=matrix,
        dt_range=(shortest, min(longest * reach, statistics.duration)),
        t_max=float(statistics.duration),
        parameter_ranges={
            name: (low[i], high[i]) for i, name in enumerate(cache.parameters)
        },
        species_ranges=np.stack([statistics.species_low, statistics.species_high]),
        initial_conditions=cache.initial_conditions,
        floor=cache.floor,
        fixed=cache.fixed,
        conserve=settings.conserve,
        residual_decay_length=settings.residual_decay_length,
        name="surrogate",
    )
    surrogate.build()
    surrogate.parameter_scaler.set_scales(statistics.offset, statistics.scale)
    return surrogate


def _save(model: keras.Model, path: Path) -> None:
    """Write a whole model file or none."""
    with written_beside(path) as beside:
        model.save(beside)
    mark_verified(path, WEIGHTS, model.count_params())
