"""AstroChemNet's published checkpoints as surrogates.

Its layout: an autoencoder's state dictionary (`encoder_fc1.weight`, `encoder_bn1.*`,
`decoder_bias1` …), an emulator's (`net.0.weight` …), and `latents_minmax.npy`, the two
numbers that scale all latents to [0, 1]. The files hold neither names nor ranges.

With x the scaled abundances, p the scaled parameters, W and W' a kernel and its
transpose: z = gelu(norm(x W + b)) layer by layer, x = sigmoid(... W' + b'), and
z[t+1] = z[t] + g([p[t], z[t]]) on scaled latents, where g has ReLU hidden layers.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astrokeras.backend import start_keras
from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import (
    AutoencoderConfig,
    Config,
    DatasetConfig,
    EmulatorConfig,
)
from astrokeras.data.schema import FLOOR, PARAMETER_UNITS
from astrokeras.errors import InputError
from astrokeras.workflows.astrochemnet_files import Checkpoint
from astrokeras.workflows.runs import Run, provenance

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
        starts: Named initial abundances, `(S,)` each.
    """

    species: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    alignment: str
    step: float = STEP_YEARS
    states: int = STATES
    starts: Mapping[str, Sequence[float]] | None = None

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
        step=(labels.step, labels.step),
        duration=labels.step * (labels.states - 1),
        box=labels.ranges,
        species_box=[[FLOOR] * species, [1.0] * species],
        starts=labels.starts or {},
        name="surrogate",
    )
    surrogate.build()
    bounds = np.log10(list(labels.ranges.values()))
    surrogate.parameter_scaler.set_scales(bounds[:, 0], bounds[:, 1] - bounds[:, 0])
    return surrogate


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


def write_run(
    checkpoint: Checkpoint,
    labels: Labels,
    path: Path,
    sources: Sequence[Path],
    overwrite: bool = False,
) -> Run:
    """Write the surrogate as a run directory: all of it or nothing.

    Args:
        checkpoint: The weights.
        labels: What the files lack.
        path: The directory.
        sources: The files that the weights came from, for the provenance.
        overwrite: Whether an existing directory may be replaced.

    Returns:
        The run.

    Raises:
        InputError: If the labels do not fit the weights, or the directory exists.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists; choose another --out, or --overwrite it.")
    if path.exists() and not any(path.glob("*.keras")):
        raise InputError(f"{path}: exists and is no run; choose another --out.")
    surrogate = build_surrogate(checkpoint, labels)

    from omegaconf import OmegaConf

    config = _config(checkpoint, labels, path)
    facts = provenance(config, "", np.empty(0, "uint8"))
    facts |= {"data_sha256": None, "split_sha256": None}
    facts["imported"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sources
    }
    beside = Run(path.with_name(f"{path.name}.partial-{os.getpid()}"))
    try:
        beside.path.mkdir(parents=True)
        surrogate.save(beside.surrogate)
        surrogate.emulator.autoencoder.save(beside.autoencoder)
        beside.config.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
        beside.provenance.write_text(json.dumps(facts, indent=1))
        (beside.path / "card.md").write_text(_card(path.name, labels))
        if path.exists():
            former = path.with_name(f"{beside.path.name}.former")
            path.replace(former)
            shutil.rmtree(former)
        beside.path.replace(path)
    finally:
        shutil.rmtree(beside.path, ignore_errors=True)
    return Run(path)


def _config(checkpoint: Checkpoint, labels: Labels, path: Path) -> Config:
    """Return the configuration that would train a model of this architecture."""
    _, *widths, latents = checkpoint.widths
    return Config(
        name=path.name,
        runs_dir=str(path.parent),
        dataset=DatasetConfig(
            name="astrochemnet",
            path="",
            source="AstroChemNet checkpoint",
            alignment=labels.alignment,
            parameters={name: name for name in labels.ranges},
            units={name: PARAMETER_UNITS.get(name, "") for name in labels.ranges},
        ),
        autoencoder=AutoencoderConfig(
            widths=widths,
            latents=latents,
            latent_activation=len(checkpoint.encoder_norms) > len(widths),
            normalise=True,
            standardise=False,
            output="sigmoid",
            momentum=0.9,
        ),
        emulator=EmulatorConfig(
            hidden=[len(bias) for _, bias in checkpoint.cell[:-1]],
            activation="relu",
            window=[labels.states],
        ),
    )


def _card(name: str, labels: Labels) -> str:
    ranges = "\n".join(
        f"- {parameter}: {low:g} to {high:g} {PARAMETER_UNITS.get(parameter, '')}"
        for parameter, (low, high) in labels.ranges.items()
    )
    return f"""# {name}

Imported from an AstroChemNet checkpoint: {len(labels.species)} species, states every
{labels.step:g} years, windows of {labels.states} states, raw data read with alignment
`{labels.alignment}`.

Ranges given at import:

{ranges}

The checkpoint does not tell which starts it was trained on, so none is flagged.
No figures were measured yet: `astrokeras evaluate {name} TRACERS.h5` measures them.
"""
