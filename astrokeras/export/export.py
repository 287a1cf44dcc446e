"""A surrogate written for other codes, each graph loaded again and compared."""

import importlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import decades
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError, WorkError
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.prediction.tracer_rollout import log10
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.runs.training_overlap import own_tracers
from astrokeras.system.backend import select_backend
from astrokeras.system.folder_replacement import recover, written_folder
from astrokeras.system.manifest import check_folder
from astrokeras.system.progress import report

BACKENDS = {"onnx": "tensorflow", "savedmodel": "tensorflow", "torch": "torch"}
WRITERS = {
    "onnx": "astrokeras.export.onnx",
    "savedmodel": "astrokeras.export.savedmodel",
    "torch": "astrokeras.export.torch",
    "numpy": "astrokeras.export.numpy_format",
}
TARGETS = tuple(WRITERS)
BATCHES = (1, 7, 4096)
SHORT = 2  # steps of the rollout at the largest batch, which would fill memory
SCALED = 1e-5  # what scaled values, log10 x / decades, may differ by
# Latents hold these divided by the species' spread in training, 5e-4 at least, and so
# their rounding: up to 2e-4. What they lead to is compared as part of a step.
LATENTS = 1e-3
ROLLOUT_DEX = 1e-3  # what any abundance of a rollout may differ by
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
)
"""Metadata in an export, beside one initial state, `start`."""

Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Export:
    """What was written and how well it agrees.

    Attributes:
        folder: Where it lies.
        differences: The largest difference of each graph by batch: in scaled values,
            of `encode` in latents, of the rollout in dex.
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
    """Write a surrogate's graphs in another format, and check them on real tracers.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`.
        to: `onnx`, `savedmodel`, `torch` or `numpy`. The first two are written by
            TensorFlow, the third by PyTorch, whatever trained the run.
        out: The folder; `exports/RUN-FORMAT` by default.
        tracers: A solved tracer file to check with; by default the one that the run
            was trained on.
        overwrite: Whether an export that exists is replaced.

    Returns:
        The folder and the differences.

    Raises:
        InputError: For an unknown format, a folder that exists, one to replace that
            holds anything but an export, or a file that does not suit the surrogate.
        WorkError: If what was written does not agree; it is removed.
    """
    if to not in TARGETS:
        raise InputError(f"unknown format {to!r}; use {', '.join(TARGETS)}.")
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
    from astrokeras.export.functions import make_graphs

    surrogate = target.load()
    target_format = importlib.import_module(WRITERS[to])
    with written_folder(folder, "export") as beside:
        report(f"Writing {to} ...")
        target_format.write(surrogate, make_graphs(surrogate), beside)
        described = json.dumps(describe(surrogate.metadata), indent=1)
        (beside / "about.json").write_text(described)
        functions = target_format.read(beside)
        differences = _compare(surrogate, functions, sample)
    return Export(folder, differences)


def describe(metadata: SurrogateMetadata) -> dict[str, Any]:
    """Return the metadata that a caller of the graphs needs, as plain values."""
    stored = metadata.to_config()
    initial = next(iter(stored["initial_conditions"].values()), None)
    return {name: stored[name] for name in DESCRIBED} | {"start": initial}


def show(done: Export) -> None:
    """Print where an export lies and how far its graphs are from Keras."""
    batches = ", ".join(map(str, BATCHES))
    print(f"Largest difference from Keras, at batches of {batches}:")
    for name, by_batch in done.differences.items():
        unit = {"encode": "of latents", "rollout": "dex"}.get(name, "of scaled values")
        apart = ", ".join(f"{value:.0e}" for value in by_batch.values())
        print(f"{name:8} {apart} {unit}")
    print(done.folder)


def _take_sample(store: TracerStore, target: SurrogateReference) -> Tracers:
    """Return tracers of full length, parameters in the surrogate's order."""
    columns = match_columns(store, target)
    full = np.flatnonzero(store.length == store.states)
    if not len(full):
        raise InputError(
            f"{store.path}: no tracer lasts for all {store.states} states of the file; "
            "give another one."
        )
    block = store.read(full[: max(BATCHES[:-1])])
    block.physical = block.physical[..., columns]
    return block


def _compare(
    surrogate: Any, functions: Functions, sample: Tracers
) -> dict[str, dict[int, float]]:
    """Return the largest difference from Keras of each graph at each batch.

    Raises:
        WorkError: If one is too large.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in functions}
    for name, function in functions.items():
        limit = {"encode": LATENTS, "rollout": ROLLOUT_DEX}.get(name, SCALED)
        for batch in BATCHES:
            with warnings.catch_warnings():
                # Single states of a tracer may lie at the very edge of training.
                warnings.simplefilter("ignore", UserWarning)
                given, expected = _case(surrogate, name, sample, batch)
            result = np.asarray(function(*given))
            apart = _difference(name, result, expected, surrogate.floor)
            found[name][batch] = apart
            if not apart <= limit:
                raise WorkError(
                    f"{name} at a batch of {batch} differs from Keras by {apart:.1e}, "
                    f"more than {limit:.0e}; nothing was kept."
                )
    return found


def _case(
    surrogate: Any, name: str, sample: Tracers, batch: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return inputs of a graph, from real states, and what Keras makes of them."""
    steps = sample.physical.shape[1]
    count = len(sample.abundances)
    tracer = np.arange(batch) % count
    state = np.arange(batch) // count % steps
    abundances = np.maximum(sample.abundances, surrogate.floor).astype("f4")
    years = np.diff(sample.time).astype("f4")
    if name == "rollout":
        last = steps if batch <= count else SHORT
        given = (
            abundances[tracer, 0],
            sample.physical[tracer, :last],
            years[tracer, :last],
        )
        time = sample.time[tracer, : last + 1]
        return given, surrogate.emulate(*given[:2], time)[:, 1:]
    x, p, t = (one[tracer, state] for one in (abundances, sample.physical, years))
    if name == "step":
        time = np.stack([0 * t, t], axis=1)
        return (x, p, t), surrogate.emulate(x, p[:, None], time, state_indices=[1])[
            :, 0
        ]
    z = surrogate.encode(x)
    return ((x,), z) if name == "encode" else ((z,), surrogate.decode(z))


def _difference(
    name: str, result: np.ndarray, expected: np.ndarray, floor: float
) -> float:
    if result.shape != expected.shape:
        return np.inf
    if name == "encode":
        # Latents are of order 1; larger ones have as many digits.
        return float((np.abs(result - expected) / np.fmax(np.abs(expected), 1)).max())
    dex = float(np.abs(log10(result) - log10(expected)).max())
    return dex if name == "rollout" else dex / decades(floor)
