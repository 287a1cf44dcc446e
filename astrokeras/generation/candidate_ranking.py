"""Selection of trajectories to solve, by active learning with a Gaussian process.

The chemistry along trajectories is modelled as a Gaussian process whose covariance
decreases with the distance between trajectories. The variance of a trajectory, given
all solved ones, measures what is unknown about it. Each choice maximises the reduction
of the variance summed over the whole pool (Cohn 1996, *Neural Network Exploration Using
Optimal Experiment Design*; Seo et al. 2000, *Gaussian Process Regression: Active Data
Selection and Test Point Rejection*): a near-copy of a chosen trajectory reduces nothing
more, and an outlier only its own variance.

The variances are weighted by the expected errors of the surrogate, as far as these
deviate from what the distances suggest. The expected errors alone would choose the
worst trajectories, which reveal little about the others.
"""

import numpy as np

from astrokeras.generation.rollout_summary import RolloutSummary
from astrokeras.layers.nearest import spread_out

LARGEST = 2048  # trajectories that are compared with each other
PER_CHOICE = 2  # smallest number of candidates for each trajectory to choose
LENGTH = 2.0  # covariance length, in distances of two random training trajectories
NOISE = 1e-3  # variance that remains after solving a trajectory
ERROR_POWER = 0.5  # power of the expected error in the weights


def covariance(positions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the covariances of trajectories, (n, Q, D) and (m, Q, D) to (n, m).

    The covariance is Matérn's with smoothness 3/2. The latents and the parameters of a
    random training state have a mean square of 1 each (`Trust.positions`), so that the
    squared distance of two such trajectories is 4 Q.
    """
    a, b = (x.reshape(len(x), -1).astype("f8") for x in (positions, others))
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * a @ b.T
    distance = np.sqrt(np.maximum(square, 0.0) / (4.0 * positions.shape[1]))
    scaled = np.sqrt(3.0) * distance / LENGTH
    return (1.0 + scaled) * np.exp(-scaled)


class ConditionedGaussianProcess:
    """Gaussian process over trajectories, conditioned on the solved ones.

    Args:
        solved: Positions of solved trajectories, (m, Q, D), `None` if there are none.
            More than `LARGEST` are thinned to a subset that covers all of them best.
    """

    def __init__(self, solved: np.ndarray | None = None):
        if solved is not None and len(solved) > LARGEST:
            solved = solved[spread_out(solved.reshape(len(solved), -1), LARGEST)]
        self.solved = solved
        if solved is not None:
            matrix = covariance(solved, solved) + NOISE * np.eye(len(solved))
            # The inverse is used for every block of the pool.
            self.whitening = np.linalg.inv(np.linalg.cholesky(matrix))

    def covariance(self, positions: np.ndarray) -> np.ndarray:
        """Return the conditional covariances of trajectories, (n, n)."""
        known = self._whitened(positions)
        return covariance(positions, positions) - known.T @ known

    def deviation(self, positions: np.ndarray) -> np.ndarray:
        """Return the conditional standard deviation, at most 1, (n,)."""
        known = np.square(self._whitened(positions)).sum(0)
        return np.sqrt(np.maximum(1.0 - known, NOISE**2))

    def gain(self, summary: RolloutSummary) -> np.ndarray:
        """Return the weighted variance that solving each trajectory removes, (n,)."""
        deviation = self.deviation(summary.positions)
        return (summary.expected / deviation) ** ERROR_POWER * deviation**2

    def _whitened(self, positions: np.ndarray) -> np.ndarray:
        """Return whitened covariances with the solved trajectories, (m, n)."""
        if self.solved is None:
            return np.zeros((0, len(positions)))
        return self.whitening @ covariance(self.solved, positions)


class Reservoir:
    """Weighted random sample from a stream of trajectories of any length.

    Up to `size` trajectories are all kept. From more, those with the largest gain are
    always kept, and others are drawn in proportion to their gain. Weighted sums over
    the sample estimate sums over the stream: priority sampling (Duffield, Lund & Thorup
    2007, *Journal of the ACM* 54, 32).

    Args:
        size: Largest number of trajectories in the sample.

    Attributes:
        summary: The sample, in the order of the stream; unset before the first `add`.
        weights: Gain that each represents, (n,).
    """

    def __init__(self, size: int):
        self.size = size
        self.summary: RolloutSummary
        self.random = np.random.default_rng(0)
        self.gain = self.priority = np.empty(0)
        self.threshold = 0.0

    def add(self, summary: RolloutSummary, gain: np.ndarray) -> None:
        """Add the next trajectories of the stream, and the gain of each."""
        self.summary = self.summary.join(summary) if len(self.priority) else summary
        drawn = gain / (1.0 - self.random.random(len(summary)))
        self.priority = np.concatenate([self.priority, drawn])
        self.gain = np.concatenate([self.gain, gain])
        if len(self.summary) > self.size:
            order = np.argsort(-self.priority, kind="stable")
            dropped = float(self.priority[order[self.size]])
            self.threshold = max(self.threshold, dropped)
            kept = np.sort(order[: self.size])
            self.priority, self.gain = self.priority[kept], self.gain[kept]
            self.summary = self.summary.take(kept)

    @property
    def weights(self) -> np.ndarray:
        """Gain that each trajectory of the sample represents, (n,)."""
        return np.maximum(self.gain, self.threshold)


def choose_trajectories(
    covariances: np.ndarray, weights: np.ndarray, count: int
) -> list[int]:
    """Choose trajectories one after the other, each the best given those before.

    Memory, and the time for each choice, grow with n².

    Args:
        covariances: Conditional covariances of all trajectories, (n, n).
        weights: Gain that each trajectory represents, (n,).
        count: Number of trajectories to choose, at most n.

    Returns:
        Indices of the chosen trajectories, the most useful first.
    """
    left = covariances
    share = weights / np.maximum(left.diagonal(), NOISE**2)
    chosen: list[int] = []
    while len(chosen) < count:
        known = np.maximum(left.diagonal(), 0.0) + NOISE
        gain = np.einsum("i,ij,ij->j", share, left, left) / known
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        left = left - np.outer(left[:, best], left[best] / known[best])
    return chosen
