"""Models of a fine-tuning: the emulator that begins it, the surrogate that ends it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from astrokeras.chemistry.assumed_parameters import quantity
from astrokeras.config import Config
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.models.emulator import Emulator, copy_model
from astrokeras.models.surrogate import Surrogate

LEAST_SIMULATIONS = 3
"""Held-out simulations from which a fine-tuned surrogate is calibrated anew."""


def adopt_scales(cache: Cache, former: Surrogate) -> Cache:
    """Return the cache with the surrogate's scales in place of those of its tracers.

    The reference length of time steps is the shortest of both.
    """
    offset, scale = former.parameter_scaler.get_weights()
    shortest, longest = cache.statistics.step
    statistics = replace(
        cache.statistics,
        offset=offset,
        scale=scale,
        step=np.array([min(shortest, former.dt_range[0]), longest]),
    )
    return replace(cache, elements=former.elements, statistics=statistics)


def begin_emulator(former: Surrogate, config: Config, cache: Cache) -> Emulator:
    """Return a copy of the surrogate's emulator, ready to be trained.

    Args:
        former: The surrogate that is fine-tuned.
        config: The configuration.
        cache: The training cache with the surrogate's scales, see `adopt_scales`.
    """
    former.trainable = True
    step = float(cache.statistics.step[0])
    exposures = former.emulator.exposures
    emulator = copy_model(
        former.emulator,
        config.precision,
        bounds=None,
        finetune_autoencoder=config.emulator.finetune_autoencoder,
        exposures=exposures and exposures.arguments | {"step": step},
    )
    if emulator.use_timestep:
        # The feature of a time step is its length relative to the shortest. The bias
        # makes up for another reference, so that the predictions stay the same.
        drive = emulator.recurrence.drive
        kernel, bias = drive.get_weights()
        moved = np.log10(former.dt_range[0] / step)
        drive.set_weights([kernel, bias - moved * kernel[3 * emulator.parameter_count]])
    return emulator


def widen_bounds(bounds: np.ndarray, former: Surrogate) -> np.ndarray:
    """Return bounds of the latents that hold those of the surrogate too, (2, L)."""
    known = former.emulator.recurrence.cell.bounds
    if known is None:
        return bounds
    return np.stack([np.minimum(bounds[0], known[0]), np.maximum(bounds[1], known[1])])


def make_finetuned(
    former: Surrogate, emulator: Emulator, cache: Cache, reach: int
) -> Surrogate:
    """Return the surrogate of a fine-tuned emulator.

    Its ranges hold those of the former surrogate and those of the new tracers. It has
    no trust model yet.

    Args:
        former: The surrogate that was fine-tuned.
        emulator: The fine-tuned emulator.
        cache: The training cache with the surrogate's scales, see `adopt_scales`.
        reach: Largest number of the file's steps that a time step spanned in training.
    """
    metadata, statistics = former.metadata, cache.statistics
    shortest, longest = statistics.step
    duration = float(statistics.duration)
    low, high = metadata.species_ranges
    known = {quantity(entry) for entry in metadata.fixed}
    new = [entry for entry in cache.fixed if quantity(entry) not in known]
    return former.replace(
        emulator=emulator,
        trust=None,
        dt_range=(
            shortest,
            max(metadata.dt_range[1], min(longest * reach, duration)),
        ),
        t_max=max(metadata.t_max, duration),
        parameter_ranges={
            name: (
                min(metadata.parameter_ranges[name][0], statistics.parameter_low[i]),
                max(metadata.parameter_ranges[name][1], statistics.parameter_high[i]),
            )
            for i, name in enumerate(cache.parameters)
        },
        species_ranges=np.stack(
            [
                np.minimum(low, statistics.species_low),
                np.maximum(high, statistics.species_high),
            ]
        ),
        initial_conditions=metadata.initial_conditions | cache.initial_conditions,
        fixed=[*metadata.fixed, *new],
    )


def count_held_out(source: Path, share: float) -> int:
    """Return the number of simulations of a file that are reserved for calibration."""
    with TracerStore(source, need_abundances=False) as store:
        rows = calibration_rows(store, share)
        groups = store.simulation[rows]
    return len(rows) if (groups == NO_SIMULATION).any() else len(np.unique(groups))
