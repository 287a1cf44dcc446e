"""A tracer file against a solver: a few of its states are solved again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import GenerationConfig
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.subset import sampling_order
from astrokeras.errors import InputError
from astrokeras.generation.misreadings import AS_IS, Hypothesis, suppose
from astrokeras.generation.solver_inputs import Tracks, told
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import SolverError
from astrokeras.system import arguments

INTERVALS = 5
"""Solved in a row: what a stored start lacks, below its floor or after its last digit,
is forgotten after a few."""
STARTS = 2
"""In each tracer: where its parameters change fastest, and anywhere."""
THRESHOLD = 0.02
"""Dex up to which a file agrees with a solver."""
MARKED, LEAST = 0.7, 1e-5
"""A reading fits better if the file's error is larger than this, dex, and its own less
than this share of it."""
SERIOUS = 5e-4
"""Dex from which on such a file is refused, though below the threshold: a row's shift
of smooth trajectories costs no more than some 0.01."""
WORST = 5
"""Species that are named."""


@dataclass(frozen=True)
class Verification:
    """How a file and a solver compare; differences are means of |log10| ratios, dex.

    Attributes:
        path: The file.
        solver: That solved again, and its version.
        stored: What the file says of its own: solver and tolerances.
        intervals: Solved in a row, each time.
        tracers: `tracer`, `simulation`, `states` that were started from, `dex`.
        species: Those that differ most, worst first, with their dex.
        readings: Dex of the file as it is and of each hypothesis; `None` where the
            solver failed.
        better: The hypothesis that fits markedly better, if any.
        threshold: Dex up to which they agree.
    """

    path: Path
    solver: str
    stored: str
    intervals: int
    tracers: list[dict[str, Any]]
    species: dict[str, float]
    readings: dict[str, float | None]
    better: Hypothesis | None
    threshold: float

    @property
    def dex(self) -> float:
        """Of the file as it is."""
        return float(np.mean([one["dex"] for one in self.tracers]))

    @property
    def agrees(self) -> bool:
        serious = self.better is not None and self.dex > SERIOUS
        return self.dex <= self.threshold and not serious

    @property
    def remark(self) -> str:
        """What is wrong, in a line with the remedy; empty if nothing is."""
        said = f"{self.path}: {self.solver} differs by {self.dex:.2g} dex"
        if self.better is not None:
            left = self.readings[self.better.name]
            name, remedy = self.better.name, self.better.remedy
            return f"{said}, with {name} by {left:.2g}; {remedy}."
        if self.agrees:
            return ""
        most = ", ".join(f"{name} {dex:.2g}" for name, dex in self.species.items())
        return (
            f"{said}, more than {self.threshold:g} (most: {most}), and no usual "
            f"mistake explains it; the file is of {self.stored or 'an unnamed solver'},"
            " compare versions, networks, tolerances and what was held constant."
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        better = None if self.better is None else self.better.name
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        more = {"dex": self.dex, "agrees": self.agrees, "remark": self.remark}
        return told | {"path": str(self.path), "better": better} | more


def verify(
    path: str | Path,
    config: GenerationConfig,
    *,
    tracers: int = 4,
    seed: int = 0,
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Solve a few states of a file again and compare.

    The solver starts from stored states and goes on for `INTERVALS` with the file's own
    parameters; its last state is compared with the stored one. The same is done for
    each of `hypotheses.suppose`, so that a misalignment is seen although the
    trajectories are smooth.

    Args:
        path: A tracer file with all its states.
        config: The solver, whose `constants` the file may lack.
        tracers: How many, of different simulations as far as there are.
        seed: Of the choice of tracers and states.
        threshold: Dex up to which they agree.
        progress: Called with tracers done and in all.

    Raises:
        InputError: If the file is malformed, has initial states only or tracers too
            short, or its species or parameters are not the solver's.
        SolverError: If the solver fails.
    """
    tracers = arguments.whole("tracers", tracers, low=1)
    seed = arguments.whole("seed", seed)
    threshold = arguments.number("threshold", threshold, low=0)
    with TracerStore(path) as store:
        rows = _choose(store, tracers, seed)
        with SolverProcess(config.solver) as host:
            tracks = Tracks(store, host, config)
            _check_options(store, config)
            tried = suppose(tracks)
            errors, compared = [], []
            for done, row in enumerate(rows):
                tracer = store.read(rows[done : done + 1])
                starts = _starts(tracer, np.random.default_rng((seed, int(row))))
                found = np.stack(
                    [_compare(host, tracks, tracer, i, tried) for i in starts]
                )
                errors.append(found)
                compared.append(_describe(tracer, starts, found))
                if progress:
                    progress(done + 1, len(rows))
    means = np.concatenate(errors).mean(axis=0)
    total = means.mean(axis=1)
    attributes = store.attributes
    stored = [str(attributes.get(key, "")) for key in ("solver", "tolerances")]
    worst = np.argsort(-means[0])[:WORST]
    return Verification(
        path=store.path,
        solver=tracks.facts["solver"],
        stored=", ".join(filter(None, stored)),
        intervals=INTERVALS,
        tracers=compared,
        species={tracks.species[i]: float(means[0, i]) for i in worst},
        readings={
            one.name: float(dex) if np.isfinite(dex) else None
            for one, dex in zip(tried, total, strict=True)
        },
        better=_better(tried, total),
        threshold=threshold,
    )


