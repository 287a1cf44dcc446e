"""A surrogate on tracers whose solution is known: what all judgements of it share."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.models.training_ranges import Limits


@dataclass
class Judge:
    """What the judgements share.

    Attributes:
        store: Solved tracers.
        rows: Those that are judged, (n,).
        columns: Columns of their parameters in the surrogate's order, (P,).
        surrogate: The `Surrogate`.
        limits: Its training ranges.
        size: Tracers rolled out at once.
    """

    store: TracerStore
    rows: np.ndarray
    columns: np.ndarray
    surrogate: Any
    limits: Limits
    size: int

    def emulate(self, *given: Any, **options: Any) -> np.ndarray:
        """Return what the surrogate says, without its warnings."""
        with warnings.catch_warnings():
            # What leaves the training box was reported of the whole evaluation.
            warnings.simplefilter("ignore", UserWarning)
            return self.surrogate.emulate(*given, batch_size=self.size, **options)

    def totals(self, abundances: np.ndarray) -> np.ndarray:
        """Return element totals, (..., E) float64."""
        return abundances.astype("f8") @ np.asarray(self.surrogate.stoichiometry)
