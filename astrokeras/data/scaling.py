"""The scales between physical units and what the networks see.

Each formula is written once for NumPy and `keras.ops`: `xp` is the module to use.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np


def decades(floor: float) -> float:
    """Return how many decades lie between `floor` and an abundance of 1."""
    return -math.log10(floor)


def scale_abundances(abundances: Any, floor: float, xp: ModuleType = np) -> Any:
    """Return `1 + log10(max(x, floor)) / decades`: 0 at the floor, 1 at x = 1."""
    span = decades(floor)
    return xp.log10(xp.maximum(abundances, floor)) / span + 1.0


def unscale_abundances(scaled: Any, floor: float, xp: ModuleType = np) -> Any:
    """Undo `scale_abundances`; what lies outside [0, 1] is brought back to its edge."""
    span = decades(floor)
    return xp.exp((xp.clip(scaled, 0.0, 1.0) - 1.0) * (span * math.log(10.0)))
