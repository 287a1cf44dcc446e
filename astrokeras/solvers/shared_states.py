"""States in memory that a process shares with those that it forks."""

import mmap
from typing import Literal

import numpy as np


def shared_array(shape: tuple[int, ...], order: Literal["C", "F"] = "C") -> np.ndarray:
    """Return an array of NaN, float64, that later forks of this process share."""
    memory = mmap.mmap(-1, 8 * int(np.prod(shape)))
    shared: np.ndarray = np.ndarray(shape, np.float64, buffer=memory, order=order)
    shared[...] = np.nan
    return shared


def complete_rows(states: np.ndarray) -> np.ndarray:
    """Return a copy of the rows before the first one that still holds NaN."""
    unfinished = np.isnan(states).any(axis=1)
    count = int(unfinished.argmax()) if unfinished.any() else len(states)
    return states[:count].copy()
