"""Samplers of whole validation tracers, in order."""

from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.pipeline.samplers import Arrays, Data, Sampler, take
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.timestep_features import feature_count, timestep_features


class RolloutSampler(Sampler):
    """Sampler of validation tracers: `(initial, parameters, truth, weight)`.

    Args:
        cache: The training cache.
        batch_size: Tracers per batch.
        use_timestep: Whether the emulator takes the length of each time step as input.
    """

    ahead = 1  # These batches are larger than those of the training.

    def __init__(self, cache: Cache, batch_size: int, use_timestep: bool = False):
        super().__init__(cache, "validation", 0, batch_size)
        self.use_timestep = use_timestep
        features = feature_count(self.parameters, use_timestep)
        self.parts = [1] * (len(self.bounds) - 1)
        self._in_order = [(chunk, 0) for chunk in range(len(self.parts))]
        self.spec = (
            ((None, self.species), "float32"),
            ((None, None, features), "float32"),
            ((None, None, self.species), "float32"),
            ((None, None), "float32"),
        )

    def counted(self, weight: np.ndarray, counts: np.ndarray, whole: float) -> Any:
        # Keras averages the means of batches, weighted by their padded sizes.
        sizes = np.diff(self.bounds)
        filled = sum(map(self._padded, sizes.tolist()))
        return super().counted(weight, counts, filled / int(sizes.sum()))

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        return self._in_order

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        tracers, weight = self._states_of(chunk)
        weight[:, 0] = False  # State 0 is given, not predicted.
        return tracers, weight.astype("float32")

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        tracers, weight = drawn
        truth, parameters, years = (take(x, tracers - first, xp) for x in data)
        if self.use_timestep:
            held = (parameters,) * 3
            parameters = timestep_features(*held, years, self.step, xp)
        return truth[:, 0], parameters, truth, weight

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        initial, parameters, truth, weight = arrays
        return (initial, parameters), truth, weight


class StateSampler(RolloutSampler):
    """Sampler of all states of validation tracers: `(x, weight)`."""

    def __init__(self, cache: Cache, batch_size: int):
        super().__init__(cache, batch_size)
        self.spec = (((None, self.species), "float32"), ((None,), "float32"))

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        tracers, weight = self._states_of(chunk)
        return tracers, weight.astype("float32")

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        tracers, weight = drawn
        states = take(data[0], tracers - first, xp)
        return xp.reshape(states, (-1, self.species)), xp.reshape(weight, (-1,))

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        states, weight = arrays
        return states, states, weight
