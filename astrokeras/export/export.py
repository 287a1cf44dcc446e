"""Export of a surrogate for other codes, each function compared with Keras."""

import importlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import decades
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError, WorkError
from astrokeras.prediction.tracer_rollout import log10
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.runs.training_overlap import own_tracers
from astrokeras.system.backend import select_backend
from astrokeras.system.close_names import suggest
from astrokeras.system.folder_replacement import recover, written_folder
from astrokeras.system.manifest import check_folder
from astrokeras.system.progress import report

BACKENDS = {"onnx": "tensorflow", "savedmodel": "tensorflow", "torch": "torch"}
WRITERS = {
    "onnx": "astrokeras.export.onnx",
    "savedmodel": "astrokeras.export.savedmodel",
    "torch": "astrokeras.export.torch",
    "numpy": "astrokeras.export.numpy_format",
    "c": "astrokeras.export.c_format",
}
TARGETS = tuple(WRITERS)
BATCHES = (1, 7, 4096)
SHORT = 2  # steps of the rollout at the largest batch, as more would fill memory
SCALED = 1e-5  # largest difference of scaled values, log10 x / decades
# Latents are sums of scaled values over the spread of each species in training, at
# least 5e-4, which amplifies rounding to 2e-4. `step` tests their effect.
LATENTS = 1e-3  # largest difference of latents
ROLLOUT_DEX = 1e-3  # largest difference of an abundance in a rollout, dex
EXPECTED = 1e-2  # largest relative difference of an expected error
# Rounding decides the status of a state that lies at a threshold.
STATUS = 2e-3  # largest share of states with another status
CARRIED = 4  # numbers that a step takes and returns
DESCRIBED = (
    "species",
    "parameters",
    "units",
    "elements",
    "parameter_ranges",
    "dt_range",
    "t_max",
    "conserve",
    "floor",
    "version",
    "reliability_threshold",
)
"""Metadata in an export, beside one initial state, `start`."""

Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Export:
    """Result of an export.

    Attributes:
        folder: The folder written.
        differences: Largest difference from Keras of each function, by batch size: in
            scaled values; for `encode` in latents, for `rollout` in dex.
    """

    folder: Path
    differences: dict[str, dict[int, float]]


