"""Which trajectories to solve: those that tell most about all the others.

A surrogate is off where what is solved is far. So what is to be gained on each
trajectory is taken to shrink in proportion to the distance of its states to the nearest
ones as far along a solved trajectory, and a choice is worth what it takes from the
whole pool. This is facility location, or the k-medoids of Wei, Iyer & Bilmes (2015,
*Submodularity in Data Subset Selection and Active Learning*) with uncertainties as
weights: near-copies of what is chosen gain nothing more, and an outlier counts for
itself alone, unlike with k-centres (Sener & Savarese 2018, *Active Learning for
Convolutional Neural Networks: A Core-Set Approach*).

To be gained is the geometric mean of expected error and distance. By the error alone,
what is worst is chosen for its own sake, though it tells little about others; by the
distance alone, what the surrogate finds hard is no more than what it finds easy.
"""

import heapq

import numpy as np

from astrokeras.workflows.paths import Paths

KEPT = 2048  # trajectories that are compared with each other
PER_CHOICE = 4  # at least so many for each that is to be chosen
SMALL = 0.01  # distances below it are none
SOFT = 0.5  # power of the expected error


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
        self.priority = np.empty(0)
        self.threshold = 0.0

    def add(self, paths: Paths) -> None:
        """Add the next trajectories of the stream."""
        self.paths = self.paths.join(paths) if len(self.priority) else paths
        drawn = to_gain(paths) / (1.0 - self.random.random(len(paths)))
        self.priority = np.concatenate([self.priority, drawn])
        if len(self.paths) > self.size:
            order = np.argsort(-self.priority, kind="stable")
            dropped = float(self.priority[order[self.size]])
            self.threshold = max(self.threshold, dropped)
            kept = np.sort(order[: self.size])
            self.priority, self.paths = self.priority[kept], self.paths.take(kept)

    @property
    def weights(self) -> np.ndarray:
        return np.maximum(to_gain(self.paths), self.threshold)


def to_gain(paths: Paths) -> np.ndarray:
    """Return what the solution of all its likes would gain on each trajectory, (n,)."""
    distance = np.maximum(paths.near.mean(1), SMALL)
    return paths.expected**SOFT * distance ** (1 - SOFT)


def choose(
    stops: np.ndarray, near: np.ndarray, weights: np.ndarray, count: int
) -> list[int]:
    """Choose trajectories one by one, each the best beside those before.

    The greedy choice of a submodular gain is worth at least 1 - 1/e of the best one
    (Nemhauser, Wolsey & Fisher 1978). A gain only shrinks, so few are computed anew at
    each step (Minoux 1978). Memory grows with n, time with n².

    Args:
        stops: Where states of each trajectory lie, (n, Q, D).
        near: Distance of these to what is solved, (n, Q).
        weights: What is to be gained on each trajectory, (n,).
        count: How many to choose, at most n.

    Returns:
        Their numbers, the most useful first.
    """
    share = (weights / np.maximum(near.mean(1), SMALL))[:, None]
    squares = np.square(stops).sum(-1)
    left = near.copy()

    def distances(number: int) -> np.ndarray:
        """Return how far the stops of all are from the same of one, (n, Q)."""
        products = np.einsum("nqd,qd->nq", stops, stops[number])
        square = squares + squares[number] - 2.0 * products
        return np.sqrt(np.maximum(square, 0.0))

    def gain(number: int) -> float:
        return float((share * np.maximum(left - distances(number), 0.0)).sum())

    heap = [(-gain(number), number) for number in range(len(stops))]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < count:
        _, number = heapq.heappop(heap)
        found = -gain(number)
        if heap and heap[0][0] < found:
            heapq.heappush(heap, (found, number))
            continue
        chosen.append(number)
        left = np.minimum(left, distances(number))
    return chosen
