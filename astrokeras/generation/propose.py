"""Which trajectories to solve next: where a surrogate is wrong, and not all alike."""

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
from astrokeras.prediction.predict import (
    check_input_values,
    read_initial_condition,
)
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
    """What `propose` wrote, and what it is worth.

    Attributes:
        path: The file of tracks.
        chosen: Tracers in it.
        pool: Those it was chosen from.
        left_out: Tracers of the file that were not to be chosen.
        expected: Expected error of those chosen, mean over their states, dex.
        expected_rest: The same of the others; NaN if there are none.
        trusted: Share of the pool's states that are trusted.
        trusted_tracers: Share of its tracers all of whose states are.
        warnings: What of the file lies outside the training ranges, a line each.
    """

    path: Path
    chosen: int
    pool: int
    left_out: int
    expected: float
    expected_rest: float
    trusted: float
    trusted_tracers: float
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
    """Choose the trajectories whose solutions a surrogate would learn most from.

    Every trajectory is rolled out, those in `solved` too. How wrong the surrogate is on
    each is what its `Trust` expects; which of them tell most about the others, beside
    what is solved, `cover.choose` says. The same input gives the same choice. Memory
    does not grow with the file: of more than 2048 trajectories, or 2 for each one
    chosen, the choice is among so many, drawn in proportion to what is to be gained on
    each.

    What is chosen is written in order of its use, the first one most, and for training:
    a file with a split is chosen from its training tracers alone, and the new file's
    are all in `train`. It has state 0 of those it started from, and no abundances if
    it started from `initial`.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`; calibrated.
        tracks: A tracer file, solved or not; of its abundances only state 0 is used.
        out: The file of tracks to write, ready for `generate`.
        count: How many to choose.
        initial: One start for all tracers instead of theirs: the name of a start of
            the surrogate, or a CSV file of abundances with species as columns.
        solved: Tracer files whose tracers are left out, and with them all of the
            simulations in their validation and test splits: what is solved already, is
            being solved, or failed; tracks will do. What is
            near one of theirs to train on is worth less; without such files all is
            taken for unknown, and expected errors alone tell what to gain.
        batch_size: Tracers rolled out at once.
        overwrite: Whether a file may be replaced.
        progress: Called with the tracers of the pool rolled out and in all.
        warn: Called with each line about what lies outside the training box.

    Returns:
        What was written.

    Raises:
        InputError: If there is no such surrogate or file, the surrogate is not
            calibrated, the file does not suit it, or there are less than `count`
            trajectories to choose from.
    """
    out = arguments.path("out", out)
    target = find_surrogate_reference(run)
    for source in (tracks, *solved, initial, target.path):
        check_out(out, Path(source or tracks), overwrite)
    _check(target, count, batch_size)
    for path in solved:
        with TracerStore(path, need_abundances=False) as done:
            match_columns(done, target)
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

        from astrokeras.generation import selection
        from astrokeras.generation.rollout_summary import Totals, follow

        told = {"proposed_from": store.path.name, "proposed_by": target.name}
        told |= {"surrogate_sha256": target.sha256()}
        surrogate = target.load()
        known = selection.ConditionedGaussianProcess(
            _follow_solved(surrogate, target, solved, start, size)
        )
        reservoir = selection.Reservoir(
            max(selection.KEPT, selection.PER_CHOICE * count)
        )
        totals = Totals()
        for given in _blocks(store, wanted, start, size):
            paths = follow(surrogate, given, columns, size)
            totals.add(paths)
            reservoir.add(paths, known.to_gain(paths))
            if progress:
                progress(totals.tracers, pool)
        kept = reservoir.paths
        best = selection.choose(known.covariance(kept.stops), reservoir.weights, count)
        write_rows(
            store,
            kept.rows[best],
            out,
            told,
            abundances="start" if initial is None else "none",
            split=TRAIN,
        )
    expected, rest = kept.expected[best], pool - count
    others = totals.expected - expected.sum()
    return Proposal(
        path=out,
        chosen=count,
        pool=pool,
        left_out=store.tracers - pool,
        expected=float(expected.mean()),
        expected_rest=float(others / rest) if rest else np.nan,
        trusted=totals.trusted / totals.states,
        trusted_tracers=totals.trusted_tracers / pool,
        warnings=lines,
    )


def find_pool(store: TracerStore, solved: Sequence[str | Path]) -> np.ndarray:
    """Return which tracers may be chosen, (N,) bool.

    Args:
        store: The open file. If it has a split, what judges a surrogate must not be
            chosen by one: training tracers alone may be.
        solved: Files of tracers that may not, solved or tracks, nor any other of a
            simulation that is in their validation or test split.

    Raises:
        InputError: If a file is none of tracers.
    """
    wanted = (store.split == TRAIN) | (not store.has_split)
    for path in solved:
        with TracerStore(path, need_abundances=False) as known:
            pairs = set(zip(known.simulation, known.tracer, strict=True))
            judging = known.has_split & (known.split != TRAIN)
            judged = set(known.simulation[judging]) - {NO_SIMULATION}
        wanted &= [
            simulation not in judged and (simulation, tracer) not in pairs
            for simulation, tracer in zip(store.simulation, store.tracer, strict=True)
        ]
    return wanted


def _follow_solved(
    surrogate: Any,
    target: SurrogateReference,
    solved: Sequence[str | Path],
    start: np.ndarray | None,
    size: int,
) -> np.ndarray | None:
    """Return the stops of what there is to train on, (m, STOPS, L), `None` if nothing.

    Tracers start from their own state 0, or where their file has none from the pool's;
    without either, nobody knows where they lead.
    """
    from astrokeras.generation.rollout_summary import follow

    stops = []
    for path in solved:
        with TracerStore(path, need_abundances=False) as known:
            if not known.has_abundances and start is None:
                continue
            columns = match_columns(known, target)
            first = None if known.has_abundances else start
            for given in _blocks(known, find_pool(known, ()), first, size):
                stops.append(follow(surrogate, given, columns, size).stops)
    return np.concatenate(stops) if stops else None


def _check(target: SurrogateReference, count: int, batch_size: int) -> None:
    if not target.metadata.calibrated:
        raise InputError(
            f"{target.path or target.name}: is not calibrated, it does not know where "
            "it is wrong; train it with calibration=0.5 and two simulations in "
            "validation at least, or draw at random with `astrokeras data sample`."
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
    """Iterate over the pool, of its abundances state 0 alone."""
    for first in range(0, store.tracers, size):
        rows = slice(first, first + size)
        index = np.flatnonzero(wanted[rows])
        if len(index):
            yield read_given(store, rows, check=False, start=start).take(index)
