"""Which trajectories to solve: those that tell most about all the others.

What is solved tells of its likes: the chemistry along trajectories is taken for a
Gaussian process over them, whose covariance falls with their distance, so that what is
not known of each is its variance given all that is solved. A choice is worth what it
takes from these variances over the whole pool (Cohn 1996, *Neural Network Exploration
Using Optimal Experiment Design*; Seo et al. 2000, *Gaussian Process Regression: Active
Data Selection and Test Point Rejection*): near-copies of what is chosen tell nothing
more, and an outlier counts for itself alone.

Variances are weighted by the errors that the surrogate expects, as far as these are
larger or smaller than distances say. By errors alone, what is worst is chosen for its
own sake, though it tells little about others.
"""

import numpy as np

from astrokeras.generation.rollout_summary import Paths
from astrokeras.layers.trust_model import spread_out

KEPT = 2048  # trajectories that are compared with each other
PER_CHOICE = 2  # at least so many for each that is to be chosen
LENGTH = 2.0  # of the covariance, in distances of two random training trajectories
NOISE = 1e-3  # variance that a solution leaves
SOFT = 0.5  # power of the expected error


def covariance(stops: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the covariances of trajectories, (n, Q, D) and (m, Q, D) to (n, m).

    Matérn's with smoothness 3/2. Latents of a random training state, and parameters,
    have a mean square of 1 (`Trust.positions`), so that two such trajectories are 4 Q
    apart, squared.
    """
    a, b = (one.reshape(len(one), -1).astype("f8") for one in (stops, others))
    square = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * a @ b.T
    distance = np.sqrt(np.maximum(square, 0.0) / (4.0 * stops.shape[1]))
    scaled = np.sqrt(3.0) * distance / LENGTH
    return (1.0 + scaled) * np.exp(-scaled)


class ConditionedGaussianProcess:
    """What solved trajectories tell of others.

    Args:
        solved: Their stops, (m, Q, D); more than `KEPT` are thinned to those that cover
            all best. `None` if none are known: then nothing is.
    """

    def __init__(self, solved: np.ndarray | None = None):
        if solved is not None and len(solved) > KEPT:
            solved = solved[spread_out(solved.reshape(len(solved), -1), KEPT)]
        self.solved = solved
        if solved is not None:
            matrix = covariance(solved, solved) + NOISE * np.eye(len(solved))
            # Inverted once: a pool comes in many blocks.
            self.whitening = np.linalg.inv(np.linalg.cholesky(matrix))

    def covariance(self, stops: np.ndarray) -> np.ndarray:
        """Return the covariances of trajectories given what is solved, (n, n)."""
        told = self._told(stops)
        return covariance(stops, stops) - told.T @ told

    def spread(self, stops: np.ndarray) -> np.ndarray:
        """Return the standard deviation of each, at most 1, (n,)."""
        told = np.square(self._told(stops)).sum(0)
        return np.sqrt(np.maximum(1.0 - told, NOISE**2))

    def to_gain(self, paths: Paths) -> np.ndarray:
        """Return what the solution of all its likes would gain on each, (n,)."""
        spread = self.spread(paths.stops)
        return (paths.expected / spread) ** SOFT * spread**2

    def _told(self, stops: np.ndarray) -> np.ndarray:
        """Return coordinates of what is known of each, (m, n)."""
        if self.solved is None:
            return np.zeros((0, len(stops)))
        return self.whitening @ covariance(self.solved, stops)


class Reservoir:
    """Trajectories out of a stream of any length, and what each stands for.

    Few are all kept. Of many, those that most is to be gained on always are, and others
    are drawn in proportion to it, so that sums over what is kept tell those over all:
    priority sampling (Duffield, Lund & Thorup 2007, *Journal of the ACM* 54, 32).

    Args:
        size: How many to keep.

    Attributes:
        paths: What is kept, of at least one trajectory added, in their order.
        weights: What is to be gained on all that each stands for, (n,).
    """

    def __init__(self, size: int):
        self.size = size
        self.paths: Paths
        self.random = np.random.default_rng(0)
        self.gain = self.priority = np.empty(0)
        self.threshold = 0.0

    def add(self, paths: Paths, gain: np.ndarray) -> None:
        """Add the next trajectories of the stream, and what is to be gained on each."""
        self.paths = self.paths.join(paths) if len(self.priority) else paths
        drawn = gain / (1.0 - self.random.random(len(paths)))
        self.priority = np.concatenate([self.priority, drawn])
        self.gain = np.concatenate([self.gain, gain])
        if len(self.paths) > self.size:
            order = np.argsort(-self.priority, kind="stable")
            dropped = float(self.priority[order[self.size]])
            self.threshold = max(self.threshold, dropped)
            kept = np.sort(order[: self.size])
            self.priority, self.gain = self.priority[kept], self.gain[kept]
            self.paths = self.paths.take(kept)

    @property
    def weights(self) -> np.ndarray:
        return np.maximum(self.gain, self.threshold)


def choose(covariances: np.ndarray, weights: np.ndarray, count: int) -> list[int]:
    """Choose trajectories one by one, each the best beside those before.

    Memory and the time of each choice grow with n².

    Args:
        covariances: Of all trajectories given what is solved, (n, n); not kept as is.
        weights: What is to be gained on each trajectory, (n,).
        count: How many to choose, at most n.

    Returns:
        Their numbers, the most useful first.
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
