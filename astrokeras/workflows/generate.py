"""Trajectories through a solver of the chemistry into a tracer file."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import find_elements, order_elements
from astrokeras.config import GenerationConfig
from astrokeras.data import schema
from astrokeras.data.cache import hash_file
from astrokeras.data.columns import match_species
from astrokeras.data.initial import read_initial
from astrokeras.data.journal import Journal
from astrokeras.data.split import make_split, split_attributes
from astrokeras.data.store import Tracers, TracerStore, TracerWriter
from astrokeras.errors import InputError, WorkError
from astrokeras.files import written_beside
from astrokeras.solvers.checks import check_tracks
from astrokeras.solvers.process import Host
from astrokeras.workflows.parts import Parts
from astrokeras.workflows.pool import Job, connect, solve_all
from astrokeras.workflows.rollout import read_given

NETWORK = "network"
"""The start that is the network's own."""
BLOCK = 32
"""Tracers that are read and written at once."""


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
) -> Generation:
    """Solve the chemistry along every trajectory of a file and write a tracer file.

    The whole input is checked before the first tracer is solved. Each is solved in a
    process of its own, in a limited time; one that fails is recorded and the rest go
    on. Whatever was solved survives any interruption.

    Args:
        tracks: A tracer file; of its abundances only state 0 is used, if it has them.
        out: The tracer file to write, its states relative to time 0 of each tracer.
        config: The solver, and how the file is described and split.
        initial: One start for all tracers: "network", its own, or a CSV file of
            abundances with species as columns. By default each tracer's state 0 where
            `tracks` has abundances, else the network's own.
        scheduler: Address of a Dask scheduler; a cluster of this machine by default.
        workers: Of this machine's cluster; one for each core by default.
        split: Whether to split by simulation, unless `tracks` is split.
        resume: Whether to go on with an interrupted generation.
        overwrite: Whether a file, or an interrupted generation, may be replaced.
        progress: Called with tracers done, failed and in all.

    Returns:
        What was written.

    Raises:
        InputError: If the file is malformed, holds what the solver does not accept or
            the solver is not installed, naming file, tracer, row and value; as `Parts`
            for an interrupted generation.
        WorkError: If every tracer failed.
    """
    parts = Parts(Path(out), "generation")
    parts.check(Path(tracks), resume, overwrite)
    with TracerStore(tracks, need_abundances=False) as store:
        with Host(config.solver) as host:
            given = Tracks(store, host, config, initial)
        splits, told = _split(store, config, split)
        facts = {
            "tracks": hash_file(store.path),
            "solver": asdict(config.solver) | dict(given.facts),
            "initial": None if given.start is None else given.start.tolist(),
        }
        with parts.opened(facts, resume):
            place = parts.folder / "solved.journal"
            with Journal(place, store.tracers, len(given.species)) as journal:
                _solve(given, config, journal, scheduler, workers, progress)
                if journal.failed.all():
                    _, reason = next(journal.failures())
                    raise WorkError(
                        f"{store.path}: no tracer could be solved; the first: {reason}."
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


class Tracks:
    """Trajectories, checked, as a solver takes them.

    Args:
        store: The open file.
        solver: What it says of itself.
        config: See `generate`.
        initial: See `generate`.

    Raises:
        InputError: See `generate`.
    """

    def __init__(
        self,
        store: TracerStore,
        solver: Host,
        config: GenerationConfig,
        initial: str | Path | None,
    ):
        self.store = store
        self.species = solver.species
        self.facts = solver.facts
        self.config = config
        self.constant, self.equal = _fill(store, solver, config)
        self.start, self.order = self._find_start(solver, initial)
        check_tracks(store, solver.parameters, solver.shortest)

    def _find_start(
        self, solver: Host, initial: str | Path | None
    ) -> tuple[np.ndarray | None, list[int]]:
        """Return one start for all, or the columns of the file's species."""
        store = self.store
        if initial is None and store.has_abundances:
            path, wanted = str(store.path), solver.species
            return None, match_species(store.species, wanted, path, "the solver")
        if initial is None or str(initial) == NETWORK:
            return np.maximum(solver.initial, 0.0), []
        return read_initial(initial, solver.species, floor=0.0), []

    def jobs(self, wanted: np.ndarray) -> Iterator[Job]:
        """Iterate over what is to be solved, reading a few tracers at a time.

        Args:
            wanted: Whether to solve each, (N,) bool.
        """
        for block in self.blocks():
            for i, row in enumerate(block.rows):
                if not wanted[row]:
                    continue
                length = int(block.length[i])
                time = block.time[i, :length]
                physical = self.physical(block.physical[i, : length - 1])
                start = self.start
                if start is None:
                    start = block.abundances[i, 0, self.order].astype(float)
                yield Job(int(row), time - time[0], physical, start)

    def blocks(self) -> Iterator[Tracers]:
        """Iterate over all tracers, of their abundances state 0 alone."""
        for first in range(0, self.store.tracers, BLOCK):
            rows = slice(first, min(first + BLOCK, self.store.tracers))
            yield read_given(self.store, rows, check=False, start=self.start)

    def physical(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return every parameter of the solver, (T,) each, of a tracer's, (T, P)."""
        steps = values.astype(float)
        columns = dict(zip(self.store.parameters, steps.T, strict=True))
        for name, value in self.constant.items():
            columns[name] = np.full(len(steps), value)
        for name, other in self.equal.items():
            columns[name] = columns[other]
        return columns

    def attributes(self) -> dict[str, Any]:
        """Return what the tracer file says of its origin."""
        dataset, facts = self.config.dataset, self.facts
        elements = find_elements(self.species, dataset.elements)
        return {
            "source": self.store.attributes.get("source") or dataset.source,
            "network": facts["network"],
            "solver": facts["solver"],
            "tolerances": facts["tolerances"],
            "constants": facts["constants"],
            "licence": dataset.licence,
            "citation": dataset.citation,
            "files": [self.store.path.name],
            "alignment": "next",
            "floor": schema.FLOOR,
            "elements": list(order_elements(set(elements))),
            "fixed": [f"{name} = {value:g}" for name, value in self.constant.items()]
            + [f"{name} = {other}" for name, other in self.equal.items()],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _fill(
    store: TracerStore, solver: Host, config: GenerationConfig
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the parameters that the tracks lack: constants, and equals of others."""
    known, constants = solver.parameters, dict(config.solver.constants)
    units = zip(store.parameters, store.units, strict=True)
    for name, unit in units:
        if name not in known:
            raise InputError(
                f"{store.path}: the solver takes no parameter {name!r}; it takes "
                f"{', '.join(known)}. Rename it in `dataset.parameters`."
            )
        if unit != known[name].unit:
            raise InputError(
                f"{store.path}: parameter {name} is in {unit!r}, the solver takes "
                f"{known[name].unit!r}; convert it."
            )
    for name, value in constants.items():
        if name not in known or name in store.parameters:
            fault = "the tracks have it" if name in known else "there is no such one"
            raise InputError(f"solver.constants.{name}: {fault}; remove it.")
        if not known[name].low <= value <= known[name].high:
            raise InputError(
                f"solver.constants.{name} is {value:g}; the solver takes "
                f"{known[name].low:g} to {known[name].high:g} {known[name].unit}."
            )
    equal = {}
    for name, parameter in known.items():
        if name in store.parameters or name in constants:
            continue
        if parameter.default is None:
            raise InputError(
                f"{store.path}: parameter {name} is missing; add it, or give "
                f"solver.constants.{name}=VALUE."
            )
        if isinstance(parameter.default, str):
            equal[name] = parameter.default
        else:
            constants[name] = parameter.default
    return constants, equal


def _split(
    store: TracerStore, config: GenerationConfig, wanted: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Inherit the tracks' split, or make one; before anything is solved."""
    if store.has_split:
        return store.split, store.split_attributes
    if not wanted:
        return store.split, {}
    split = config.dataset.split
    codes = make_split(store.simulation, split, str(store.path))
    return codes, split_attributes(split)


def _solve(
    tracks: Tracks,
    config: GenerationConfig,
    journal: Journal,
    scheduler: str | None,
    workers: int | None,
    progress: Callable[[int, int, int], None] | None,
) -> None:
    """Solve what the journal lacks."""
    wanted = ~journal.done
    done, total = int(journal.done.sum()), len(wanted)
    tell = progress or (lambda *_: None)
    failed = int(journal.failed.sum())
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


def _write_failures(store: TracerStore, journal: Journal, out: Path) -> Path | None:
    """List the tracers that failed beside the file, or remove an older list."""
    path = out.with_suffix(".failed.csv")
    if not journal.failed.any():
        path.unlink(missing_ok=True)
        return None
    with (
        written_beside(path) as beside,
        open(beside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("tracer", "simulation", "row", "seconds", "reason"))
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
