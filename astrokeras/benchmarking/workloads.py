"""The work whose speed matters, and the arithmetic that it cannot do without.

A floating-point operation is one multiplication or addition of a matrix product;
activations, losses and the optimiser come on top and count as time alone.
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
from astrokeras.training.fit import compile_model
from astrokeras.training.stages import (
    make_autoencoder,
    make_emulator,
    make_loss,
    make_metric,
    make_window_sampler,
)

BATCHES = 16  # a measured call of a training has about so many


@dataclass
class Workload:
    """A piece of work that can be repeated.

    Attributes:
        name: What it is.
        unit: What is counted: `rows` (states) or `steps` (of a tracer).
        work: Units of one call.
        flops: Floating-point operations of the matrix products of one unit.
        run: Does it once.
    """

    name: str
    unit: str
    work: int
    flops: float
    run: Callable[[], object]


def product_flops(sizes: Sequence[int]) -> int:
    """Return the operations of a chain of dense layers, one row through all."""
    return 2 * sum(a * b for a, b in pairwise(sizes))


@dataclass(frozen=True)
class CoderFlops:
    """Operations of an autoencoder's products, one state.

    Attributes:
        encoder: From abundances to latents.
        decoder: From latents to `width` species.
        first: Of the product with the abundances, whose gradient nobody needs.
    """

    encoder: int
    decoder: int
    first: int

    @classmethod
    def of(cls, model: AnyAutoencoder, width: int | None = None) -> "CoderFlops":
        """Count those of an autoencoder, all species by default."""
        species, latents, hidden = model.species, model.latents, model.widths
        width = width or species
        decoder = product_flops([latents, *hidden[::-1], width])
        if isinstance(model, ProjectionAutoencoder):
            # Coordinates of what the network says, and the directions' share of u. For
            # some species the coordinates come from the last hidden layer.
            said = species if width == species else hidden[0]
            decoder += product_flops([said, latents, width])
            encoder = first = product_flops([species, latents])
        else:
            encoder = product_flops([species, *hidden, latents])
            first = product_flops([species, [*hidden, latents][0]])
        return cls(encoder, decoder, first)


def train_autoencoder(config: Config, cache: Cache) -> Workload:
    """Return the training of the autoencoder, as `fit` runs it, input included.

    Operations: a product forwards, one for the kernel's gradient and one for the
    input's, which the first layer does not need, in the encoder and in the decoder.
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
    """Return the training of the emulator, as `fit` runs it, input included.

    Operations: three products of the cell a step, two of what the parameters drive;
    of each state that is compared, the decoder's product forwards and its input's
    gradient, and with `joint` the kernels' gradients too; the encoder a window.
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
    drive = product_flops([model.features, settings.hidden[0]])
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
    """Return rollouts in physical units, of the file's tracers again and again.

    Args:
        surrogate: The surrogate.
        tracers: A tracer file.
        count: Number of tracers.
        species: Names of the species asked for, all by default.
        state_indices: Numbers of the states asked for, all by default.
    """
    with TracerStore(tracers) as store:
        columns = match_columns(store, find_surrogate_reference(surrogate))
        full = np.flatnonzero(store.length == store.states)
        if not len(full):
            raise InputError(
                f"{tracers}: no tracer lasts for all {store.states} states of the "
                "file; give another one."
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
    members = getattr(surrogate.emulator, "members", [surrogate.emulator])
    flops = sum(_step_flops(member, width, decoded, steps) for member in members)
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
        width: Species that are decoded.
        decoded: Share of the states that are.
        steps: Of the rollout, whose state 0 is encoded.
    """
    latents = emulator.latents
    cell = product_flops([latents, *emulator.hidden, latents])
    cell += product_flops([emulator.hidden[-1], latents]) * emulator.relaxing
    cell += product_flops([emulator.features, emulator.hidden[0]])
    coder = CoderFlops.of(emulator.autoencoder, width)
    return cell + coder.decoder * decoded + coder.encoder / steps


def _epochs(
    model: keras.Model, sampler: Sampler, settings: FitConfig
) -> tuple[Callable[[], object], int]:
    """Return what trains for some epochs, and how many these are."""
    count = max(1, round(BATCHES / sampler.steps))
    epoch = EpochNumber()
    dataset = batches(sampler, epoch, fits_on_device(settings.device_cache, [sampler]))

    def run() -> object:
        return model.fit(
            dataset, epochs=count, shuffle=False, verbose=0, callbacks=[epoch]
        )

    return run, count
