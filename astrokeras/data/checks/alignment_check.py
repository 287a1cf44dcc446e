"""Check of the alignment: which time step the parameters of a row belong to."""

from collections.abc import Sequence

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.block import Tracers

TRACERS = 16
"""Number of tracers that the check uses; four are enough for collapsing clouds."""
MARGIN = 0.05
_RESPONSIVE = 30


def compare_alignments(
    blocks: Sequence[Tracers], alignment: str
) -> tuple[float, float] | None:
    """Return how well parameters explain abundances under both alignments.

    Many species follow the parameters within a step, so that a change in the slope of
    the parameters appears as a change in the slope of the abundances in the same
    interval, and not a row earlier or later. Second differences of the log abundances
    are fitted by least squares to those of the log parameters; smooth trends, which
    fit any alignment, cancel in them.

    Args:
        blocks: Some tracers as imported, of one length or several.
        alignment: How they were imported, "next" or "this".

    Returns:
        The explained variance under the given and the other alignment, averaged over
        the most responsive species; `None` if the parameters do not vary enough.
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
    response, drive = np.concatenate(responses), np.concatenate(mine)
    if len(response) < 10 * drive.shape[1] or not (drive.std(axis=0) > 1e-9).any():
        return None
    explained = np.stack(
        [_explained(x, response) for x in (drive, np.concatenate(theirs))]
    )
    best = np.argsort(-explained.max(axis=0))[:_RESPONSIVE]
    mean = explained[:, best].mean(axis=1)
    return float(mean[0]), float(mean[1])


def alignment_warning(blocks: Sequence[Tracers], alignment: str) -> str | None:
    """Return a warning if the other alignment explains the data better, else `None`."""
    explained = compare_alignments(blocks, alignment)
    if explained is None or explained[1] < explained[0] + MARGIN:
        return None
    other = "this" if alignment == "next" else "next"
    edge = "to" if other == "this" else "from"
    return (
        f"the parameters explain {explained[0]:.0%} of the abundances' changes with "
        f"alignment {alignment!r} but {explained[1]:.0%} with {other!r}; if row k's "
        f"parameters drive the step {edge} row k, import again "
        f"with `dataset.alignment={other}`."
    )


def _explained(drive: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the fraction of the variance of each column that a linear fit explains."""
    slope = np.linalg.lstsq(drive, response, rcond=None)[0]
    total = (response**2).sum(axis=0)
    left = ((response - drive @ slope) ** 2).sum(axis=0)
    # The explained variance of a nearly constant species is set to 0.
    return np.where(total > 1e-12, 1 - left / np.maximum(total, 1e-12), 0.0)
