"""Evaluation plan: the tracers, the baselines, and all checks of the input."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astrokeras.data.tracers.file_format import SPLITS
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError
from astrokeras.evaluation.baselines import Baseline, MeanTrajectory, NearestTracer
from astrokeras.models.out_of_range import OutOfRangeReport
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    check_steps,
    match_columns,
)
from astrokeras.runs.training_overlap import find_training_overlap, is_trained_on
from astrokeras.system.manifest import EVALUATION, check_names

BLOCK = 32  # tracers read at a time


@dataclass
class EvaluationPlan:
    """The evaluated tracers, checked, and the baselines to compare with.

    Attributes:
        rows: Row numbers of the evaluated tracers, (n,).
        columns: Columns of the file's parameters in the surrogate's order, (P,).
        outside: Report of values outside the training ranges.
        optimistic: Whether the surrogate was trained on simulations among them.
        notes: Remarks that a reader of the figures needs.
        baselines: Baselines by name; none without training tracers.
        steps: Different lengths of time steps, years, two of them at most.
    """

    rows: np.ndarray
    columns: np.ndarray
    outside: OutOfRangeReport
    optimistic: bool
    notes: list[str]
    baselines: dict[str, Baseline] = field(default_factory=dict)
    steps: set[float] = field(default_factory=set)

    @property
    def time_step(self) -> float | None:
        """Years between two states if they are the same everywhere."""
        return next(iter(self.steps)) if len(self.steps) == 1 else None


def make_plan(
    store: TracerStore, target: SurrogateReference, split: str
) -> EvaluationPlan:
    """Check all tracers that will be read, and prepare the baselines.

    Raises:
        InputError: If the file does not fit the surrogate, holds no solution, no
            tracer of this split, or values that no tracer can have.
    """
    columns = match_columns(store, target)
    if not store.solved:
        raise InputError(
            f"{store.path}: dataset 'abundances' holds state 0 alone; evaluate needs "
            "the solution, `astrokeras predict` does not."
        )
    rows, notes = choose_rows(store, split)
    origin = target.run.read_provenance() if target.run else {}
    optimistic = split == "test" and is_optimistic(store, rows)
    if split != "train":
        known, trained_on = find_training_overlap(store, target, rows, origin)
        notes += known
        optimistic = optimistic or trained_on
    plan = EvaluationPlan(
        rows, columns, OutOfRangeReport(target.metadata), optimistic, notes
    )
    _add_baselines(plan, store, origin.get("training_tracers") or 0)
    for block in store.blocks(rows, BLOCK):
        check_steps(store, block, target.metadata)
        physical = block.physical[..., columns]
        plan.outside.add(block.abundances[:, 0], physical, block.time, block.length)
        _add_time_steps(plan.steps, block)
    notes += plan.outside.lines()
    return plan


def _add_baselines(plan: EvaluationPlan, store: TracerStore, trained_on: int) -> None:
    """Prepare the baselines from the file's training tracers.

    Args:
        plan: The plan to extend.
        store: The tracer file.
        trained_on: Number of tracers that the surrogate was trained on, 0 if unknown.
    """
    trained = np.flatnonzero(store.split == 0)
    if not len(trained):
        plan.notes.append(
            "the file holds no training tracers, so there are no baselines"
        )
        return
    plan.baselines = {
        "nearest_tracer": NearestTracer(store, trained, plan.rows),
        "mean_trajectory": MeanTrajectory(store, trained),
    }
    if len(trained) < trained_on:
        plan.notes.append(
            f"the baselines use the {len(trained)} training tracers of this file, but "
            f"the surrogate was trained on {trained_on}: with that many the baselines "
            "would be stronger"
        )


def _add_time_steps(steps: set[float], block: Tracers) -> None:
    """Add the shortest and the longest time step, until two differ."""
    if len(steps) < 2:
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        years = np.diff(block.time)[valid]
        steps |= {round(float(step), 2) for step in (years.min(), years.max())}


def report_folder(
    target: SurrogateReference, tracers: Path, split: str, out: str | Path | None
) -> Path:
    """Return the directory of the report: that of the run for its own test tracers."""
    if out is not None:
        folder = Path(out)
    elif target.path is None:
        raise InputError("a surrogate in memory has no run directory; give `out`.")
    elif target.run and split == "test" and is_trained_on(target, tracers):
        folder = target.run.path
    else:
        folder = Path("evaluations") / f"{target.name}-{tracers.stem}-{split}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a directory for the report.")
    own = target.run is not None and folder == target.run.path
    check_names(folder, (*EVALUATION, "card.md") if own else EVALUATION)
    return folder


def choose_rows(store: TracerStore, split: str) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a split or of "all", and remarks on them.

    Raises:
        InputError: If there is no such split, or no tracer in it.
    """
    if split == "all":
        rows, notes = store.rows(), []
        if store.has_split and (store.split == 0).any():
            notes.append("training tracers are among those evaluated")
        return rows, notes
    if split not in SPLITS:
        raise InputError(f"split is {split!r}; give {', '.join(SPLITS)} or all.")
    if not store.has_split:
        raise InputError(
            f"{store.path}: has no dataset 'split' and so no {split} tracers; make "
            "one with `astrokeras data split`, or take all tracers with --split all."
        )
    rows = np.flatnonzero(store.split == SPLITS.index(split))
    if not len(rows):
        raise InputError(
            f"{store.path}: dataset 'split' puts none of {store.tracers} tracers into "
            f"{split!r}; for tracers of other simulations use --split all."
        )
    notes = []
    if split == "train":
        notes.append("these are training tracers: the figures are no test")
    elif split == "validation":
        notes.append(
            "validation tracers steer the training: take figures from the test split"
        )
    elif is_optimistic(store, rows):
        notes.append(
            "the split is optimistic: test and training tracers share simulations and "
            "are near-copies of each other"
        )
    return rows, notes


def is_optimistic(store: TracerStore, rows: np.ndarray) -> bool:
    """Return whether tracers share simulations with training tracers."""
    if store.attributes.get("split_by") == "tracer":
        return True
    known = np.unique(store.simulation)
    trained = store.simulation[store.split == 0]
    return len(known) == 1 or bool(np.isin(store.simulation[rows], trained).any())
