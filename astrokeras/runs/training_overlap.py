"""What a run was trained on, and whether evaluated tracers are of the same data."""

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
    """Return the tracer file that the run was trained on, or the sample of it.

    The file of a preset is too large to ship; a sample that inherits its split does.
    """
    if target.run is None or not target.run.config.is_file():
        raise InputError(
            f"{target.name}: has no config.yaml that names its tracer file; give one."
        )
    import yaml

    config = target.run.config
    try:
        # Not by OmegaConf, which unfolds aliases and asks the environment: a run may
        # come from somebody else.
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
    """Whether a run was trained on just this file, by its content."""
    known = target.run.read_provenance().get("data_sha256") if target.run else None
    return known is not None and known == hash_file(tracers)


def find_known(
    store: TracerStore,
    target: SurrogateReference,
    rows: np.ndarray,
    origin: dict[str, Any],
) -> tuple[list[str], bool]:
    """Look for simulations that the surrogate was trained on, whatever the split says.

    A file that was split anew may call training simulations test ones. They are known
    by their identifiers, which tell the same simulation only within the data trained
    on; those of other files may be equal by chance, so these are only spoken of.

    Args:
        store: The evaluated file.
        target: The surrogate.
        rows: The evaluated rows, (n,).
        origin: Provenance of the surrogate's run.

    Returns:
        What must be said, no line or one, and whether the figures are optimistic.
    """
    simulation = store.simulation[rows]
    trained = np.isin(simulation, origin.get("training_simulations") or [])
    count = int((trained & (simulation != NO_SIMULATION)).sum())
    if not count:
        return [], False
    if is_trained_on(target, store.path) or _is_kin(store, target):
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


def _is_kin(store: TracerStore, target: SurrogateReference) -> bool:
    """Whether a file is the run's own, by path, or comes of the same raw files.

    A sample and a copy that was split anew inherit `source` and `files`.
    """
    try:
        own = own_tracers(target)
        if own.samefile(store.path):
            return True
        with TracerStore(own) as other:
            told = [
                [one.attributes.get(key) for key in ("source", "files")]
                for one in (store, other)
            ]
    except InputError:
        return False
    return any(told[0]) and told[0] == told[1]