def _check_options(store: TracerStore, config: GenerationConfig) -> None:
    """Refuse a file that was solved with other options than those given."""
    given, stored = told(config.solver.options), store.listed("options")
    if stored and sorted(given) != sorted(stored):
        raise InputError(
            f"{store.path}: was solved with solver.options {', '.join(stored)}, not "
            f"{', '.join(given) or 'none'}; give the same."
        )


def _choose(store: TracerStore, tracers: int, seed: int) -> np.ndarray:
    """Return rows of different simulations whose tracers are long enough."""
    if not store.solved:
        raise InputError(
            f"{store.path}: holds initial states only; verify a file of solved tracers."
        )
    # A start needs a row before it, and the last interval one after it.
    needed = INTERVALS + 3
    long = np.flatnonzero(store.length >= needed)
    if not len(long):
        raise InputError(
            f"{store.path}: no tracer has {needed} states, which verifying takes; "
            "use longer ones."
        )
    order = sampling_order(store.simulation[long], store.split[long], seed=seed)
    return long[order[:tracers]]


def _starts(tracer: Tracers, generator: np.random.Generator) -> list[int]:
    """Return the states to start from: before the fastest change, and any others."""
    steps = int(tracer.length[0]) - 1
    last = steps - INTERVALS - 1
    logs = np.log10(tracer.physical[0, :steps].astype(float))
    pace = np.abs(np.diff(logs, axis=0)).sum(axis=1)
    fastest = int(np.clip(pace.argmax() - INTERVALS // 2, 1, last))
    others = np.setdiff1d(np.arange(1, last + 1), [fastest])
    chosen = generator.permutation(others)[: STARTS - 1]
    return [fastest, *map(int, chosen)]


def _compare(
    host: SolverProcess,
    tracks: Tracks,
    tracer: Tracers,
    start: int,
    tried: tuple[Hypothesis, ...],
) -> np.ndarray:
    """Return how far each reading ends from the stored state, dex, (hypotheses, S)."""
    stored = tracer.abundances[0][:, tracks.order].astype(float)
    time, physical = tracer.time[0], tracer.physical[0]
    wanted = log10_abundances(stored[start + INTERVALS], highest=1.0)
    errors = np.full((len(tried), len(wanted)), np.inf)
    for number, one in enumerate(tried):
        given = one.read(tracks, time, physical, start, INTERVALS)
        try:
            solved = host.solve(*given, stored[start])
        except SolverError as error:
            if one is AS_IS:
                raise SolverError(
                    f"{tracks.store.path}: tracer {tracer.tracer[0]} from state "
                    f"{start}: {error}."
                ) from error
            continue
        errors[number] = np.abs(log10_abundances(solved[-1], highest=1.0) - wanted)
    return errors


def _describe(tracer: Tracers, starts: list[int], errors: np.ndarray) -> dict[str, Any]:
    return {
        "tracer": int(tracer.tracer[0]),
        "simulation": int(tracer.simulation[0]),
        "states": starts,
        "dex": float(errors[:, 0].mean()),
    }


def _better(tried: tuple[Hypothesis, ...], dex: np.ndarray) -> Hypothesis | None:
    """Return the reading that fits best, if it does so markedly."""
    best = int(dex.argmin())
    marked = dex[0] > LEAST and dex[best] < MARKED * dex[0]
    return tried[best] if marked else None
