"""Scaling of abundances between physical values and network inputs.

Each formula is written once for NumPy and `keras.ops`: `xp` is the module to use.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR

MARGIN_DEX = 0.5
"""Margin below the floor within which predictions of species at the floor may lie."""

RANGE_DEX = 0.2
"""Margin by which decoded abundances may leave the trained range of a species."""


def log10_abundances(
    abundances: Any, floor: float = FLOOR, highest: float | None = None
) -> np.ndarray:
    """Return log10 of abundances, raised to `floor` and, if given, cut at `highest`."""
    return np.log10(np.clip(abundances, floor, highest))


def decades(floor: float) -> float:
    """Return the number of decades between `floor` and an abundance of 1."""
    return -math.log10(floor)


def scale_abundances(
    abundances: Any, floor: float, xp: ModuleType = np, margin: float = 0.0
) -> Any:
    """Return `1 + log10(x) / decades`: 0 at the floor, 1 at x = 1.

    Abundances are clipped at `margin` dex below the floor.
    """
    lowest = floor * 10.0**-margin
    return xp.log10(xp.maximum(abundances, lowest)) / decades(floor) + 1.0


def unscale_abundances(
    scaled: Any, floor: float, xp: ModuleType = np, margin: float = 0.0
) -> Any:
    """Return abundances from scaled values, which are clipped to their range."""
    span = decades(floor)
    inside = xp.clip(scaled, -margin / span, 1.0)
    return xp.exp((inside - 1.0) * (span * math.log(10.0)))
