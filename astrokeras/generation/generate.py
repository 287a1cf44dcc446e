"""Generation of tracer files: a solver of the chemistry along trajectories."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import GenerationConfig, SolverConfig
from astrokeras.data.importers.trajectory_table import opened_tracks
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.data.tracers.split import make_split, split_attributes
from astrokeras.errors import InputError, WorkError
from astrokeras.generation.results_log import ResultsLog
from astrokeras.generation.solver_inputs import SolverInputs
from astrokeras.generation.tracer_jobs import solve_all
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import find_file
from astrokeras.system import arguments
from astrokeras.system.atomic_files import hash_file, written_beside
from astrokeras.system.dask_cluster import check_scheduler, connect

FAILURE_COLUMNS = ("tracer", "simulation", "row", "interval", "seconds", "reason")
OLD_COLUMNS = ("tracer", "simulation", "row", "seconds", "reason")
"""Columns of lists that earlier versions wrote."""


@dataclass(frozen=True)
class Generation:
    """Result of `generate`.

    Attributes:
        path: The tracer file.
        solved: Number of tracers in it.
        stopped: Number of these that the solver did not follow to their end; they are
            kept up to there.
        failed: Number of tracers without a single interval; they are left out.
        failures: CSV file that lists those that stopped or failed, with the interval
            and the reason, `None` if there are none.
        seconds: Total core time of the solver.
    """

    path: Path
    solved: int
    stopped: int
    failed: int
    failures: Path | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        failures = None if self.failures is None else str(self.failures)
        return asdict(self) | {"path": str(self.path), "failures": failures}


def generate(
    tracks: str | Path,
    out: str | Path,
    config: GenerationConfig,
    *,
    initial: str | Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    split: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Generation:
    """Solve the chemistry along every trajectory of a file and write a tracer file.

    All inputs are checked before the first tracer is solved. Each tracer is solved in a
    process of its own, within a limit of CPU time. Where the solver fails, the tracer
    is kept up to there, the reason is recorded and the other tracers are solved. Solved
    tracers survive any interruption.

    Args:
        tracks: A tracer file, of whose abundances only state 0 is used, or a table that
            `import_tracers` reads, of which only the physical parameters are used.
        out: The tracer file to write. The time of each tracer starts at 0.
        config: The solver; how to read a table, and to describe and split the file.
        initial: Initial abundances of all tracers: "network" for those of the network,
            or a CSV file with a column for each species. By default state 0 of each
            tracer where `tracks` has abundances, else those of the network.
        scheduler: Address of a Dask scheduler; by default a cluster on this machine.
        workers: Workers on this machine; one for each core by default.
        split: Whether to split by simulation, unless `tracks` is split.
        resume: Whether to continue an interrupted generation.
        overwrite: Whether a file, or an interrupted generation, may be replaced.
        progress: Called with the number of tracers done, failed, and in total.
        warn: Called with each line about possible errors in the file.

    Returns:
        Counts and paths of the files written.

    Raises:
        InputError: If the file is malformed, holds values that the solver does not
            accept or initial abundances whose charges do not add up, or the solver is
            not installed, naming file, tracer, row and value; as `ResumableOutput` for
            an interrupted generation.
        WorkError: If every tracer failed, or the scheduler has ended.
    """
    arguments.flags(split=split, resume=resume, overwrite=overwrite)
    if workers is not None:
        workers = arguments.whole("workers", workers, low=1)
    output = ResumableOutput(arguments.path("out", out), "generation")
    output.check(arguments.path("tracks", tracks), resume, overwrite)
    _check_failures(_failures_path(output.out))
    with opened_tracks(tracks, config.dataset, warn) as store:
        with SolverProcess(config.solver) as host:
            inputs = SolverInputs(store, host, config, initial, Path(tracks))
        inputs.check_starts()
        if warn is not None:
            for line in inputs.warnings:
                warn(f"{line}.")
        splits, split_facts = _choose_split(inputs, split)
        signature = {
            "tracks": hash_file(inputs.path),
            **{f"dataset.{key}": v for key, v in asdict(config.dataset).items()},
            **{f"solver.{key}": v for key, v in _solver_key(config.solver).items()},
            **inputs.solver_facts,
            "fixed": inputs.fixed(),
            "initial": None if inputs.start is None else inputs.start.tolist(),
        }
        check_scheduler(scheduler)
        with output.opened(signature, resume):
            path = output.folder / "solved.journal"
            with ResultsLog(path, store.tracers, len(inputs.species)) as log:
                _solve(inputs, config, log, scheduler, workers, progress)
                if log.failed.all():
                    raise WorkError(
                        f"{inputs.path}: no tracer could be solved; the first: "
                        f"{log.reason(0)}."
                    )
                stopped = (log.states > 0) & (log.states < store.length)
                failures = _write_failures(store, log, stopped, output.out)
                attributes = inputs.attributes() | split_facts | log.rate()
                _write(inputs, log, output.out, splits, attributes)
                failed = int(log.failed.sum())
                return Generation(
                    output.out,
                    store.tracers - failed,
                    int(stopped.sum()),
                    failed,
                    failures,
                    float(log.seconds.sum()),
                )


def _solver_key(config: SolverConfig) -> dict[str, Any]:
    """Return the settings that must not change when a generation is resumed."""
    settings = asdict(config)
    del settings["cpu_limit"]
    settings["files"] = {
        key: hash_file(find_file(key, path)) for key, path in config.files.items()
    }
    return settings


def _choose_split(
    inputs: SolverInputs, wanted: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the split of the trajectories, or a new one, and its attributes."""
    store = inputs.store
    if store.has_split:
        return store.split, store.split_attributes
    if not wanted:
        return store.split, {}
    split = inputs.config.dataset.split
    codes = make_split(store.simulation, split, str(inputs.path))
    return codes, split_attributes(split)


