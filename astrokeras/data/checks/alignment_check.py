"""Check of the alignment: which time step the parameters of a row belong to."""

from collections.abc import Sequence

import numpy as np

from astrokeras.config.typed_options import typed
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.block import Tracers

TRACERS = 16
"""Number of tracers that the check uses; four are enough for collapsing clouds."""
MOVES = 0.01
"""Second difference of a log10 parameter from which on a row is evidence, dex."""
ROWS, LEAST_ROWS = 6, 20
"""Number of such rows that the check needs, for each moving parameter and in all: a
single event, such as the heating of a hot core, is not enough."""
ALIKE = 0.5
"""Largest share of a parameter's changes that those of a row later may explain."""
EXPLAINED, MARGIN = 0.15, 0.1
"""Share of the abundances' changes that the better alignment must explain, and by how
much more than the other."""
_RESPONSIVE = 30
CANNOT_TELL = (
    "alignment: cannot tell which interval a row's parameters drive, for they hardly "
    "change from row to row, or too smoothly; `dataset.alignment` stays as it is"
)


def compare_alignments(
    blocks: Sequence[Tracers], alignment: str
) -> tuple[float, float] | None:
    """Return how well parameters explain abundances under both alignments.

    Many species follow the parameters within a step, so that a change in the slope of
    the parameters appears as a change in the slope of the abundances in the same
    interval, and not a row earlier or later. Second differences of the log abundances
    are fitted by least squares to those of the log parameters; smooth trends, which
    fit any alignment, cancel in them. Only rows in which a parameter moves are fitted:
    where it does not, abundances change for reasons of their own.

    Args:
        blocks: Some tracers as imported, of one length or several.
        alignment: How they were imported, "next" or "this".

    Returns:
        The explained variance under the given and the other alignment, averaged over
        the most responsive species; `None` if the parameters move in too few rows, or
        so smoothly that both alignments are alike, as in static gas, a free fall or a
        single shock.
    """
    # Offset from the given alignment to the other: a row later, or a row earlier.
    other = 1 if alignment == "next" else -1
    responses, mine, theirs = [], [], []
    for block in blocks:
        for i, length in enumerate(block.length):
            abundances = log10_abundances(block.abundances[i, :length])
            change = np.diff(abundances.astype(np.float64), n=2, axis=0)
            physical = np.log10(block.physical[i, : length - 1].astype(np.float64))
            pace = np.diff(physical, n=2, axis=0)
            # The change over steps t and t+1 depends on parameters of steps t-1 to t+1.
            t = np.arange(2, len(pace))
            if len(t):
                responses.append(change[t])
                mine.append(pace[t - 1])
                theirs.append(pace[t - 1 + other])
    if not responses:
        return None
    response, drive, shifted = map(np.concatenate, (responses, mine, theirs))
    moves = (np.maximum(np.abs(drive), np.abs(shifted)) > MOVES).any(axis=1)
    response, drive, shifted = response[moves], drive[moves], shifted[moves]
    moving = (np.abs(drive) > MOVES).any(axis=0)
    if len(drive) < max(ROWS * moving.sum(), LEAST_ROWS) or not moving.any():
        return None
    weights = (shifted**2).sum(axis=0)
    if (_explained(drive, shifted) * weights).sum() > ALIKE * weights.sum():
        return None
    explained = np.stack([_explained(x, response) for x in (drive, shifted)])
    best = np.argsort(-explained.max(axis=0))[:_RESPONSIVE]
    mean = explained[:, best].mean(axis=1)
    return float(mean[0]), float(mean[1])


def alignment_warning(
    blocks: Sequence[Tracers], alignment: str
) -> tuple[str | None, str | None]:
    """Return a warning if the other alignment is right, and a note if nobody can tell.

    Args:
        blocks: See `compare_alignments`.
        alignment: How they were imported.
    """
    explained = compare_alignments(blocks, alignment)
    if explained is None or max(explained) < EXPLAINED:
        return None, CANNOT_TELL
    if explained[1] < explained[0] + MARGIN:
        return None, None
    other = "this" if alignment == "next" else "next"
    edge = "to" if other == "this" else "from"
    needs = ", with `dataset.initial_abundances`" * (other == "this")
    return (
        f"where the parameters move, they explain {explained[0]:.0%} of the "
        f"abundances' changes with alignment {alignment!r} but {explained[1]:.0%} with "
        f"{other!r}; if row k's parameters drive the step {edge} row k, import again "
        f"with {typed('dataset.alignment', other)}{needs}."
    ), None


def _explained(drive: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the fraction of the variance of each column that a linear fit explains."""
    slope = np.linalg.lstsq(drive, response, rcond=None)[0]
    total = (response**2).sum(axis=0)
    left = ((response - drive @ slope) ** 2).sum(axis=0)
    # The explained variance of a nearly constant species is set to 0.
    return np.where(total > 1e-12, 1 - left / np.maximum(total, 1e-12), 0.0)
