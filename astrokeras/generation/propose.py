"""Proposal of trajectories to solve next: large expected errors, no near-copies."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import NO_SIMULATION, SPLITS
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.subset import write_rows
from astrokeras.errors import InputError
from astrokeras.prediction.input_check import check_input_values
from astrokeras.prediction.predict import read_initial_condition
from astrokeras.prediction.tracer_rollout import batch_size as bounded
from astrokeras.prediction.tracer_rollout import read_given
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.system import arguments
from astrokeras.system.atomic_files import check_out

TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Proposal:
    """Result of `propose`.

    Attributes:
        path: The file of tracks.
        chosen: Number of tracers in it.
        pool: Number of tracers that could be chosen.
        left_out: Number of tracers of the file that could not be chosen.
        expected: Expected error of the chosen tracers, mean over states, dex.
        expected_rest: The same of the other tracers of the pool; NaN if there are none.
        reliable: Share of reliable states in the pool.
        reliable_tracers: Share of tracers in the pool that are reliable in every state.
        warnings: Lines about values of the file outside the training ranges.
    """

    path: Path
    chosen: int
    pool: int
    left_out: int
    expected: float
    expected_rest: float
    reliable: float
    reliable_tracers: float
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        rest = None if np.isnan(self.expected_rest) else self.expected_rest
        return asdict(self) | {"path": str(self.path), "expected_rest": rest}


def propose(
    run: Any,
    tracks: str | Path,
    out: str | Path,
    count: int,
    *,
    initial: str | Path | None = None,
    solved: Sequence[str | Path] = (),
    batch_size: int = 256,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Proposal:
    """Choose the trajectories that would improve a surrogate most if solved.

    All trajectories are rolled out, including those in `solved`. The `Trust` of the
    surrogate estimates their errors, and `choose_trajectories` selects those
    that reveal most about the others. The same input gives the same choice. Memory does
    not grow with the file: from more than 2048 trajectories, or 2 for each one to
    choose, that many candidates are drawn in proportion to their gain.

    The chosen trajectories are written in order of their use, the most useful first.
    They are training tracers: if the file has a split, only its training tracers are
    chosen, and all tracers of the new file are in `train`. The new file holds state 0
    if the rollouts started from it, and no abundances if they started from `initial`.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`; calibrated.
        tracks: A tracer file, solved or not; only state 0 of its abundances is used.
        out: The file of tracks to write, which `generate` solves.
        count: Number of trajectories to choose.
        initial: Initial abundances of all tracers instead of their own: a name that the
            surrogate knows, or a CSV file with a column for each species.
        solved: Files of tracers that are solved, being solved, or failed; tracks are
            accepted too. These tracers are not chosen, nor are the simulations in the
            validation and test splits of these files. Trajectories similar to their
            training tracers are worth less. Without such files the gain depends on the
            expected errors only.
        batch_size: Tracers rolled out at once.
        overwrite: Whether a file may be replaced.
        progress: Called with the number of tracers rolled out and in total.
        warn: Called with each line about values outside the training ranges.

    Returns:
        Counts and expected errors.

    Raises:
        InputError: If there is no such surrogate or file, the surrogate is not
            calibrated, the file does not fit it, or there are fewer than `count`
            trajectories to choose from.
    """
    out = arguments.path("out", out)
    target = find_surrogate_reference(run)
    for source in (tracks, *solved, initial, target.path):
        check_out(out, Path(source or tracks), overwrite)
    _check(target, count, batch_size)
    for path in solved:
        with TracerStore(path, need_abundances=False) as known:
            match_columns(known, target)
    with TracerStore(tracks, need_abundances=False) as store:
        columns = match_columns(store, target)
        start = None if initial is None else read_initial_condition(initial, target)
        wanted = find_pool(store, solved)
        pool = int(wanted.sum())
        _check_count(store, pool, count)
        size = bounded(
            batch_size, store.tracers, store.states, len(target.metadata.species)
        )
        lines = check_input_values(store, target, columns, start, size)
        for line in lines:
            warn(f"{store.path}: {line}")

        from astrokeras.generation import candidate_ranking as ranking
        from astrokeras.generation.rollout_summary import (
            PoolTotals,
            summarise_rollouts,
        )

        attributes = {
            "proposed_from": store.path.name,
            "proposed_by": target.name,
            "surrogate_sha256": target.sha256(),
        }
        surrogate = target.load()
        process = ranking.ConditionedGaussianProcess(
            _solved_positions(surrogate, target, solved, start, size)
        )
        reservoir = ranking.Reservoir(max(ranking.LARGEST, ranking.PER_CHOICE * count))
        totals = PoolTotals()
        for given in _blocks(store, wanted, start, size):
            summary = summarise_rollouts(surrogate, given, columns)
            totals.add(summary)
            reservoir.add(summary, process.gain(summary))
            if progress:
                progress(totals.tracers, pool)
        candidates = reservoir.summary
        covariances = process.covariance(candidates.positions)
        best = ranking.choose_trajectories(covariances, reservoir.weights, count)
        write_rows(
            store,
            candidates.rows[best],
            out,
            attributes,
            abundances="start" if initial is None else "none",
            split=TRAIN,
        )
    expected, rest = candidates.expected[best], pool - count
    others = totals.expected - expected.sum()
    return Proposal(
        path=out,
        chosen=count,
        pool=pool,
        left_out=store.tracers - pool,
        expected=float(expected.mean()),
        expected_rest=float(others / rest) if rest else np.nan,
        reliable=totals.reliable / totals.states,
        reliable_tracers=totals.reliable_tracers / pool,
        warnings=lines,
    )


def find_pool(store: TracerStore, solved: Sequence[str | Path]) -> np.ndarray:
    """Return which tracers may be chosen, (N,) bool.

    Args:
        store: The open file. If it has a split, only training tracers may be chosen,
            as the others test surrogates.
        solved: Files whose tracers may not be chosen, nor may other tracers of the
            simulations in their validation and test splits.

    Raises:
        InputError: If a file is no tracer file.
    """
    wanted = (store.split == TRAIN) | (not store.has_split)
    for path in solved:
        with TracerStore(path, need_abundances=False) as known:
            pairs = set(zip(known.simulation, known.tracer, strict=True))
            held_out = known.has_split & (known.split != TRAIN)
            excluded = set(known.simulation[held_out]) - {NO_SIMULATION}
        wanted &= [
            simulation not in excluded and (simulation, tracer) not in pairs
            for simulation, tracer in zip(store.simulation, store.tracer, strict=True)
        ]
    return wanted


def _solved_positions(
    surrogate: Any,
    target: SurrogateReference,
    solved: Sequence[str | Path],
    start: np.ndarray | None,
    size: int,
) -> np.ndarray | None:
    """Return the positions of the solved training tracers, `None` if there are none.

    Tracers start from their own state 0 or, if their file has none, from `start`. A
    file without either is skipped.
    """
    from astrokeras.generation.rollout_summary import summarise_rollouts

    positions = []
    for path in solved:
        with TracerStore(path, need_abundances=False) as known:
            if not known.has_abundances and start is None:
                continue
            columns = match_columns(known, target)
            first = None if known.has_abundances else start
            for given in _blocks(known, find_pool(known, ()), first, size):
                summary = summarise_rollouts(surrogate, given, columns)
                positions.append(summary.positions)
    return np.concatenate(positions) if positions else None


def _check(target: SurrogateReference, count: int, batch_size: int) -> None:
    if not target.metadata.calibrated:
        raise InputError(
            f"{target.path or target.name}: is not calibrated, so its errors cannot be "
            "estimated; train it with calibration=0.5 and at least two validation "
            "simulations, or draw at random with `astrokeras data sample`."
        )
    arguments.whole("count", count, low=1)
    arguments.whole("batch_size", batch_size, low=1)


def _check_count(store: TracerStore, pool: int, count: int) -> None:
    if count <= pool:
        return
    left_out = store.tracers - pool
    note = f" ({left_out} are solved, or not for training)" * (left_out > 0)
    fewer = f"{pool} at most, or " * (pool > 0)
    raise InputError(
        f"{store.path}: holds {pool} trajectories to choose from{note}, count is "
        f"{count}; give {fewer}a larger file."
    )


def _blocks(
    store: TracerStore, wanted: np.ndarray, start: np.ndarray | None, size: int
) -> Iterator[Tracers]:
    """Yield the tracers of the pool, with abundances of state 0 only."""
    for first in range(0, store.tracers, size):
        rows = slice(first, first + size)
        index = np.flatnonzero(wanted[rows])
        if len(index):
            yield read_given(store, rows, check=False, start=start).take(index)
