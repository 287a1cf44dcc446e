"""Builder of a surrogate from the published weights of AstroChemNet.

The weights are the state dictionaries of an autoencoder (`encoder_fc1.weight`,
`encoder_bn1.*`, `decoder_bias1` …) and of an emulator (`net.0.weight` …), and the two
numbers in `latents_minmax.npy` that scale all latents to [0, 1]. The files hold neither
names of species nor ranges of parameters.

With x the scaled abundances, p the scaled parameters, W a kernel and W' its transpose,
each encoder layer is z = gelu(norm(x W + b)), the last decoder layer is
x = sigmoid(z W' + b'), and a time step is z[t+1] = z[t] + g([p[t], z[t]]) on scaled
latents, where g has ReLU hidden layers.
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
# AstroChemNet stores no times. Its data have time steps of 92.9 yr, its windows 240
# states.
STEP_YEARS = 92.9
STATES = 240


@dataclass(frozen=True)
class Labels:
    """Names, ranges and times that the files of AstroChemNet lack.

    Attributes:
        species: Names in the order of the network's columns.
        ranges: Lowest and highest value of each parameter, in the order of the network
            and the unit of the parameter; they scale its log10 to [0, 1].
        alignment: `next` if the parameters of row k of the raw data drove the step from
            row k to k + 1, `this` if they drove the step to row k.
        step: Time step in years.
        states: States in a training window.
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
    """Build the surrogate; this imports Keras.

    Args:
        checkpoint: The weights.
        labels: Names, ranges and times.

    Returns:
        The `Surrogate`. Its abundances range from the floor to 1, as the training
        ranges are unknown.

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
        momentum=0.9,  # The momentum of PyTorch is 1 minus that of Keras.
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
    # The inputs of the first layer are the parameters, then the latents.
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
        conserve=False,  # as in AstroChemNet
        name="surrogate",
    )
    surrogate.build()
    bounds = np.log10(list(labels.ranges.values()))
    surrogate.parameter_scaler.set_scales(bounds[:, 0], bounds[:, 1] - bounds[:, 0])
    return surrogate


def reorder(
    checkpoint: Checkpoint, labels: Labels, like: Path
) -> tuple[Checkpoint, Labels]:
    """Return weights and labels with the species in the order of a tracer file.

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
    """Raise InputError if the labels do not fit the sizes of the weights."""
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
