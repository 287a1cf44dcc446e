"""Provenance of a run: versions, hashes, machine, seed and time of each stage."""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import AutoencoderConfig, Config
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.runs.model_file_check import AUTOENCODERS, read_archive
from astrokeras.runs.surrogate_reference import find_surrogate_reference
from astrokeras.system.atomic_files import write_text
from astrokeras.system.package_data import PACKAGE

SPEED_ALONE = ("device_cache", "steps_per_execution")
"""Settings of a fit that change its speed, but not its result."""
PACKAGES = ("astrokeras", "keras", "tensorflow", "jax", "torch", "numpy", "h5py")


def record(
    run: Run, config: Config, cache: Cache, source: Path, stage: str, seconds: float
) -> None:
    """Write the provenance of a finished stage to `provenance.json`.

    Args:
        run: The run.
        config: Configuration of the training.
        cache: Training cache.
        source: The tracer file of the cache.
        stage: Name of the stage.
        seconds: Wall time, since the last resumption if there was one.
    """
    with TracerStore(source) as store:
        split = store.split
        simulations = np.unique(store.simulation[split == 0])
        tracers = int((split == 0).sum())
    stages = run.read_provenance().get("stages", {})
    stages[stage] = {
        "settings": asdict(getattr(config, stage)),
        "species": list(cache.species),
        "floor": cache.floor,
        "seed": config.seed,
        "precision": config.precision,
        "data_sha256": cache.source_hash,
        "backend": os.environ.get("KERAS_BACKEND"),
        "wall_seconds": round(seconds, 1),
    }
    if config.from_ is not None:
        stages[stage]["from"] = _finetuned(config.from_)
    provenance = origin(config) | {
        "data_sha256": cache.source_hash,
        "split_sha256": hashlib.sha256(split.tobytes()).hexdigest(),
        "training_tracers": tracers,
        "training_simulations": simulations.tolist(),
        "stages": stages,
    }
    write_text(run.provenance, json.dumps(provenance, indent=1))


def origin(config: Config) -> dict[str, Any]:
    """Return versions, machine, commit, backend, seed and configuration of a run."""
    return {
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "git": _git_hash(),
        "backend": os.environ.get("KERAS_BACKEND"),
        "seed": config.seed,
        "configuration": asdict(config),
    }


def resume_signature(settings: Any) -> dict[str, Any]:
    """Return a stage's settings without those that only change its speed.

    The signature must be the same when a training is resumed.

    Args:
        settings: `AutoencoderConfig` or `EmulatorConfig`, or its dictionary.
    """
    values = dict(settings) if isinstance(settings, dict) else asdict(settings)
    fit = {k: v for k, v in values["fit"].items() if k not in SPEED_ALONE}
    return values | {"fit": fit}


def check_finished(run: Run, config: Config, cache: Cache, stage: str) -> None:
    """Raise InputError if a finished stage had other settings, seed or data.

    The message names the difference.
    """
    trained = run.read_provenance().get("stages", {}).get(stage)
    if trained is None:
        return
    now = {
        "data": cache.source_hash,
        "seed": config.seed,
        "precision": config.precision,
        "from": config.from_ and _finetuned(config.from_)["sha256"],
        **resume_signature(getattr(config, stage)),
    }
    then = {
        "data": trained["data_sha256"],
        "seed": trained["seed"],
        # The first runs had no choice of precision.
        "precision": trained.get("precision", "float32"),
        "from": trained.get("from", {}).get("sha256"),
    }
    then |= resume_signature(trained["settings"])
    for key, value in now.items():
        if then.get(key) != value:
            raise InputError(
                f"{run.path}: the {stage} is trained, with {key} {then.get(key)} and "
                f"not {value}; give another name=..., or replace it with --overwrite."
            )


def check_autoencoder(run: Run, cache: Cache) -> AutoencoderConfig:
    """Return the settings of a run's autoencoder, if it fits the data.

    Raises:
        InputError: If the autoencoder has other species or another floor than the data;
            the message names the first difference.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    read_archive(run.autoencoder, *AUTOENCODERS)
    stages = run.read_provenance().get("stages", {})
    trained = stages.get("autoencoder") if isinstance(stages, dict) else None
    needed = {"species": list, "floor": float, "settings": dict}
    if not isinstance(trained, dict) or any(
        not isinstance(trained.get(key), kind) for key, kind in needed.items()
    ):
        raise InputError(
            f"{run.provenance}: lacks the training data of the autoencoder; "
            f"train it with `astrokeras train autoencoder name={run.name}`."
        )
    ours, theirs = list(cache.species), trained["species"]
    if ours != theirs:
        column = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
            -1,
        )
        first = (
            f"column {column} is {ours[column]} in the data, {theirs[column]} in the "
            "autoencoder"
            if column >= 0
            else f"{len(ours)} in the data, {len(theirs)} in the autoencoder"
        )
        raise InputError(
            f"{run.autoencoder}: its species are not those of the data ({first}); "
            "train an autoencoder on these data."
        )
    if trained["floor"] != cache.floor:
        raise InputError(
            f"{run.autoencoder}: its floor is {trained['floor']:g}, dataset.floor is "
            f"{cache.floor:g}; train an autoencoder on these data."
        )
    schema = OmegaConf.structured(AutoencoderConfig)
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(schema, trained["settings"]))
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{run.provenance}: the autoencoder's settings are invalid ({reason}); "
            f"train it with `astrokeras train autoencoder name={run.name}`."
        ) from error
    assert isinstance(settings, AutoencoderConfig)
    return settings


def _finetuned(wanted: str) -> dict[str, str]:
    """Return name and hash of the surrogate that a training begins with."""
    former = find_surrogate_reference(wanted)
    return {"name": former.name, "sha256": former.sha256()}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git_hash() -> str | None:
    """Return the commit of the checkout, `None` outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(PACKAGE), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
