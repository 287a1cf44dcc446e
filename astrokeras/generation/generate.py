"""Trajectories through a solver of the chemistry into a tracer file."""

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
from astrokeras.generation.dask_pool import check_scheduler, connect, solve_all
from astrokeras.generation.results_log import Journal
from astrokeras.generation.solver_inputs import Tracks
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import find_file
from astrokeras.system import arguments
from astrokeras.system.atomic_files import hash_file, written_beside

FAILURE_COLUMNS = ("tracer", "simulation", "row", "seconds", "reason")


@dataclass(frozen=True)
class Generation:
    """What `generate` wrote.

    Attributes:
        path: The tracer file.
        solved: Tracers in it.
        failed: Tracers left out, each with its reason in `failures`.
        failures: The list of these, CSV; `None` if there are none.
        seconds: Of one core, that the solver took.
    """

    path: Path
    solved: int
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

    The whole input is checked before the first tracer is solved. Each is solved in a
    process of its own, in a limited time; one that fails is recorded and the rest go
    on. Whatever was solved survives any interruption.

    Args:
        tracks: A tracer file; of its abundances only state 0 is used, if it has them.
            Or a table that `import_tracers` reads, of which the physics alone is used.
        out: The tracer file to write, its states relative to time 0 of each tracer.
        config: The solver, and how a table is read, and the file described and split.
        initial: One start for all tracers: "network", its own, or a CSV file of
            abundances with species as columns. By default each tracer's state 0 where
            `tracks` has abundances, else the network's own.
        scheduler: Address of a Dask scheduler; a cluster of this machine by default.
        workers: Of this machine's cluster; one for each core by default.
        split: Whether to split by simulation, unless `tracks` is split.
        resume: Whether to go on with an interrupted generation.
        overwrite: Whether a file, or an interrupted generation, may be replaced.
        progress: Called with tracers done, failed and in all.
        warn: Called with each line about what may be wrong with a table.

    Returns:
        What was written.

    Raises:
        InputError: If the file is malformed, holds what the solver does not accept or
            the solver is not installed, naming file, tracer, row and value; as `Parts`
            for an interrupted generation.
        WorkError: If every tracer failed, or the scheduler is gone.
    """
    arguments.flags(split=split, resume=resume, overwrite=overwrite)
    if workers is not None:
        workers = arguments.whole("workers", workers, low=1)
    parts = ResumableOutput(arguments.path("out", out), "generation")
    parts.check(arguments.path("tracks", tracks), resume, overwrite)
    _check_failures(_failures_path(parts.out))
    with opened_tracks(tracks, config.dataset, warn) as store:
        with SolverProcess(config.solver) as host:
            given = Tracks(store, host, config, initial, Path(tracks))
        splits, told = _split(given, split)
        facts = {
            "tracks": hash_file(given.path),
            **{f"dataset.{key}": one for key, one in asdict(config.dataset).items()},
            **{f"solver.{key}": one for key, one in _chemistry(config.solver).items()},
            **given.facts,
            "fixed": given.fixed(),
            "initial": None if given.start is None else given.start.tolist(),
        }
        check_scheduler(scheduler)
        with parts.opened(facts, resume):
            place = parts.folder / "solved.journal"
            with Journal(place, store.tracers, len(given.species)) as journal:
                _solve(given, config, journal, scheduler, workers, progress)
                if journal.failed.all():
                    _, reason = next(journal.failures())
                    raise WorkError(
                        f"{given.path}: no tracer could be solved; the first: {reason}."
                    )
                failures = _write_failures(store, journal, parts.out)
                attributes = given.attributes() | told
                _write(given, journal, parts.out, splits, attributes)
                failed = int(journal.failed.sum())
                return Generation(
                    parts.out,
                    store.tracers - failed,
                    failed,
                    failures,
                    float(journal.seconds.sum()),
                )


def _chemistry(config: SolverConfig) -> dict[str, Any]:
    """Return what tracers solved before and after an interruption have in common."""
    told = asdict(config)
    del told["time_limit"]
    told["files"] = {
        key: hash_file(find_file(key, given)) for key, given in config.files.items()
    }
    return told


def _split(tracks: Tracks, wanted: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Inherit the tracks' split, or make one; before anything is solved."""
    store = tracks.store
    if store.has_split:
        return store.split, store.split_attributes
    if not wanted:
        return store.split, {}
    split = tracks.config.dataset.split
    codes = make_split(store.simulation, split, str(tracks.path))
    return codes, split_attributes(split)


def _solve(
    tracks: Tracks,
    config: GenerationConfig,
    journal: Journal,
    scheduler: str | None,
    workers: int | None,
    progress: Callable[[int, int, int], None] | None,
) -> None:
    """Solve what the journal lacks, and what failed before an interruption."""
    wanted = ~journal.done | journal.failed
    done, failed, total = int((~wanted).sum()), 0, len(wanted)
    tell = progress or (lambda *_: None)
    tell(done, failed, total)
    if done == total:
        return
    with connect(scheduler, workers) as client:
        for outcome in solve_all(client, config.solver, tracks.jobs(wanted)):
            journal.add(
                outcome.row, outcome.seconds, outcome.abundances, outcome.reason
            )
            done, failed = done + 1, failed + (outcome.abundances is None)
            tell(done, failed, total)


def _failures_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.failed.csv")


def _check_failures(path: Path) -> None:
    """Refuse to replace a file that is no list of failures."""
    if not path.exists():
        return
    header = ",".join(FAILURE_COLUMNS).encode()
    if not path.is_file() or not path.read_bytes().startswith(header):
        raise InputError(
            f"{path}: is in the way of the list of tracers that fail and is none; move "
            "it away, or give another name."
        )


def _write_failures(store: TracerStore, journal: Journal, out: Path) -> Path | None:
    """List the tracers that failed beside the file, or remove an older list."""
    path = _failures_path(out)
    if not journal.failed.any():
        path.unlink(missing_ok=True)
        return None
    with (
        written_beside(path) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(FAILURE_COLUMNS)
        for row, reason in journal.failures():
            ids = store.tracer[row], store.simulation[row], row
            writer.writerow((*ids, f"{journal.seconds[row]:.1f}", reason))
    return path


def _write(
    tracks: Tracks,
    journal: Journal,
    out: Path,
    splits: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    """Write what was solved, in the order of the tracks."""
    store = tracks.store
    with TracerWriter(
        out,
        species=tracks.species,
        parameters=store.parameters,
        units=store.units,
        states=store.states,
        attributes=attributes,
    ) as writer:
        for given in tracks.blocks():
            block = given.take(np.flatnonzero(~journal.failed[given.rows]))
            block.time -= block.time[:, :1].copy()
            block.split = splits[block.rows]
            shape = (len(block), store.states, len(tracks.species))
            block.abundances = np.full(shape, np.nan, np.float32)
            for i, row in enumerate(block.rows):
                block.abundances[i, : block.length[i]] = journal.abundances(int(row))
            writer.append(block)