def _solve(
    inputs: SolverInputs,
    config: GenerationConfig,
    log: ResultsLog,
    scheduler: str | None,
    workers: int | None,
    progress: Callable[[int, int, int], None] | None,
) -> None:
    """Solve the tracers that are not in the log, or failed before an interruption."""
    wanted = ~log.done | log.failed
    done, failed, total = int((~wanted).sum()), 0, len(wanted)
    report = progress or (lambda *_: None)
    report(done, failed, total)
    if done == total:
        return
    with connect(scheduler, workers) as client:
        for outcome in solve_all(client, config.solver, inputs.jobs(wanted)):
            log.add(outcome.row, outcome.seconds, outcome.abundances, outcome.reason)
            done, failed = done + 1, failed + (outcome.abundances is None)
            report(done, failed, total)


def _failures_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.failed.csv")


def _check_failures(path: Path) -> None:
    """Raise InputError if a file that is no list of failures would be replaced."""
    if not path.exists():
        return
    headers = tuple(",".join(x).encode() for x in (FAILURE_COLUMNS, OLD_COLUMNS))
    if not path.is_file() or not path.read_bytes().startswith(headers):
        raise InputError(
            f"{path}: is no list of failed tracers, which has this name; move it "
            "away, or give another name."
        )


def _write_failures(
    store: TracerStore, log: ResultsLog, stopped: np.ndarray, out: Path
) -> Path | None:
    """Write the list of tracers that stopped or failed, or remove an older one."""
    path, listed = _failures_path(out), np.flatnonzero(stopped | log.failed).tolist()
    if not listed:
        path.unlink(missing_ok=True)
        return None
    with (
        written_beside(path) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(FAILURE_COLUMNS)
        for row in listed:
            ids = store.tracer[row], store.simulation[row], row
            interval = max(int(log.states[row]) - 1, 0)
            seconds = f"{log.seconds[row]:.1f}"
            writer.writerow((*ids, interval, seconds, log.reason(row)))
    return path


def _write(
    inputs: SolverInputs,
    log: ResultsLog,
    out: Path,
    splits: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    """Write the solved tracers, in the order of the trajectories."""
    store = inputs.store
    families = store.families()
    with TracerWriter(
        out,
        species=inputs.species,
        parameters=store.parameters,
        units=store.units,
        states=store.states,
        attributes=attributes,
    ) as writer:
        for given in inputs.blocks():
            block = given.take(np.flatnonzero(~log.failed[given.rows]))
            block.time -= block.time[:, :1].copy()
            block.split = splits[block.rows]
            shape = (len(block), store.states, len(inputs.species))
            block.abundances = np.full(shape, np.nan, np.float32)
            block.length = log.states[block.rows].astype(np.int32)
            for i, length in enumerate(block.length):
                block.abundances[i, :length] = log.abundances(int(block.rows[i]))
                block.physical[i, length - 1 :] = np.nan
                block.time[i, length:] = np.nan
            writer.append(block)
        if families is not None:
            kept = np.flatnonzero(~log.failed)
            writer.add_families([families[row] for row in kept])
