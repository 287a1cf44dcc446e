"""The one split of a tracer file, made once and stored in it."""

import os
import shutil
from pathlib import Path

import numpy as np

from astrokeras.data.schema import SPLITS
from astrokeras.data.store import TracerStore
from astrokeras.errors import InputError, WorkError

NO_SIMULATION = -1
"""Identifier of the simulation where a raw file names none."""


def assign_split(
    groups: np.ndarray,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """Share out groups of tracers among train, validation and test.

    The groups are permuted; the first are test, the next validation, the rest train.

    Args:
        groups: What must stay together for each tracer, such as its simulation, (N,).
        validation: Fraction of the groups.
        test: Fraction of the groups.
        seed: Of the permutation.

    Returns:
        0 train, 1 validation, 2 test for each tracer, (N,) uint8.

    Raises:
        InputError: If there are too few groups for these fractions.
    """
    ids = np.unique(groups)
    order = np.random.default_rng(seed).permutation(ids)
    tested, validated = round(test * len(ids)), round(validation * len(ids))
    left = len(ids) - tested - validated
    counts = {"test": (test, tested), "validation": (validation, validated)}
    counts["train"] = (1 - test - validation, left)
    for name, (fraction, count) in counts.items():
        if (fraction > 1e-9 and count < 1) or count < 0:
            raise InputError(
                f"split: {len(ids)} groups are too few for a {name} fraction of "
                f"{fraction:.2g}; change `dataset.split.{name}`"
                f"{' or the other fractions' * (name == 'train')}, or take more data."
            )
    split = np.zeros(len(groups), np.uint8)
    split[np.isin(groups, order[:tested])] = SPLITS.index("test")
    chosen = order[tested : tested + validated]
    split[np.isin(groups, chosen)] = SPLITS.index("validation")
    return split


def make_split(
    simulation: np.ndarray,
    by: str = "simulation",
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    name: str | os.PathLike[str] = "split",
) -> np.ndarray:
    """Split tracers by their simulations, or one by one where that is asked for.

    Args:
        simulation: Identifier of each tracer's simulation, (N,).
        by: "simulation", or "tracer": near-copies of training tracers then lie in the
            test set and every figure is optimistic.
        validation: Fraction of the simulations.
        test: Fraction of the simulations.
        seed: Of the permutation.
        name: The file, for messages.

    Raises:
        InputError: If there are no simulations, or too few.
    """
    if by == "tracer":
        return assign_split(np.arange(len(simulation)), validation, test, seed)
    known = len(np.unique(simulation))
    if (simulation == NO_SIMULATION).any() or known < 2:
        found = f"{known} simulation" if known == 1 else "tracers without simulation"
        if (simulation == NO_SIMULATION).all():
            found = "no simulations"
        raise InputError(
            f"{name}: holds {found}, so it cannot be split by simulation; ask for "
            "`split.by=tracer` (figures will be optimistic), or for no split."
        )
    try:
        return assign_split(simulation, validation, test, seed)
    except InputError as error:
        raise InputError(f"{name}: {error}".replace("groups", "simulations")) from error


def split_attributes(by: str, validation: float, test: float, seed: int) -> dict:
    """Return the root attributes that tell how a split was made."""
    return {
        "split_by": by,
        "split_validation": validation,
        "split_test": test,
        "split_seed": seed,
    }


def split_file(
    path: str | os.PathLike[str],
    by: str = "simulation",
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    force: bool = False,
) -> np.ndarray:
    """Store a split in a tracer file that has none.

    Works on a copy beside the file, which then takes its place.

    Args:
        path: The tracer file.
        by: "simulation" or "tracer".
        validation: Fraction of the simulations.
        test: Fraction of the simulations.
        seed: Of the permutation.
        force: Whether an existing split is replaced: models fitted before have then
            seen tracers of the new test set.

    Returns:
        The split, (N,) uint8.

    Raises:
        InputError: If the file has a split, or too few simulations.
        WorkError: If the file cannot be written.
    """
    import h5py

    path = Path(path)
    with TracerStore(path) as store:
        if store.has_split and not force:
            raise InputError(
                f"{path}: has a split already; models fitted on it would be tested on "
                "what they have seen. Use --force if there are none."
            )
        split = make_split(store.simulation, by, validation, test, seed, path)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        shutil.copyfile(path, partial)
        with h5py.File(partial, "r+") as file:
            if "split" in file:
                del file["split"]
            file.create_dataset("split", data=split)
            file.attrs.update(split_attributes(by, validation, test, seed))
        partial.replace(path)
    except OSError as error:
        raise WorkError(f"{path}: the split cannot be written ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)
    return split
