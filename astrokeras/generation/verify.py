"""Verification of a tracer file: a solver solves some of its states again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import GenerationConfig
from astrokeras.data.checks.row_check import RowCheck
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.subset import sampling_order
from astrokeras.errors import InputError
from astrokeras.generation.misreadings import AS_STATED, Reading, candidate_readings
from astrokeras.generation.solver_inputs import SolverInputs, format_values
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import SolverError
from astrokeras.system import arguments

INTERVALS = 5
"""Steps solved in a row. A stored state lacks abundances below the floor and the last
digits; after a few steps this has no effect."""
STARTS = 2
"""Starting states in each tracer: before the fastest change, and at random."""
THRESHOLD = 0.02
"""Largest difference of a file that agrees with a solver, dex."""
MARKED, LEAST = 0.7, 1e-5
"""Another reading fits better if its error is less than `MARKED` times that of the file
as it is, and the latter is larger than `LEAST`, dex."""
SERIOUS = 5e-4
"""A file that another reading fits better disagrees above this error, dex, although it
is below the threshold: shifting smooth trajectories by a row costs 0.01 dex at most."""
WORST = 5
"""Number of species in the list of the worst."""


@dataclass(frozen=True)
class Verification:
    """Differences between a file and a solver: means of |log10| ratios, dex.

    Attributes:
        path: The file.
        solver: Name and version of the solver.
        stored: Solver and tolerances that the file names.
        intervals: Number of steps solved from each state.
        tracers: `tracer`, `simulation`, starting `states` and `dex` of each tracer.
        species: Dex of the species with the largest differences, worst first.
        readings: Dex of the file as it is and of each misreading; `None` where the
            solver failed.
        better: The misreading that fits markedly better, if any.
        threshold: Largest difference of a file that agrees, dex.
        coarse: A line on parameters that change much from row to row in these tracers,
            empty if there are none.
    """

    path: Path
    solver: str
    stored: str
    intervals: int
    tracers: list[dict[str, Any]]
    species: dict[str, float]
    readings: dict[str, float | None]
    better: Reading | None
    threshold: float
    coarse: str = ""

    @property
    def dex(self) -> float:
        """Mean difference of the file as it is, dex."""
        return float(np.mean([tracer["dex"] for tracer in self.tracers]))

    @property
    def agrees(self) -> bool:
        """Whether the file agrees with the solver."""
        serious = self.better is not None and self.dex > SERIOUS
        return self.dex <= self.threshold and not serious

    @property
    def remark(self) -> str:
        """Disagreement and remedy in one line; empty if there is none."""
        difference = f"{self.path}: {self.solver} differs by {self.dex:.2g} dex"
        coarse = f" Rows are coarse: {self.coarse}." if self.coarse else ""
        if self.better is not None and self.better.shift and coarse:
            return f"{difference}, perhaps since a row's value holds too long.{coarse}"
        if self.better is not None:
            name, remedy = self.better.name, self.better.remedy
            dex = self.readings[name]
            return f"{difference}, with {name} by {dex:.2g}; {remedy}.{coarse}"
        if self.agrees:
            return ""
        worst = ", ".join(f"{name} {dex:.2g}" for name, dex in self.species.items())
        return (
            f"{difference}, more than {self.threshold:g} (most: {worst}), and no usual "
            f"mistake explains it; the file is of {self.stored or 'an unnamed solver'},"
            " compare versions, networks, tolerances and constant parameters."
            f"{coarse}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        better = None if self.better is None else self.better.name
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        more = {"dex": self.dex, "agrees": self.agrees, "remark": self.remark}
        return values | {"path": str(self.path), "better": better} | more


def verify(
    path: str | Path,
    config: GenerationConfig,
    *,
    tracers: int = 4,
    seed: int = 0,
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Verification:
    """Solve a few states of a file again and compare.

    The solver starts from stored states and takes `INTERVALS` steps with the parameters
    of the file. Its last state is compared with the stored one. The same is done for
    each of `candidate_readings`, which reveals a misalignment even if the trajectories
    are smooth.

    Args:
        path: A solved tracer file.
        config: The solver, and the `constants` that the file lacks.
        tracers: Number of tracers, from different simulations as far as possible.
        seed: Random seed of the choice of tracers and states.
        threshold: Largest difference of a file that agrees, dex.
        progress: Called with the number of tracers done and in total.
        warn: Called with each line about possible errors in the file.

    Raises:
        InputError: If the file is malformed, has initial states only, all its tracers
            are too short, or its species or parameters are not those of the solver.
        SolverError: If the solver fails.
    """
    tracers = arguments.whole("tracers", tracers, low=1)
    seed = arguments.whole("seed", seed)
    threshold = arguments.number("threshold", threshold, low=0)
    with TracerStore(path) as store:
        rows = _choose(store, tracers, seed)
        with SolverProcess(config.solver) as host:
            inputs = SolverInputs(store, host, config)
            if warn is not None:
                for line in inputs.warnings:
                    warn(f"{line}.")
            _check_options(store, config)
            readings = candidate_readings(inputs)
            errors, compared = [], []
            check = RowCheck("", store.parameters, store.units)
            for done, row in enumerate(rows):
                tracer = store.read(rows[done : done + 1])
                check.add(tracer)
                starts = _starts(tracer, np.random.default_rng((seed, int(row))))
                differences = np.stack(
                    [_compare(host, inputs, tracer, i, readings) for i in starts]
                )
                errors.append(differences)
                compared.append(_describe(tracer, starts, differences))
                if progress:
                    progress(done + 1, len(rows))
    means = np.concatenate(errors).mean(axis=0)
    total = means.mean(axis=1)
    attributes = store.attributes
    stored = [str(attributes.get(key, "")) for key in ("solver", "tolerances")]
    worst = np.argsort(-means[0])[:WORST]
    return Verification(
        path=store.path,
        solver=inputs.solver_facts["solver"],
        stored=", ".join(filter(None, stored)),
        intervals=INTERVALS,
        tracers=compared,
        species={inputs.species[i]: float(means[0, i]) for i in worst},
        readings={
            reading.name: float(dex) if np.isfinite(dex) else None
            for reading, dex in zip(readings, total, strict=True)
        },
        better=_better(readings, total),
        threshold=threshold,
        coarse=check.warning() or "",
    )


def _check_options(store: TracerStore, config: GenerationConfig) -> None:
    """Raise InputError if the file was solved with other options than those given."""
    given, stored = format_values(config.solver.options), store.listed("options")
    if stored and sorted(given) != sorted(stored):
        raise InputError(
            f"{store.path}: was solved with solver.options {', '.join(stored)}, not "
            f"{', '.join(given) or 'none'}; give the same."
        )


def _choose(store: TracerStore, tracers: int, seed: int) -> np.ndarray:
    """Return rows of long enough tracers, from different simulations if possible."""
    if not store.solved:
        raise InputError(
            f"{store.path}: holds initial states only; verify a file of solved tracers."
        )
    # Shifted readings need a row before the first step and one after the last.
    needed = INTERVALS + 3
    long = np.flatnonzero(store.length >= needed)
    if not len(long):
        raise InputError(
            f"{store.path}: no tracer has {needed} states, which a verification needs; "
            "use longer ones."
        )
    order = sampling_order(store.simulation[long], store.split[long], seed=seed)
    return long[order[:tracers]]


def _starts(tracer: Tracers, generator: np.random.Generator) -> list[int]:
    """Return the starting states: before the fastest change, and random others."""
    steps = int(tracer.length[0]) - 1
    last = steps - INTERVALS - 1
    logs = np.log10(tracer.physical[0, :steps].astype(float))
    change = np.abs(np.diff(logs, axis=0)).sum(axis=1)
    fastest = int(np.clip(change.argmax() - INTERVALS // 2, 1, last))
    others = np.setdiff1d(np.arange(1, last + 1), [fastest])
    chosen = generator.permutation(others)[: STARTS - 1]
    return [fastest, *map(int, chosen)]


def _compare(
    host: SolverProcess,
    inputs: SolverInputs,
    tracer: Tracers,
    start: int,
    readings: tuple[Reading, ...],
) -> np.ndarray:
    """Return the errors of all readings at the last state, dex, (readings, S)."""
    stored = tracer.abundances[0][:, inputs.order].astype(float)
    time, physical = tracer.time[0], tracer.physical[0]
    expected = log10_abundances(stored[start + INTERVALS], highest=1.0)
    errors = np.full((len(readings), len(expected)), np.inf)
    for number, reading in enumerate(readings):
        given = reading.read(inputs, time, physical, start, INTERVALS)
        try:
            solved = host.solve(*given, stored[start])
        except SolverError as error:
            if reading is AS_STATED:
                raise SolverError(
                    f"{inputs.store.path}: tracer {tracer.tracer[0]} from state "
                    f"{start}: {error}."
                ) from error
            continue
        errors[number] = np.abs(log10_abundances(solved[-1], highest=1.0) - expected)
    return errors


def _describe(tracer: Tracers, starts: list[int], errors: np.ndarray) -> dict[str, Any]:
    return {
        "tracer": int(tracer.tracer[0]),
        "simulation": int(tracer.simulation[0]),
        "states": starts,
        "dex": float(errors[:, 0].mean()),
    }


def _better(readings: tuple[Reading, ...], dex: np.ndarray) -> Reading | None:
    """Return the reading that fits best, if it fits markedly better."""
    best = int(dex.argmin())
    marked = dex[0] > LEAST and dex[best] < MARKED * dex[0]
    return readings[best] if marked else None
