"""Prediction of a tracer file of any size, written as a tracer file."""

import os
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import COLUMNS
from astrokeras.data.checks.unit_check import check_units
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.prediction.blocks import (
    COMPRESSION,
    Counts,
    Plan,
    open_writer,
    predict_blocks,
)
from astrokeras.prediction.input_check import abundance_check, check_input_values
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.prediction.tracer_rollout import assumed_columns
from astrokeras.prediction.tracer_rollout import batch_size as bounded
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.system import arguments
from astrokeras.system.atomic_files import hash_file
from astrokeras.system.close_names import suggest
from astrokeras.system.dask_cluster import check_scheduler


@dataclass(frozen=True)
class Prediction:
    """Summary of a predicted file.

    Attributes:
        path: The file.
        tracers: Number of tracers.
        states: Predicted states, without state 0 and states beyond a tracer's length.
        reliable: Reliable states; without calibration, those inside the ranges.
        status: Number of states with each bit of `models.status.Status`, by its name.
        warnings: A line for each training range that is left.
    """

    path: Path
    tracers: int
    states: int
    reliable: int
    status: dict[str, int]
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
    substep: bool = False,
    batch_size: int = 256,
    scheduler: str | None = None,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    compression: str = "gzip",
    progress: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Prediction:
    """Roll out every tracer of a file from its state 0 and write a tracer file.

    The whole input is checked first and then predicted in batches; memory does not grow
    with the file. Finished batches are kept in a folder beside the file until all are
    finished, so that an interrupted prediction can be resumed. The result has datasets
    `status` and `expected_error` with a value for each state, see `Surrogate.emulate`.
    If the surrogate takes the columns `NH2` and `NCO` and the file lacks them, those
    that `Surrogate.emulate` assumes are used.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`.
        tracers: A tracer file; of its abundances only state 0 is used.
        out: The file to write.
        initial: Initial abundances of all tracers, in place of those in the file: the
            name of an initial condition of the surrogate, or a CSV file with species
            as columns. The file then needs neither abundances nor species.
        strict: Whether leaving the training ranges is an error and not a warning.
        substep: Whether intervals that are longer than trained are split; only the
            states of the file are written, with the errors and status of all substeps.
        batch_size: Tracers rolled out at once.
        scheduler: Address of a Dask scheduler, whose workers predict; they must see the
            same files under the same paths.
        workers: Processes on this machine that predict; without both, this one does.
        resume: Whether to continue an interrupted prediction after its last finished
            batch.
        overwrite: Whether to replace a file or an interrupted prediction.
        compression: "gzip" or "none", which writes several times faster.
        progress: Whether to show a progress bar on stderr.
        warn: Called with a line for each training range that is left, where assumed
            columns matter, and for values that are unusual in clouds.

    Returns:
        The path of the file, its numbers of states by status, and the warnings.

    Raises:
        InputError: If there is no such surrogate or file, the file does not fit the
            surrogate, a value is wrong or, with `strict`, outside the training ranges;
            if there is an interrupted prediction and `resume` is not given, nothing to
            resume, or another process that writes the same file.
    """
    target = find_surrogate_reference(run)
    arguments.flags(
        strict=strict,
        substep=substep,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    arguments.choice("compression", compression, *COMPRESSION)
    batch_size = arguments.whole("batch_size", batch_size, low=1)
    if workers is not None:
        workers = arguments.whole("workers", workers, low=1)
    if (workers or scheduler) and target.path is None:
        raise InputError("workers load a surrogate from its file; give its path.")
    output = ResumableOutput(arguments.path("out", out))
    output.check(arguments.path("tracers", tracers), resume, overwrite)
    with TracerStore(tracers, need_abundances=False) as store:
        present = store.parameters
        columns = match_columns(store, target)
        start = None if initial is None else read_initial_condition(initial, target)
        species = len(target.metadata.species)
        size = bounded(batch_size, store.tracers, store.states, species)
        sums = abundance_check(store, target) if start is None else None
        lines = check_input_values(store, target, columns, start, size, substep, sums)
        if lines and strict:
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            raise InputError(
                f"{store.path}: {lines[0]}{more}; correct it, or leave out --strict."
            )
        for line in lines:
            warn(f"{store.path}: {line}; flagged in 'status'")
        for line in check_units(store, str(store.path)):
            warn(line)
        for line in sums.warnings({}) if sums is not None else ():
            warn(line)
        if set(COLUMNS) & {*store.parameters} - {*present}:
            for line in assumed_columns(store, size):
                warn(f"{store.path}: {line}.")
        if workers or scheduler:
            check_scheduler(scheduler)
        sha256 = target.sha256()
        signature = {
            "tracers": hash_file(store.path),
            "surrogate": sha256,
            "initial": None if start is None else start.tolist(),
            "tracers at once": size,
            "compression": compression,
            "substep": substep,
        }
        plan = Plan(
            tracers=store.path.resolve(),
            surrogate=str(target.path.resolve()) if target.path else "",
            sha256=sha256,
            out=output.out.resolve(),
            start=None if start is None else tuple(start.tolist()),
            size=size,
            substep=substep,
            compression=compression,
            backend=os.environ.get("KERAS_BACKEND"),
        )
        done = Counts(0, 0, 0, Counter())
        with output.opened(signature, resume), ExitStack() as stack:
            advance = _bar(stack, store.tracers) if progress else None
            for counts in predict_blocks(plan, store, target, scheduler, workers):
                done.add(counts)
                if advance:
                    advance(done.tracers, store.tracers)
            with open_writer(output.out, store, target, compression) as writer:
                for number in plan.numbers(store.tracers):
                    writer.append_file(plan.block(number))
    return Prediction(
        path=output.out,
        tracers=store.tracers,
        states=done.states,
        reliable=done.reliable,
        status=dict(done.bits),
        warnings=lines,
    )


def read_initial_condition(
    initial: str | Path, target: SurrogateReference
) -> np.ndarray:
    """Return the initial abundances of a CSV file, or of the surrogate by name, (S,).

    Raises:
        InputError: If there is neither; the message lists the names.
    """
    metadata = target.metadata
    arguments.path("initial", initial)
    if os.path.exists(initial) or os.path.islink(initial):
        return read_initial(
            initial, metadata.species, metadata.floor, elements=metadata.elements
        )
    known = metadata.initial_conditions
    if str(initial) not in known:
        raise InputError(
            f"{str(initial)!r} is neither a file nor an initial condition of surrogate "
            f"{target.name!r}; its initial conditions are: "
            f"{', '.join(known) or 'none'}{suggest(str(initial), known)}"
        )
    return known[str(initial)]


def _bar(stack: ExitStack, tracers: int) -> Callable[[int, int], None]:
    from astrokeras.system.progress import tracer_bar

    advance = stack.enter_context(tracer_bar("Predicting"))
    advance(0, tracers)
    return advance
