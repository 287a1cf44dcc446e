"""Cutting of tracers where a parameter falls below the lowest that is wanted."""

from collections.abc import Sequence

import numpy as np

from astrokeras.config import DatasetConfig
from astrokeras.data.importers.import_report import ImportStatistics
from astrokeras.data.tracers.block import PER_STATE, Tracers

ROUNDING = 1e-5
"""Relative difference from the limit that is due to rounding."""


def cut_tracers(
    block: Tracers,
    parameters: Sequence[str],
    config: DatasetConfig,
    statistics: ImportStatistics,
) -> Tracers:
    """Return tracers that end before the first interval below `dataset.cut_below`.

    What follows such an interval is left out too, since its gas was in it: below 10 K,
    UCLCHEM freezes the H2, and the ice stays. A tracer that begins in such an interval
    is left out as a whole.

    Args:
        block: The tracers, some of which may be shortened in place.
        parameters: Names, (P,).
        config: The dataset.
        statistics: Counts the states and tracers that are left out.
    """
    valid = np.arange(block.physical.shape[1]) < block.length[:, None] - 1
    length = block.length.copy()
    for name, limit in config.cut_below.items():
        if name not in parameters:
            continue
        low = block.physical[..., parameters.index(name)] < limit * (1 - ROUNDING)
        low &= valid
        # The interval k leads from state k to k + 1.
        ends = np.where(low.any(1), low.argmax(1) + 1, block.length)
        length = np.minimum(length, ends).astype(length.dtype)
    short = length < block.length
    if not short.any():
        return block
    kept = length > 1
    statistics.cut_states += int((block.length - np.where(kept, length, 0)).sum())
    statistics.cut_tracers += int((short & kept).sum())
    statistics.cut_whole += int((~kept).sum())
    block.length = length
    states = np.arange(block.time.shape[1])
    for name in PER_STATE:
        values = getattr(block, name)
        # Parameters drive the interval that ends in the next state.
        first = 1 if name == "physical" else 0
        values[states[first:] >= length[:, None]] = np.nan
    return block if kept.all() else block.take(np.flatnonzero(kept))


def cut_attributes(config: DatasetConfig) -> dict[str, list[str]]:
    """Return the root attribute that says where tracers were cut."""
    limits = [f"{name} < {limit:g}" for name, limit in config.cut_below.items()]
    return {"cut_below": limits} if limits else {}
