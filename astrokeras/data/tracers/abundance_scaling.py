"""The scales between physical units and what the networks see.

Each formula is written once for NumPy and `keras.ops`: `xp` is the module to use.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np

MARGIN_DEX = 0.5
"""What a surrogate says of species at the floor may lie so far below it."""

RANGE_DEX = 0.2
"""Elsewhere what a decoder says may leave a species' trained range by this much."""


def decades(floor: float) -> float:
    """Return how many decades lie between `floor` and an abundance of 1."""
    return -math.log10(floor)


def scale_abundances(
    abundances: Any, floor: float, xp: ModuleType = np, margin: float = 0.0
) -> Any:
    """Return `1 + log10(x) / decades`: 0 at the floor, 1 at x = 1.

    What lies more than `margin` dex below the floor is brought there.
    """
    lowest = floor * 10.0**-margin
    return xp.log10(xp.maximum(abundances, lowest)) / decades(floor) + 1.0


def unscale_abundances(
    scaled: Any, floor: float, xp: ModuleType = np, margin: float = 0.0
) -> Any:
    """Undo `scale_abundances`; what lies outside its range is brought to its edge."""
    span = decades(floor)
    inside = xp.clip(scaled, -margin / span, 1.0)
    return xp.exp((inside - 1.0) * (span * math.log(10.0)))
