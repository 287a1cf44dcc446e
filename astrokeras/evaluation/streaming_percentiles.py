"""Percentiles of a stream of errors, in constant memory."""

import numpy as np

LOWEST, HIGHEST = -5, 2
"""Decades that the bins span, in log10 of an error in dex."""
BINS_PER_DECADE = 100
"""Bins are 2 % wide: a percentile is accurate to 1 % for any number of errors."""
BINS = BINS_PER_DECADE * (HIGHEST - LOWEST)


class StreamingPercentiles:
    """Counts errors in bins of equal width in log10, with one histogram for each row.

    Args:
        rows: Number of histograms, for example species or steps.
    """

    def __init__(self, rows: int):
        self.counts = np.zeros((rows, BINS), dtype=np.int64)

    def add(self, rows: np.ndarray, errors: np.ndarray) -> None:
        """Count errors in dex.

        Args:
            rows: Number of the histogram of each error; broadcast to their shape.
            errors: Not negative. Errors out of range are counted in the end bins.
        """
        decades = np.log10(np.maximum(errors, 10.0**LOWEST)) - LOWEST
        bins = np.clip((decades * BINS_PER_DECADE).astype(np.int64), 0, BINS - 1)
        flat = (np.asarray(rows) * BINS + bins).ravel()
        counts = np.bincount(flat, minlength=self.counts.size)
        self.counts += counts.reshape(self.counts.shape)

    def pooled(self) -> "StreamingPercentiles":
        """Return the counts of all rows in one."""
        whole = StreamingPercentiles(1)
        whole.counts = self.counts.sum(0, keepdims=True)
        return whole

    def exceeded(self) -> np.ndarray:
        """Return errors in dex and the share of all that are larger, (2, bins)."""
        counts = self.counts.sum(0)
        larger = 1.0 - counts.cumsum() / max(counts.sum(), 1)
        edges = LOWEST + (np.arange(BINS) + 1.0) / BINS_PER_DECADE
        return np.stack([10.0**edges, larger])

    def percentile(self, percent: float) -> np.ndarray:
        """Return the percentile of each row in dex, NaN for a row without errors."""
        total = self.counts.sum(1)
        target = total * percent / 100.0
        running = self.counts.cumsum(1)
        column = (running >= np.maximum(target, 1e-9)[:, None]).argmax(1)
        row = np.arange(len(self.counts))
        count = self.counts[row, column]
        inside = (target - running[row, column] + count) / np.maximum(count, 1)
        errors = 10.0 ** (LOWEST + (column + inside) / BINS_PER_DECADE)
        return np.where(total > 0, errors, np.nan)
