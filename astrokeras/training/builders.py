"""Builders of models, losses, metrics and samplers from configuration and cache."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import AutoencoderConfig, Config, EmulatorConfig, LossConfig
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.pipeline.window_sampler import WindowSampler
from astrokeras.data.tracers.abundance_scaling import decades
from astrokeras.losses import DexLoss, ReferenceLoss
from astrokeras.metrics import Dex
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.emulator import AnyAutoencoder, Emulator
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.surrogate import Surrogate


def make_autoencoder(config: Config, cache: Cache) -> AnyAutoencoder:
    """Return the untrained autoencoder, with the scales of the training data."""
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
    """Return the untrained emulator with a given autoencoder."""
    settings = config.emulator
    statistics = cache.statistics
    rates = {
        "units": cache.units,
        "offset": statistics.offset,
        "scale": statistics.scale,
    }
    exposures = rates | {
        "parameters": cache.parameters,
        "step": float(statistics.step[0]),
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
        exposures=exposures if settings.exposures else None,
        members=settings.members,
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
        multiple=settings.members,
    )


def make_loss(settings: LossConfig, cache: Cache) -> keras.losses.Loss:
    """Return the loss of a stage's settings."""
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
    """Return the metric that is monitored in every stage, the error in dex."""
    return Dex(len(cache.species), decades(cache.floor), name="dex")


def make_surrogate(
    emulator: Emulator, cache: Cache, settings: EmulatorConfig, reach: int = 1
) -> Surrogate:
    """Return the surrogate of a trained emulator, with the ranges of its training data.

    Args:
        emulator: The trained emulator.
        cache: The training cache.
        settings: Settings of the emulator, for the conservation of elements and the
            decay of the reconstruction residual.
        reach: Largest number of the file's steps that a time step spanned in training.
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
