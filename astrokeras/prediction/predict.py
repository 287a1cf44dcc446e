"""Predict the tracers of a file, of any size, into another one."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import Tracers, TracerStore, TracerWriter
from astrokeras.errors import InputError
from astrokeras.models.training_ranges import LEAST_TRUST, Limits
from astrokeras.prediction.out_of_range import OutOfRangeReport
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.prediction.tracer_rollout import batch_size as bounded
from astrokeras.prediction.tracer_rollout import read_given, roll_out_judged
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    check_steps,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.system import arguments
from astrokeras.system.atomic_files import hash_file

FINE, OUTSIDE, NOT_FINITE, DOUBTFUL = 0, 1, 2, 3
STATUS = (
    "0 fine; 1 this state or one before it lies outside the training range of "
    "parameters, start or duration; 2 not finite, or beyond the tracer's length; 3 "
    "inside the ranges, and its trust is below 0.5"
)
COMPRESSION: dict[str, int | None] = {"gzip": 1, "none": None}


@dataclass(frozen=True)
class Prediction:
    """What `predict` wrote.

    Attributes:
        path: The file.
        tracers: Their number.
        states: Predicted states, state 0 and what lies beyond a length not counted.
        fine: States with status 0.
        outside: States with status 1.
        not_finite: States with status 2.
        doubtful: States with status 3.
        warnings: What lies outside the training ranges, a line each.
    """

    path: Path
    tracers: int
    states: int
    fine: int
    outside: int
    not_finite: int
    doubtful: int
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"path": str(self.path)}


def predict(
    run: Any,
    tracers: str | Path,
    out: str | Path,
    *,
    initial: str | Path | None = None,
    strict: bool = False,
    batch_size: int = 256,
    resume: bool = False,
    overwrite: bool = False,
    compression: str = "gzip",
    progress: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Prediction:
    """Roll out every tracer of a file from its state 0 and write a tracer file.

    The whole input is checked first, then it is predicted in batches; memory does not
    grow with the file. Finished batches wait in a folder beside the file until all are
    there, so that an interrupted prediction can be resumed. The result has a dataset
    `status` with a value per state and, of a calibrated surrogate, `trust`, see
    `Surrogate.emulate`.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`.
        tracers: A tracer file; of its abundances only state 0 is used.
        out: The file to write.
        initial: One start for all tracers instead of theirs: the name of a start of
            the surrogate, or a CSV file of abundances with species as columns. The
            file then needs no abundances, and no species either.
        strict: Whether leaving the training box is an error and not a warning.
        batch_size: Tracers rolled out at once.
        resume: Whether to go on with an interrupted prediction, from its last finished
            batch.
        overwrite: Whether a file, or an interrupted prediction, may be replaced.
        compression: "gzip" or "none", which writes several times faster.
        progress: Whether a bar is shown on stderr.
        warn: Called with each line about what lies outside the training box.

    Returns:
        What was written.

    Raises:
        InputError: If there is no such surrogate or file, the file does not suit the
            surrogate, a value is wrong, or, when strict, outside the training box; if
            there is an interrupted prediction and `resume` is not given, nothing to
            resume, or another process that writes the same file.
    """
    target = find_surrogate_reference(run)
    arguments.flags(
        strict=strict, resume=resume, overwrite=overwrite, progress=progress
    )
    arguments.choice("compression", compression, *COMPRESSION)
    batch_size = arguments.whole("batch_size", batch_size, low=1)
    parts = ResumableOutput(arguments.path("out", out))
    parts.check(arguments.path("tracers", tracers), resume, overwrite)
    with TracerStore(tracers, need_abundances=False) as store:
        columns = match_columns(store, target)
        start = None if initial is None else read_start(initial, target)
        species = len(target.limits.species)
        size = bounded(batch_size, store.tracers, store.states, species)
        lines = survey(store, target, columns, start, size)
        if lines and strict:
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            raise InputError(
                f"{store.path}: {lines[0]}{more}; correct it, or leave out --strict."
            )
        for line in lines:
            warn(f"{store.path}: {line}; flagged in 'status'")
        facts = {
            "tracers": hash_file(store.path),
            "surrogate": target.sha256(),
            "initial": None if start is None else start.tolist(),
            "tracers at once": size,
            "compression": compression,
        }
        counts = np.zeros(4, dtype=np.int64)
        with parts.opened(facts, resume), ExitStack() as stack:
            surrogate = target.load()
            if target.sha256() != facts["surrogate"]:
                raise InputError(
                    f"{target.path}: was replaced while it was read; predict again."
                )
            advance = _bar(stack, store.tracers) if progress else None
            for number, given in enumerate(_given(store, start, size, check=False)):
                path = parts.block(number)
                if path.is_file():
                    with h5py.File(path) as file:
                        status = file["status"][:]
                else:
                    with _open_writer(path, store, target, compression) as writer:
                        status = _write_block(
                            writer, surrogate, given, columns, size, target.limits
                        )
                valid = np.arange(store.states) < given.length[:, None]
                counts += np.bincount(status[:, 1:][valid[:, 1:]], minlength=4)
                if advance:
                    advance(int(given.rows[-1]) + 1, store.tracers)
            with _open_writer(parts.out, store, target, compression) as writer:
                for number in range(-(-store.tracers // size)):
                    writer.append_file(parts.block(number))
    fine, outside, not_finite, doubtful = counts.tolist()
    return Prediction(
        parts.out,
        store.tracers,
        int(counts.sum()),
        fine,
        outside,
        not_finite,
        doubtful,
        lines,
    )


def _write_block(
    writer: TracerWriter,
    surrogate: Any,
    given: Tracers,
    columns: np.ndarray,
    size: int,
    limits: Limits,
) -> np.ndarray:
    """Predict some tracers, write them and return their status."""
    predicted, trust = roll_out_judged(surrogate, given, columns, size)
    status = find_status(given, predicted, columns, limits, trust)
    valid = np.arange(predicted.shape[1]) < given.length[:, None]
    predicted[~valid] = trust[~valid] = np.nan
    given.abundances = predicted
    writer.append(given, status=status, trust=trust)
    return status


def read_start(initial: str | Path, target: SurrogateReference) -> np.ndarray:
    """Return the start that is meant, of a CSV file or a surrogate's own, (S,)."""
    arguments.path("initial", initial)
    if os.path.exists(initial) or os.path.islink(initial):
        return read_initial(initial, target.limits.species, target.limits.floor)
    return target.initial_condition(str(initial))


def _given(
    store: TracerStore, start: np.ndarray | None, size: int, check: bool
) -> Iterator[Tracers]:
    """Blocks of what the rollouts are given."""
    for first in range(0, store.tracers, size):
        yield read_given(store, slice(first, first + size), check, start)


def find_status(
    given: Tracers,
    predicted: np.ndarray,
    columns: np.ndarray,
    limits: Limits,
    trust: np.ndarray,
) -> np.ndarray:
    """Return the status of each state, see `STATUS`, (n, T+1) uint8.

    Args:
        given: Tracers with state 0.
        predicted: Abundances, (n, T+1, S).
        columns: Columns of their parameters in the surrogate's order, (P,).
        limits: Of the surrogate.
        trust: Scores, NaN where there are none, (n, T+1).
    """
    outside = limits.beyond_duration(given.time)
    outside[:, 0] |= (limits.start_excess(given.abundances[:, 0]) > 0).any(-1)
    outside[:, 1:] |= limits.outside_parameters(given.physical[..., columns]).any(-1)
    # A rollout carries on what it went through: no state is better than those before.
    status = np.maximum.accumulate(outside, axis=1).astype(np.uint8) * OUTSIDE
    status[(status == FINE) & (trust < LEAST_TRUST)] = DOUBTFUL
    beyond = np.arange(given.time.shape[1]) >= given.length[:, None]
    bad = ~(np.isfinite(predicted) & (predicted >= 0)).all(-1)
    status[bad | beyond] = NOT_FINITE
    return status


def survey(
    store: TracerStore,
    target: SurrogateReference,
    columns: np.ndarray,
    start: np.ndarray | None,
    size: int,
) -> list[str]:
    """Check the whole input; return what lies outside the training ranges."""
    outside = OutOfRangeReport(target.limits)
    for given in _given(store, start, size, check=True):
        check_steps(store, given, target.limits)
        outside.add(given, columns)
    return outside.lines()


def _open_writer(
    out: Path, store: TracerStore, target: SurrogateReference, compression: str
) -> TracerWriter:
    import astrokeras

    # Tracks know of no elements.
    about = {"elements": list(target.elements)} | store.attributes
    about |= {
        "solver": f"astrokeras {astrokeras.__version__}, surrogate {target.name}",
        "tolerances": "",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "predicted_from": store.path.name,
        "surrogate": target.name,
        "surrogate_sha256": target.sha256(),
        "astrokeras_version": astrokeras.__version__,
        "status": STATUS,
    }
    return TracerWriter(
        out,
        species=target.limits.species,
        parameters=store.parameters,
        units=store.units,
        states=store.states,
        attributes=about,
        compression=COMPRESSION[compression],
        extra={"status": "u1", "trust": "f4"},
    )


def _bar(stack: ExitStack, tracers: int) -> Callable[[int, int], None]:
    from astrokeras.system.progress import tracer_bar

    advance = stack.enter_context(tracer_bar("Predicting"))
    advance(0, tracers)
    return advance
