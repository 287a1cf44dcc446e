"""Importer of a checkpoint: run directory, model card and provenance."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from astrokeras.astrochemnet.checkpoint import Checkpoint
from astrokeras.astrochemnet.keras_conversion import Labels, build_surrogate
from astrokeras.config import (
    AutoencoderConfig,
    Config,
    DatasetConfig,
    EmulatorConfig,
)
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.runs.provenance import origin
from astrokeras.system.folder_replacement import recover, written_folder
from astrokeras.system.manifest import check_folder

KINDS = ("run", "evaluation")


def write_run(
    checkpoint: Checkpoint,
    labels: Labels,
    path: Path,
    sources: Sequence[Path],
    overwrite: bool = False,
) -> Run:
    """Write the surrogate as a complete run directory, or nothing.

    Args:
        checkpoint: The weights.
        labels: Names, ranges and times.
        path: The directory.
        sources: Files that hold the weights, for the provenance.
        overwrite: Whether an existing run may be replaced.

    Returns:
        The run.

    Raises:
        InputError: If the labels do not fit the weights, the directory exists, or a
            directory to replace holds anything but a run.
    """
    recover(path)
    if os.path.lexists(path):
        if not overwrite:
            raise InputError(
                f"{path}: exists; choose another --out, or --overwrite it."
            )
        if path.is_dir() and not any(path.glob("*.keras")):
            raise InputError(f"{path}: exists and is no run; choose another --out.")
        check_folder(path, *KINDS)
    surrogate = build_surrogate(checkpoint, labels)

    from omegaconf import OmegaConf

    config = _config(checkpoint, labels, path)
    provenance = origin(config) | {"data_sha256": None, "split_sha256": None}
    provenance["imported"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sources
    }
    with written_folder(path, *KINDS) as folder:
        beside = Run(folder)
        surrogate.save(beside.surrogate)
        surrogate.emulator.autoencoder.save(beside.autoencoder)
        beside.config.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
        beside.provenance.write_text(json.dumps(provenance, indent=1))
        (beside.path / "card.md").write_text(_card(path.name, labels))
    return Run(path)


def _config(checkpoint: Checkpoint, labels: Labels, path: Path) -> Config:
    """Return a configuration that trains a model of this architecture."""
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

Imported from an AstroChemNet checkpoint: {len(labels.species)} species, time steps of
{labels.step:g} years, windows of {labels.states} states, raw data with alignment
`{labels.alignment}`.

Training ranges given at import:

{ranges}

The checkpoint does not hold the initial abundances it was trained on, so none are
flagged. It is not evaluated yet: run `astrokeras evaluate {name} TRACERS.h5`.
"""
