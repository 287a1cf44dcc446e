"""Checks of the inputs of a prediction: values, ranges, steps and first states."""

import numpy as np

from astrokeras.chemistry.abundance_definitions import Composition
from astrokeras.data.checks.abundance_check import AbundanceCheck
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.models.out_of_range import OutOfRangeReport
from astrokeras.prediction.tracer_rollout import read_given
from astrokeras.runs.surrogate_reference import SurrogateReference, check_steps


def abundance_check(
    store: TracerStore, target: SurrogateReference
) -> AbundanceCheck | None:
    """Return a check of first states against the surrogate's own.

    `None` if those do not hold all hydrogen themselves, such as of a list of species.
    """
    metadata = target.metadata
    composition = Composition.of(metadata.species, metadata.elements)
    own = [*metadata.initial_conditions.values()]
    if not own or composition.other_definition(np.stack(own)) is not None:
        return None
    return AbundanceCheck(str(store.path), composition, stored=True)


def check_input_values(
    store: TracerStore,
    target: SurrogateReference,
    columns: np.ndarray,
    start: np.ndarray | None,
    size: int,
    substep: bool = False,
    sums: AbundanceCheck | None = None,
) -> list[str]:
    """Check all values; return a line for each training range that is left.

    With `sums`, the totals and charges of the first states are checked by it.
    """
    report = OutOfRangeReport(target.metadata)
    for first in range(0, store.tracers, size):
        given = read_given(store, slice(first, first + size), start=start)
        check_steps(store, given, target.metadata, substep)
        if sums is not None:
            sums.add_tracers(given)
        physical = given.physical[..., columns]
        report.add(given.abundances[:, 0], physical, given.time, given.length)
    return report.lines()
