"""Training overlap: evaluated tracers that a run may have been trained on."""

from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.runs.directory import find_data
from astrokeras.runs.surrogate_reference import SurrogateReference
from astrokeras.system.atomic_files import hash_file
from astrokeras.system.package_data import resource


def own_tracers(target: SurrogateReference) -> Path:
    """Return the tracer file of a run's training, or the sample of it.

    The package holds a sample of a preset's file, which is too large itself, with the
    same split.

    Raises:
        InputError: If the run names no such file, or it is missing.
    """
    if target.run is None or not target.run.config.is_file():
        raise InputError(
            f"{target.name}: has no config.yaml that names its tracer file; give one."
        )
    import yaml

    config = target.run.config
    try:
        # OmegaConf would expand aliases and read environment variables, and the run may
        # be of an unknown author.
        stored = yaml.safe_load(config.read_text(encoding="utf-8"))
        path, name = stored["dataset"]["path"], stored["dataset"].get("name")
    except (
        yaml.YAMLError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        OSError,
    ):
        path = None
    if not isinstance(path, str):
        raise InputError(
            f"{config}: names no tracer file as dataset.path; give one, or train again."
        )
    try:
        return find_data(path, f"{config}: dataset.path")
    except InputError:
        sample = resource("data") / f"{name}.h5"
        if not sample.is_file():
            raise
        return sample


def is_trained_on(target: SurrogateReference, tracers: Path) -> bool:
    """Return whether a run was trained on a file with exactly this content."""
    trained = target.run.read_provenance().get("data_sha256") if target.run else None
    return trained is not None and trained == hash_file(tracers)


def find_training_overlap(
    store: TracerStore,
    target: SurrogateReference,
    rows: np.ndarray,
    origin: dict[str, Any],
) -> tuple[list[str], bool]:
    """Return a note on evaluated simulations that the surrogate was trained on.

    A file with a new split may list training simulations as test simulations. The
    numbers of simulations identify them only within the training data; in other files
    they may agree by chance, which only the note mentions.

    Args:
        store: The evaluated file.
        target: The surrogate.
        rows: The evaluated rows, (n,).
        origin: Provenance of the surrogate's run.

    Returns:
        A list with the note, if there is one, and whether the figures are optimistic.
    """
    simulation = store.simulation[rows]
    trained = np.isin(simulation, origin.get("training_simulations") or [])
    count = int((trained & (simulation != NO_SIMULATION)).sum())
    if not count:
        return [], False
    if is_trained_on(target, store.path) or _is_same_data(store, target):
        note = (
            f"optimistic: {count} of {len(rows)} tracers evaluated are of simulations "
            "that the surrogate was trained on"
        )
        return [note], True
    note = (
        f"{count} of {len(rows)} tracers evaluated have the simulation numbers of "
        "training tracers: if these simulations are the same as in training, the "
        "figures are optimistic"
    )
    return [note], False


def _is_same_data(store: TracerStore, target: SurrogateReference) -> bool:
    """Return whether a file is the run's own, or comes from the same raw files.

    A sample, or a copy with a new split, inherits the attributes `source` and `files`.
    """
    try:
        own = own_tracers(target)
        if own.samefile(store.path):
            return True
        with TracerStore(own) as other:
            sources = [
                [each.attributes.get(key) for key in ("source", "files")]
                for each in (store, other)
            ]
    except InputError:
        return False
    return any(sources[0]) and sources[0] == sources[1]
