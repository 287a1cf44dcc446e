"""Workloads of the benchmark, and the number of their floating-point operations.

Only multiplications and additions of matrix products count as operations. Activations,
losses and the optimiser add to the time, but not to the operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np

from astrokeras.config import Config, FitConfig
from astrokeras.data.pipeline.datasets import batches
from astrokeras.data.pipeline.device_dataset import fits_on_device
from astrokeras.data.pipeline.sampler_dataset import EpochNumber
from astrokeras.data.pipeline.samplers import RowSampler, Sampler
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.models.emulator import AnyAutoencoder, Emulator
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.surrogate import Surrogate
from astrokeras.runs.surrogate_reference import find_surrogate_reference, match_columns
from astrokeras.training.builders import (
    make_autoencoder,
    make_emulator,
    make_loss,
    make_metric,
    make_window_sampler,
)
from astrokeras.training.fit import compile_model

BATCHES = 16  # approximate number of batches in a measured call of a training


@dataclass
class Workload:
    """A training or a rollout whose speed is measured.

    Attributes:
        name: Name of the workload.
        unit: Unit of the work: `rows` (states) or `steps` (of a tracer).
        work: Units in one call.
        flops: Floating-point operations of the matrix products of one unit.
        run: Function that does the work once.
    """

    name: str
    unit: str
    work: int
    flops: float
    run: Callable[[], object]


def product_flops(sizes: Sequence[int]) -> int:
    """Return the operations of a row that passes through a chain of dense layers."""
    return 2 * sum(a * b for a, b in pairwise(sizes))


@dataclass(frozen=True)
class CoderFlops:
    """Operations of an autoencoder's matrix products for one state.

    Attributes:
        encoder: Operations from abundances to latents.
        decoder: Operations from latents to `width` species.
        first: Operations of the first product, whose input needs no gradient.
    """

    encoder: int
    decoder: int
    first: int

    @classmethod
    def of(cls, model: AnyAutoencoder, width: int | None = None) -> "CoderFlops":
        """Count the operations of an autoencoder, by default for all species."""
        species, latents, hidden = model.species, model.latents, model.widths
        width = width or species
        decoder = product_flops([latents, *hidden[::-1], width])
        if isinstance(model, ProjectionAutoencoder):
            # The network's output is projected onto the latents' directions and back.
            # For some species, the projection starts from the last hidden layer.
            projected = species if width == species else hidden[0]
            decoder += product_flops([projected, latents, width])
            encoder = first = product_flops([species, latents])
        else:
            encoder = product_flops([species, *hidden, latents])
            first = product_flops([species, [*hidden, latents][0]])
        return cls(encoder, decoder, first)


def train_autoencoder(config: Config, cache: Cache) -> Workload:
    """Return the training of the autoencoder by `fit`, with its input pipeline.

    Operations of each layer: a product forwards, one for the gradient of the kernel,
    and one for the gradient of the input, which the first layer does not need.
    """
    settings = config.autoencoder
    model = make_autoencoder(config, cache)
    loss, metric = make_loss(settings.loss, cache), make_metric(cache)
    compile_model(model, loss, metric, settings.fit)
    sampler = RowSampler(cache, settings.fit.batch_size, config.seed)
    coder = CoderFlops.of(model)
    flops = 3 * (coder.encoder + coder.decoder) - coder.first
    run, count = _epochs(model, sampler, settings.fit)
    work = count * sampler.steps * sampler.batch_size
    return Workload("autoencoder training", "rows", work, flops, run)


def train_emulator(config: Config, cache: Cache) -> Workload:
    """Return the training of the emulator by `fit`, with its input pipeline.

    Operations: per step, three products of the cell, and two of the layer that takes
    the parameters; per state in the loss, the decoder forwards and the gradient of its
    input, with `finetune_autoencoder` also those of its kernels; per window, the
    encoder.
    """
    settings = config.emulator
    model = make_emulator(config, cache, make_autoencoder(config, cache))
    loss, metric = make_loss(settings.loss, cache), make_metric(cache)
    compile_model(model, loss, metric, settings.fit)
    sampler = make_window_sampler(config, cache)
    encoded = states = steps = 0
    for number in range(sampler.steps):
        tracers, between, _, weight = sampler.choose(0, number)
        encoded += len(tracers)
        steps += len(tracers) * (between.shape[1] - 1)
        states += int((weight > 0).sum())
    latents = model.latents
    cell = product_flops([latents, *settings.hidden, latents])
    cell += product_flops([settings.hidden[-1], latents]) * settings.relaxing
    # A window is rolled out by one member, but the first product is of all.
    drive = product_flops([model.features, settings.members * settings.hidden[0]])
    coder = CoderFlops.of(model.autoencoder)
    encoder = (
        3 * coder.encoder - coder.first
        if settings.finetune_autoencoder
        else coder.encoder
    )
    decoder = (3 if settings.finetune_autoencoder else 2) * coder.decoder
    total = (3 * cell + 2 * drive) * steps + decoder * states + encoder * encoded
    flops = total / steps
    run, count = _epochs(model, sampler, settings.fit)
    return Workload("emulator training", "steps", count * steps, flops, run)


def roll_out(
    surrogate: Surrogate,
    tracers: Path,
    count: int,
    species: Sequence[str] | None = None,
    state_indices: Sequence[int] | None = None,
) -> Workload:
    """Return a rollout in physical units of tracers from a file.

    Args:
        surrogate: The surrogate.
        tracers: A tracer file, whose tracers are repeated until there are enough.
        count: Number of tracers.
        species: Names of the returned species, all by default.
        state_indices: Indices of the returned states, all by default.
    """
    with TracerStore(tracers) as store:
        columns = match_columns(store, find_surrogate_reference(surrogate))
        full = np.flatnonzero(store.length == store.states)
        if not len(full):
            raise InputError(
                f"{tracers}: no tracer has all {store.states} states of the file; give "
                "another file."
            )
        block = store.read(full[:count])
    index = np.arange(count) % len(block)
    given = (
        block.abundances[index, 0],
        block.physical[index][..., columns],
        block.time[index],
    )
    steps = block.physical.shape[1]
    width = len(surrogate.species) if species is None else len(species)
    decoded = (steps if state_indices is None else len(state_indices)) / steps
    flops = _step_flops(surrogate.emulator, width, decoded, steps)
    name = "rollout"
    if species is not None:
        name += f", {len(species)} species"
    if state_indices is not None:
        name += f", {len(state_indices)} state" + "s" * (len(state_indices) > 1)

    def run() -> object:
        return surrogate.emulate(*given, species=species, state_indices=state_indices)

    return Workload(name, "steps", count * steps, flops, run)


def _step_flops(emulator: Emulator, width: int, decoded: float, steps: int) -> float:
    """Return the operations of a step of a rollout.

    Args:
        emulator: The emulator.
        width: Number of decoded species.
        decoded: Fraction of the states that are decoded.
        steps: Number of steps of the rollout, over which the encoder is divided.
    """
    latents = emulator.latents
    cell = product_flops([latents, *emulator.hidden, latents])
    cell += product_flops([emulator.hidden[-1], latents]) * emulator.relaxing
    cell += product_flops([emulator.features, emulator.hidden[0]])
    coder = CoderFlops.of(emulator.autoencoder, width)
    return emulator.members * cell + coder.decoder * decoded + coder.encoder / steps


def _epochs(
    model: keras.Model, sampler: Sampler, settings: FitConfig
) -> tuple[Callable[[], object], int]:
    """Return a function that trains for some epochs, and their number."""
    count = max(1, round(BATCHES / sampler.steps))
    epoch = EpochNumber()
    dataset = batches(sampler, epoch, fits_on_device(settings.device_cache, [sampler]))

    def run() -> object:
        return model.fit(
            dataset, epochs=count, shuffle=False, verbose=0, callbacks=[epoch]
        )

    return run, count