def export(
    run: Any,
    to: str,
    out: str | os.PathLike[str] | None = None,
    tracers: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Export:
    """Write the functions of a surrogate in another format, and test them on tracers.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`.
        to: `onnx`, `savedmodel`, `torch`, `numpy` or `c`. TensorFlow writes the first
            two, PyTorch the third, whatever backend the run was trained on.
        out: The folder; `exports/RUN-FORMAT` by default.
        tracers: A solved tracer file to test with; by default the one that the run was
            trained on.
        overwrite: Whether an existing export is replaced.

    Returns:
        The folder and the differences from Keras.

    Raises:
        InputError: If the format is unknown, the folder exists, a folder to replace
            holds anything but an export, or the file does not fit the surrogate.
        WorkError: If the export disagrees with Keras; it is removed.
    """
    if to not in TARGETS:
        remedy = suggest(to, TARGETS)
        raise InputError(f"unknown format {to!r}; use {', '.join(TARGETS)}{remedy}")
    target = find_surrogate_reference(run)
    folder = Path(out or Path("exports") / f"{target.name}-{to}")
    recover(folder)
    if os.path.lexists(folder):
        if not overwrite:
            raise InputError(f"{folder}: exists; choose another or pass --overwrite.")
        check_folder(folder, "export")
    with TracerStore(tracers or own_tracers(target)) as store:
        sample = _take_sample(store, target)
    select_backend(BACKENDS.get(to))
    from astrokeras.export.functions import make_functions

    surrogate = target.load()
    target_format = importlib.import_module(WRITERS[to])
    with written_folder(folder, "export") as beside:
        report(f"Writing {to} ...")
        target_format.write(surrogate, make_functions(surrogate), beside)
        described = json.dumps(describe(surrogate), indent=1)
        (beside / "about.json").write_text(described)
        functions = target_format.read(beside)
        differences = _compare(surrogate, functions, sample)
    return Export(folder, differences)


def describe(surrogate: Any) -> dict[str, Any]:
    """Return what a caller of a surrogate's functions needs to know, as plain values.

    `reliability_threshold` is `None` if the surrogate is not calibrated.
    """
    metadata, trust = surrogate.metadata, surrogate.trust
    threshold = None if trust is None else trust.reliability_threshold
    stored = metadata.to_config() | {"reliability_threshold": threshold}
    # The first named initial abundances serve as an example.
    initial = next(iter(stored["initial_conditions"].values()), None)
    return {name: stored[name] for name in DESCRIBED} | {"start": initial}


def _take_sample(store: TracerStore, target: SurrogateReference) -> Tracers:
    """Return tracers with all states, parameters in the order of the surrogate."""
    columns = match_columns(store, target)
    full = np.flatnonzero(store.length == store.states)
    if not len(full):
        raise InputError(
            f"{store.path}: no tracer has all {store.states} states of the file; give "
            "another one."
        )
    block = store.read(full[: max(BATCHES[:-1])])
    block.physical = block.physical[..., columns]
    return block


def _compare(
    surrogate: Any, functions: Functions, sample: Tracers
) -> dict[str, dict[int, float]]:
    """Return the largest difference from Keras of each function, by batch size.

    Raises:
        WorkError: If a difference is too large.
    """
    differences: dict[str, dict[int, float]] = {name: {} for name in functions}
    for name, function in functions.items():
        limit = {"encode": LATENTS, "rollout": ROLLOUT_DEX}.get(name, SCALED)
        for batch in BATCHES:
            with warnings.catch_warnings():
                # Single states of a tracer may lie at the edge of the training ranges.
                warnings.simplefilter("ignore", UserWarning)
                inputs, expected = _case(surrogate, name, sample, batch)
            result, *told = map(np.asarray, function(*inputs))
            difference = _difference(name, result, expected[0], surrogate.floor)
            differences[name][batch] = difference
            _compare_verdicts(f"{name} at a batch of {batch}", told, expected[1:])
            if not difference <= limit:
                raise WorkError(
                    f"{name} at a batch of {batch} differs from Keras by "
                    f"{difference:.1e}, more than {limit:.0e}; the export was removed."
                )
    return differences


def _compare_verdicts(
    where: str, told: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
) -> None:
    """Compare expected errors and status, if a function returns them.

    Raises:
        WorkError: If they differ from those of Keras.
    """
    if not wanted:
        return
    *expected, status = wanted
    if expected:
        apart = np.abs(told[0] / np.maximum(expected[0], 1e-6) - 1).max(initial=0.0)
        if not apart <= EXPECTED:
            raise WorkError(
                f"{where} has expected errors that differ from those of Keras by "
                f"{apart:.1e} of their value; the export was removed."
            )
    share = np.mean(told[1] != status)
    if not (share <= STATUS or share * status.size <= 1):
        raise WorkError(
            f"{where} gives {share:.2%} of the states another status than Keras; the "
            "export was removed."
        )


def _case(
    surrogate: Any, name: str, sample: Tracers, batch: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Return inputs of a function, from solved states, and the outputs of Keras."""
    steps = sample.physical.shape[1]
    count = len(sample.abundances)
    tracer = np.arange(batch) % count
    state = np.arange(batch) // count % steps
    abundances = np.maximum(sample.abundances, surrogate.floor).astype("f4")
    years = np.diff(sample.time).astype("f4")
    if name == "rollout":
        last = steps if batch <= count else SHORT
        inputs = (
            abundances[tracer, 0],
            sample.physical[tracer, :last],
            years[tracer, :last],
        )
        time = sample.time[tracer, : last + 1]
        told = surrogate.emulate(*inputs[:2], time, **_verdicts(surrogate))
        return inputs, tuple(value[:, 1:] for value in told)
    x, p, t = (values[tracer, state] for values in (abundances, sample.physical, years))
    if name == "step":
        time = np.stack([0 * t, t], axis=1)
        options = {"state_indices": [1]} | _verdicts(surrogate)
        told = surrogate.emulate(x, p[:, None], time, **options)
        carried = np.zeros((batch, CARRIED), "f4")
        return (x, p, t, carried), tuple(value[:, 0] for value in told)
    z = surrogate.encode(x)
    return ((x,), (z,)) if name == "encode" else ((z,), (surrogate.decode(z),))


def _verdicts(surrogate: Any) -> dict[str, bool]:
    """Return the options of `emulate` that ask for all that a rollout tells."""
    calibrated = surrogate.trust is not None
    return {"return_expected_error": calibrated, "return_status": True}


def _difference(
    name: str, result: np.ndarray, expected: np.ndarray, floor: float
) -> float:
    if result.shape != expected.shape:
        return np.inf
    if name == "encode":
        # Differences of latents above 1 are relative.
        return float((np.abs(result - expected) / np.fmax(np.abs(expected), 1)).max())
    dex = float(np.abs(log10(result) - log10(expected)).max())
    return dex if name == "rollout" else dex / decades(floor)
