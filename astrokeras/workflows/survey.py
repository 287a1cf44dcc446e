"""What is known of an evaluation before the surrogate is loaded.

Everything that can be refused is refused here, before Keras is imported.
"""

from dataclasses import dataclass, field

import numpy as np

from astrokeras.data.tracers.file_format import SPLITS
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError
from astrokeras.prediction.out_of_range import OutOfRangeReport
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    check_steps,
    match_columns,
)
from astrokeras.runs.training_overlap import find_known
from astrokeras.workflows.baselines import MeanTrajectory, NearestTracer
from astrokeras.workflows.figures import Figures

BLOCK = 32  # tracers read at a time


@dataclass
class Survey:
    """The evaluated tracers, and how well the baselines do on them.

    Attributes:
        rows: Their row numbers, (n,).
        columns: Columns of the file's parameters in the surrogate's order, (P,).
        notes: What must be said beside the figures, a line each.
        figures: By prediction; those of the surrogate still empty.
        outside: What of them lies outside the training ranges.
        steps: Different intervals between states, years, two of them at most.
        optimistic: Whether the surrogate was trained on simulations among them.
    """

    rows: np.ndarray
    columns: np.ndarray
    notes: list[str]
    figures: dict[str, Figures]
    outside: OutOfRangeReport
    steps: set[float] = field(default_factory=set)
    optimistic: bool = False


def take_survey(store: TracerStore, target: SurrogateReference, split: str) -> Survey:
    """Check all that will be read, and judge the baselines.

    Raises:
        InputError: If the file does not suit the surrogate, holds no solution, no
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
    optimistic = False
    if split != "train":
        known, optimistic = find_known(store, target, rows, origin)
        notes += known
    names = ["surrogate", "reconstruction"]
    baselines: dict[str, NearestTracer | MeanTrajectory] = {}
    trained = np.flatnonzero(store.split == 0)
    if len(trained):
        baselines["nearest_tracer"] = NearestTracer(store, trained, rows)
        baselines["mean_trajectory"] = MeanTrajectory(store, trained)
        if len(trained) < (origin.get("training_tracers") or 0):
            notes.append(
                f"the baselines know the {len(trained)} training tracers of this file, "
                f"the surrogate was trained on {origin['training_tracers']}: from that "
                "many the baselines would be stronger"
            )
    else:
        notes.append("the file holds no training tracers, so there are no baselines")
    names += baselines
    figures = {
        name: Figures(
            store.species, store.states, target.stoichiometry, target.elements
        )
        for name in names
    }
    survey = Survey(
        rows,
        columns,
        notes,
        figures,
        OutOfRangeReport(target.limits),
        optimistic=optimistic,
    )
    for block in store.blocks(rows, BLOCK):
        check_steps(store, block, target.limits)
        survey.outside.add(block, columns)
        _note_steps(survey.steps, block)
        for name, baseline in baselines.items():
            figures[name].update(
                block.abundances, baseline.predict(block), block.length
            )
    notes += survey.outside.lines()
    return survey


def _note_steps(steps: set[float], block: Tracers) -> None:
    """Note the shortest and the longest step, until two are known to differ."""
    if len(steps) < 2:  # One is worth an axis in years, more are not.
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        found = np.diff(block.time)[valid]
        steps |= {round(float(one), 2) for one in (found.min(), found.max())}


def choose_rows(store: TracerStore, split: str) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a split or of "all", and what must be said of them.

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
        notes.append("validation tracers steer the training: for figures use test")
    elif is_optimistic(store, rows):
        notes.append(
            "the split is optimistic: test and training tracers share simulations and "
            "are near-copies of each other"
        )
    return rows, notes


def is_optimistic(store: TracerStore, rows: np.ndarray) -> bool:
    """Whether tracers share a simulation with training ones, or have none at all."""
    if store.attributes.get("split_by") == "tracer":
        return True
    known = np.unique(store.simulation)
    trained = store.simulation[store.split == 0]
    return len(known) == 1 or bool(np.isin(store.simulation[rows], trained).any())
