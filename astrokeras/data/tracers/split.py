"""Train, validation and test split of a tracer file, made once and stored in it."""

import os
import shutil
from dataclasses import asdict
from typing import Any

import numpy as np

from astrokeras.config import SplitConfig, check
from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.data.tracers.file_format import NO_SIMULATION, SPLITS
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError, WorkError
from astrokeras.system import arguments
from astrokeras.system.atomic_files import written_beside

LAST_DIGITS = {"validation": 7, "test": 8}
"""Last digits of the simulations of a split by number; all others are train."""


def assign_split(
    groups: np.ndarray,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """Assign groups of tracers to train, validation and test.

    The groups are permuted; the first are test, the next validation, the rest train.

    Args:
        groups: Group of each tracer, such as its simulation, (N,); groups stay whole.
        validation: Fraction of the groups for validation.
        test: Fraction of the groups for testing.
        seed: Seed of the permutation.

    Returns:
        0 train, 1 validation, 2 test for each tracer, (N,) uint8.

    Raises:
        InputError: If there are too few groups for these fractions, or an argument is
            out of range.
    """
    validation = arguments.number("validation", validation, 0, 1)
    test = arguments.number("test", test, 0, 1)
    seed = arguments.whole("seed", seed, high=2**31)
    ids = np.unique(groups)
    order = np.random.default_rng(seed).permutation(ids)
    tested, validated = round(test * len(ids)), round(validation * len(ids))
    left = len(ids) - tested - validated
    counts = {"test": (test, tested), "validation": (validation, validated)}
    counts["train"] = (1 - test - validation, left)
    for name, (fraction, count) in counts.items():
        if (fraction > 1e-9 and count < 1) or count < 0:
            raise InputError(
                f"{len(ids)} groups are too few for a {name} fraction of "
                f"{fraction:.2g}; change `dataset.split`, use more data, or omit the "
                "split."
            )
    split = np.zeros(len(groups), np.uint8)
    split[np.isin(groups, order[:tested])] = SPLITS.index("test")
    chosen = order[tested : tested + validated]
    split[np.isin(groups, chosen)] = SPLITS.index("validation")
    return split


def split_by_number(
    simulation: np.ndarray, name: str | os.PathLike[str] = "split"
) -> np.ndarray:
    """Split tracers by the last digit of the number of their simulation.

    Numbers that end in 8 are test, in 7 validation, all others train, so that a
    simulation keeps its place whatever other simulations a file holds.

    Args:
        simulation: Number of the simulation of each tracer, (N,).
        name: The file, for messages.

    Returns:
        0 train, 1 validation, 2 test for each tracer, (N,) uint8.

    Raises:
        InputError: For a tracer without simulation.
    """
    if (simulation == NO_SIMULATION).any():
        raise InputError(
            f"{name}: holds tracers without simulation, so it cannot be split by "
            "number; number the simulations, or use `dataset.split.by=tracer`."
        )
    split = np.full(len(simulation), SPLITS.index("train"), np.uint8)
    for code, digit in LAST_DIGITS.items():
        split[simulation % 10 == digit] = SPLITS.index(code)
    return split


def make_split(
    simulation: np.ndarray,
    config: SplitConfig,
    name: str | os.PathLike[str] = "split",
) -> np.ndarray:
    """Split tracers by simulation, by tracer or by number, as the configuration says.

    Splitting a simulation leaks training data into the test set: its tracers are nearly
    the same, and every test error is too small.

    Args:
        simulation: Identifier of the simulation of each tracer, (N,).
        config: Fractions, seed, and the unit of the split.
        name: The file, for messages.

    Returns:
        0 train, 1 validation, 2 test for each tracer, (N,) uint8.

    Raises:
        InputError: If there are no simulations, or too few, or a value of the
            configuration is out of range.
    """
    check(config, "dataset.split.")
    if config.by == "number":
        return split_by_number(simulation, name)
    if config.by == "tracer":
        groups = np.arange(len(simulation))
    else:
        groups = simulation
        _check_simulations(simulation, name)
    try:
        return assign_split(groups, config.validation, config.test, config.seed)
    except InputError as error:
        message = str(error).replace("groups", f"{config.by}s")
        raise InputError(f"{name}: {message}") from error


def calibration_rows(store: TracerStore, share: float) -> np.ndarray:
    """Return the validation tracers reserved for the calibration of error bars.

    The choice is fixed and takes whole simulations, or single tracers if the file has
    no simulations. At least one simulation is left for validation.

    Args:
        store: A tracer file with a split.
        share: Fraction of the validation simulations.

    Returns:
        Row numbers, sorted.
    """
    rows = store.rows("validation")
    groups = store.simulation[rows]
    if (groups == NO_SIMULATION).any():
        groups = store.tracer[rows]
    ids = np.unique(groups)
    count = min(round(share * len(ids)), len(ids) - 1)
    chosen = np.random.default_rng(0).permutation(ids)[:count]
    return rows[np.isin(groups, chosen)]


def _check_simulations(simulation: np.ndarray, name: str | os.PathLike[str]) -> None:
    known = np.unique(simulation)
    if NO_SIMULATION not in known and len(known) > 1:
        return
    found = "tracers without simulation" if len(known) > 1 else "one simulation"
    if len(known) == 1 and known[0] == NO_SIMULATION:
        found = "no simulations"
    raise InputError(
        f"{name}: holds {found}, so it cannot be split by simulation; use "
        "`dataset.split.by=tracer` (test errors will be too small), or `--no-split`."
    )


def split_attributes(config: SplitConfig) -> dict[str, Any]:
    """Return the root attributes that describe how a split was made."""
    if config.by == "number":
        return {"split_by": config.by}
    return {f"split_{key}": value for key, value in asdict(config).items()}


def split_file(
    path: str | os.PathLike[str],
    config: SplitConfig | None = None,
    force: bool = False,
) -> np.ndarray:
    """Store a split in a tracer file.

    The split is added to a copy of the file, which then replaces it.

    Args:
        path: The tracer file.
        config: Fractions, seed, and the unit of the split; 70/15/15 by simulation if
            `None`.
        force: Whether an existing split is replaced. Models trained before have then
            seen tracers of the new test set.

    Returns:
        The split, (N,) uint8.

    Raises:
        InputError: If the file has a split, or too few simulations.
        WorkError: If the file cannot be written.
    """
    import h5py

    path = arguments.path("path", path)
    arguments.flag("force", force)
    config = SplitConfig() if config is None else config
    with TracerStore(path, need_abundances=False) as store:
        if store.has_split and not force:
            raise InputError(
                f"{path}: has a split already; models trained on it would be tested on "
                "their training data. Use --force if there are no such models."
            )
        split = make_split(store.simulation, config, path)
    try:
        with written_beside(path) as beside:
            shutil.copyfile(path, beside)
            with h5py.File(beside, "r+") as file:
                if "split" in file:
                    del file["split"]
                file.create_dataset("split", data=split)
                for key in [key for key in file.attrs if key.startswith("split_")]:
                    del file.attrs[key]
                file.attrs.update(split_attributes(config))
        hdf5_sandbox.mark_verified(path)
    except OSError as error:
        raise WorkError(f"{path}: the split cannot be written ({error}).") from error
    return split
