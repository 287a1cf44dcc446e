"""The check of trajectories before the first of them is solved."""

from collections.abc import Mapping

import numpy as np

from astrokeras.data.store import TracerStore
from astrokeras.errors import InputError
from astrokeras.solvers.solver import Parameter

BLOCK = 256
"""Tracers that are read at once."""


def check_tracks(
    store: TracerStore, parameters: Mapping[str, Parameter], shortest: float = 0.0
) -> None:
    """Refuse trajectories that a solver does not accept, reading them in blocks.

    Args:
        store: The open file; its parameters are among the solver's.
        parameters: Of the solver.
        shortest: Years of the shortest interval that it accepts.

    Raises:
        InputError: For a value that is not finite or outside what the solver accepts,
            or times that do not increase, naming file, tracer, row and value.
    """
    limits = [parameters[name] for name in store.parameters]
    low = np.array([limit.low for limit in limits])
    high = np.array([limit.high for limit in limits])
    for first in range(0, store.tracers, BLOCK):
        rows = slice(first, min(first + BLOCK, store.tracers))
        steps = np.arange(store.states - 1) < store.length[rows, None] - 1
        physical = store.file["physical"][rows].astype(float)
        bad = ~((physical >= low) & (physical <= high)) & steps[..., None]
        if bad.any():
            i, step, column = np.argwhere(bad)[0]
            name, limit = store.parameters[column], limits[column]
            raise InputError(
                f"{store.path}: tracer {store.tracer[first + i]}, row {step}: {name} "
                f"is {physical[i, step, column]:g} {limit.unit}; the solver takes "
                f"{limit.low:g} to {limit.high:g}, correct the value or its unit."
            )
        interval = np.diff(store.file["time"][rows], axis=1)
        bad = ~((interval > 0) & (interval >= shortest)) & steps
        if bad.any():
            i, step = np.argwhere(bad)[0]
            raise InputError(
                f"{store.path}: tracer {store.tracer[first + i]}, row {step}: the next "
                f"one is {interval[i, step]:g} years later; times increase by "
                f"at least {shortest:g} years."
            )
