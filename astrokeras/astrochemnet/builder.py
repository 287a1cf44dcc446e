"""AstroChemNet's published checkpoints as surrogates.

Its layout: an autoencoder's state dictionary (`encoder_fc1.weight`, `encoder_bn1.*`,
`decoder_bias1` …), an emulator's (`net.0.weight` …), and `latents_minmax.npy`, the two
numbers that scale all latents to [0, 1]. The files hold neither names nor ranges.

With x the scaled abundances, p the scaled parameters, W and W' a kernel and its
transpose: z = gelu(norm(x W + b)) layer by layer, x = sigmoid(... W' + b'), and
z[t+1] = z[t] + g([p[t], z[t]]) on scaled latents, where g has ReLU hidden layers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astrokeras.astrochemnet.checkpoint import Checkpoint
from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.data.importers.column_roles import species_positions
from astrokeras.data.tracers.file_format import FLOOR, PARAMETER_UNITS
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.system.backend import start_keras

if TYPE_CHECKING:
    from astrokeras.models.surrogate import Surrogate

ALIGNMENTS = ("next", "this")
# AstroChemNet stores no times: its data have states every 92.9 yr, windows of 240.
STEP_YEARS = 92.9
STATES = 240


@dataclass(frozen=True)
class Labels:
    """What the files lack.

    Attributes:
        species: Names in the network's column order.
        ranges: Lowest and highest value of each parameter, in the network's order and
            the parameter's unit; they scale log10 of the parameter to [0, 1].
        alignment: `next` if row k of the raw data drove row k to k + 1, `this` if it
            drove the chemistry to row k.
        step: Years between states.
        states: States of a training window.
        initial_conditions: Named initial abundances, `(S,)` each.
    """

    species: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    alignment: str
    step: float = STEP_YEARS
    states: int = STATES
    initial_conditions: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise InputError(
                f"--alignment is {self.alignment!r}; use {' or '.join(ALIGNMENTS)}."
            )
        if not (self.step > 0 and math.isfinite(self.step)):
            raise InputError(f"--step is {self.step} years; give a positive number.")
        if self.states < 2:
            raise InputError(f"--states is {self.states}; a window has two or more.")


def build_surrogate(checkpoint: Checkpoint, labels: Labels) -> "Surrogate":
    """Build the surrogate. Imports Keras.

    Args:
        checkpoint: The weights.
        labels: What the files lack.

    Returns:
        The `Surrogate`. Its range of starts is the whole one, from the floor to 1,
        since the files do not tell what it was trained on.

    Raises:
        InputError: If the labels do not fit the weights.
    """
    check_labels(checkpoint, labels)
    matrix, elements = stoichiometric_matrix(labels.species)
    start_keras()

    from astrokeras.models.autoencoder import Autoencoder
    from astrokeras.models.emulator import Emulator
    from astrokeras.models.surrogate import Surrogate

    species, *widths, latents = checkpoint.widths
    autoencoder = Autoencoder(
        species,
        widths,
        latents,
        latent_activation=len(checkpoint.encoder_norms) > len(widths),
        momentum=0.9,  # PyTorch counts what is new (0.1), Keras what is kept.
        name="autoencoder",
    )
    autoencoder.build()
    layers = [
        *autoencoder.dense,
        *autoencoder.encoder_norms,
        *autoencoder.decoder_norms,
    ]
    weights = [*checkpoint.dense, *checkpoint.encoder_norms, *checkpoint.decoder_norms]
    for layer, arrays in zip(layers, weights, strict=True):
        layer.set_weights(arrays)

    hidden = [len(bias) for _, bias in checkpoint.cell[:-1]]
    count = checkpoint.parameter_count
    emulator = Emulator(autoencoder, count, hidden, "relu", name="emulator")
    emulator.build()
    low, high = checkpoint.latents
    emulator.latent_scaler.set_scales(
        np.full(latents, low), np.full(latents, high - low)
    )
    # The first layer sees parameters and latents side by side.
    (kernel, bias), *inner = checkpoint.cell
    emulator.recurrence.drive.set_weights([kernel[:count], bias])
    cell = emulator.recurrence.cell
    cell.first.set_weights([kernel[count:]])
    for layer, arrays in zip([*cell.inner, cell.last], inner, strict=True):
        layer.set_weights(arrays)

    surrogate = Surrogate(
        emulator,
        species=labels.species,
        parameters=list(labels.ranges),
        units=[PARAMETER_UNITS.get(name, "") for name in labels.ranges],
        elements=elements,
        stoichiometry=matrix.tolist(),
        dt_range=(labels.step, labels.step),
        t_max=labels.step * (labels.states - 1),
        parameter_ranges=labels.ranges,
        species_ranges=[[FLOOR] * species, [1.0] * species],
        initial_conditions=labels.initial_conditions or {},
        conserve=False,  # as its authors run it
        name="surrogate",
    )
    surrogate.build()
    bounds = np.log10(list(labels.ranges.values()))
    surrogate.parameter_scaler.set_scales(bounds[:, 0], bounds[:, 1] - bounds[:, 0])
    return surrogate


def reorder(
    checkpoint: Checkpoint, labels: Labels, like: Path
) -> tuple[Checkpoint, Labels]:
    """Give the network the order of species of a tracer file, which it then fits.

    Raises:
        InputError: If the file holds other species.
    """
    check_labels(checkpoint, labels)
    with TracerStore(like) as store:
        wanted = store.species
    order = species_positions(labels.species, wanted, "--species")
    initial_conditions = {
        name: [values[i] for i in order]
        for name, values in (labels.initial_conditions or {}).items()
    }
    labels = replace(
        labels, species=tuple(wanted), initial_conditions=initial_conditions
    )
    return checkpoint.take_species(order), labels


def check_labels(checkpoint: Checkpoint, labels: Labels) -> None:
    """Refuse names that do not fit the weights.

    Raises:
        InputError: Naming both numbers.
    """
    if len(labels.species) != checkpoint.widths[0]:
        raise InputError(
            f"--species names {len(labels.species)} species, the autoencoder has "
            f"{checkpoint.widths[0]}; give the list it was trained with, in its order."
        )
    if len(labels.ranges) != checkpoint.parameter_count:
        raise InputError(
            f"--ranges names {len(labels.ranges)} parameters "
            f"({', '.join(labels.ranges)}), the emulator has "
            f"{checkpoint.parameter_count}; give each, in its order."
        )
