"""Baselines: predictions from the training tracers, without a surrogate.

Both stream a training set of any size and predict any tracer.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.evaluation.context import Prediction
from astrokeras.prediction.tracer_rollout import hold_last

BLOCK = 64  # tracers read at a time
QUERY_BYTES = 128 * 2**20  # parameters held in memory while training tracers stream


class Baseline(Protocol):
    """A prediction without a surrogate."""

    def predict(self, tracers: Tracers) -> np.ndarray:
        """Return abundances, (n, T+1, S); state 0 is that of the tracers."""


def predict_baseline(baseline: Baseline, tracers: Tracers) -> Prediction:
    """Return the prediction of a baseline."""
    return Prediction(baseline.predict(tracers))


class MeanTrajectory:
    """Predicts, at each state, the mean log10 abundances of the training tracers.

    Beyond the longest training tracer the mean of its last state is repeated.

    Args:
        store: An open tracer file.
        rows: Its training rows, ascending.
    """

    def __init__(self, store: TracerStore, rows: np.ndarray):
        total = np.zeros((store.states, len(store.species)))
        count = np.zeros(store.states, dtype=np.int64)
        for tracers in store.blocks(rows, BLOCK):
            valid = np.arange(store.states) < tracers.length[:, None]
            logs = log10_abundances(tracers.abundances, highest=1.0)
            logs = np.where(valid[:, :, None], logs, 0.0)
            total += logs.sum(0, dtype=np.float64)
            count += valid.sum(0)
        known = np.array([int(count.astype(bool).sum())])
        mean = total / np.maximum(count, 1)[:, None]
        self.trajectory = 10.0 ** hold_last(mean[None], known)[0]

    def predict(self, tracers: Tracers) -> np.ndarray:
        """Return the mean trajectory for each tracer, (n, T+1, S)."""
        shape = (len(tracers), *self.trajectory.shape)
        prediction = np.broadcast_to(self.trajectory, shape).copy()
        prediction[:, 0] = tracers.abundances[:, 0]
        return prediction


class NearestTracer:
    """Predicts the abundances of the training tracer with the nearest parameters.

    The distance is Euclidean in log10 of all parameters at all steps of the predicted
    tracer, standardised over the training set. A tracer that ended early keeps its last
    parameters and abundances. A tracer is never its own neighbour.

    Args:
        store: An open tracer file.
        rows: Its training rows, ascending.
        predicted: Rows of all tracers that `predict` will be called for, ascending.
    """

    def __init__(self, store: TracerStore, rows: np.ndarray, predicted: np.ndarray):
        self.store = store
        self.mean, self.deviation = self._moments(rows)
        steps, parameters = self.mean.shape
        size = max(1, QUERY_BYTES // (8 * steps * parameters))
        parts = [predicted[i : i + size] for i in range(0, len(predicted), size)]
        nearest = [self._search(part, rows) for part in parts]
        self.predicted = predicted
        self.nearest = np.concatenate(nearest) if nearest else np.zeros(0, np.int64)

    def _moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.store.states - 1, len(self.store.parameters))
        total, squares = np.zeros(shape), np.zeros(shape)
        # Subtracting a typical value first keeps the digits of the squares.
        shift = next(self._logs(rows[:1]))[1][0]
        for _, logs in self._logs(rows):
            total += (logs - shift).sum(0)
            squares += ((logs - shift) ** 2).sum(0)
        mean = total / len(rows)
        deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0.0))
        return mean + shift, np.where(deviation > 1e-6, deviation, 1.0)

    def _logs(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row numbers and their log10 parameters, (n, T, P), block by block."""
        for start in range(0, self.store.tracers, BLOCK):
            first, last = np.searchsorted(rows, [start, start + BLOCK])
            if first == last:
                continue
            part = rows[first:last]
            block = self.store.physical(slice(start, start + BLOCK))
            physical = hold_last(block[part - start], self.store.length[part] - 1)
            yield part, np.log10(physical, dtype=np.float64)

    def _search(self, predicted: np.ndarray, rows: np.ndarray) -> np.ndarray:
        queries = [
            (logs - self.mean) / self.deviation for _, logs in self._logs(predicted)
        ]
        valid = np.arange(len(self.mean)) < self.store.length[predicted, None] - 1
        weights = np.repeat(valid, self.mean.shape[1], axis=1).astype(np.float64)
        query = np.concatenate(queries).reshape(len(predicted), -1) * weights
        best = np.full(len(predicted), np.inf)
        nearest = np.full(len(predicted), -1)
        for part, logs in self._logs(rows):
            other = ((logs - self.mean) / self.deviation).reshape(len(part), -1)
            # |q - t|^2 without |q|^2, which is equal for all neighbours.
            distance = weights @ (other**2).T - 2.0 * query @ other.T
            distance[predicted[:, None] == part] = np.inf
            column = distance.argmin(1)
            least = distance[np.arange(len(predicted)), column]
            closer = least < best
            best[closer], nearest[closer] = least[closer], part[column[closer]]
        return nearest

    def predict(self, tracers: Tracers) -> np.ndarray:
        """Return the abundances of each tracer's neighbour, (n, T+1, S).

        They are NaN if there is no other tracer.
        """
        rows = self.nearest[np.searchsorted(self.predicted, tracers.rows)]
        unique, which = np.unique(np.maximum(rows, 0), return_inverse=True)
        neighbours = self.store.read(unique)
        prediction = hold_last(neighbours.abundances, neighbours.length)[which]
        prediction[rows < 0] = np.nan
        prediction[:, 0] = tracers.abundances[:, 0]
        return prediction
