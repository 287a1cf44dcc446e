"""Sampler of windows of tracers for the training of the emulator."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.pipeline.samplers import CHUNK, Arrays, Data, Sampler, take
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.timestep_features import (
    average,
    feature_count,
    is_linear,
    timestep_features,
)
from astrokeras.errors import InputError


class WindowSampler(Sampler):
    """Sampler of windows: `(initial, parameters[, index], truth, weight)`.

    Each window length gets an equal share of the tracers of a chunk, which changes in
    every epoch, and as many windows of each tracer as fit into it. A tracer too short
    for some lengths is used for the others; a tracer too short for all is left out and
    counted. Batches of all lengths hold about as many states, so shorter windows come
    in larger batches.

    Args:
        cache: The training cache.
        batch_size: Windows per batch of the longest length.
        windows: Lengths in steps.
        seed: Seed of the order and of the start of each window.
        from_start: Fraction of the windows that start at state 0, like every rollout of
            an evaluation; the others start at a random state.
        states_per_window: Number of states of a window that are decoded and compared
            besides state 0: the last state and others drawn at random; all if 0.
        reconstruction: Weight of state 0, which is only reconstructed, relative to the
            mean of the others.
        use_timestep: Whether the emulator takes the length of each time step as input.
        stride: Largest number of steps of the file in a time step. Each window draws
            its largest number, and each of its time steps a number up to it, both
            log-uniform: all lengths within a decade are equally likely, and some
            windows have only short time steps.
        native_step_fraction: Fraction of the windows that keep the steps of the file.
        multiple: Number that divides the windows of a batch.
        chunk: Tracers per chunk.

    Attributes:
        left_out: Number of tracers shorter than every window.
        reach: Largest number of steps of the file that a time step can span.

    Raises:
        InputError: If every tracer is shorter than the shortest window.
    """

    def __init__(
        self,
        cache: Cache,
        batch_size: int,
        windows: Sequence[int],
        seed: int,
        from_start: float = 0.0,
        states_per_window: int = 0,
        reconstruction: float = 0.0,
        use_timestep: bool = False,
        stride: int = 1,
        native_step_fraction: float = 0.0,
        multiple: int = 1,
        chunk: int = CHUNK,
    ):
        # A batch comes from one chunk and must not repeat its tracers many times.
        super().__init__(cache, "train", seed, chunk, 2 * batch_size)
        self.windows = sorted(windows)
        self.batch_size = batch_size
        self.multiple = multiple
        self.from_start = from_start
        self.states_per_window = states_per_window
        self.reconstruction = reconstruction
        self.use_timestep = use_timestep
        self.stride = stride if native_step_fraction < 1 else 1
        self.native_step_fraction = native_step_fraction
        self.linear = is_linear(cache.parameters, cache.units)
        self.left_out = int((self.length - 1 < self.windows[0]).sum())
        if self.left_out == len(self.length):
            raise InputError(
                f"emulator.window is {self.windows}, longer than every training tracer "
                f"(at most {self.length.max() - 1} steps); give a shorter window."
            )
        # A tracer's class is the number of window lengths that fit it. The plan of a
        # chunk lists (class, window, part) of its batches, the same in each epoch.
        fits = np.searchsorted(self.windows, self.length - 1, side="right")
        self.plans: list[list[tuple[int, int, int]]] = []
        self.members: list[list[np.ndarray]] = []
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            classes = [
                np.flatnonzero(fits[start:stop] == k)
                for k in range(1, len(self.windows) + 1)
            ]
            self.members.append(classes)
            self.plans.append(
                [
                    (k, w, part)
                    for k, members in enumerate(classes)
                    for w in range(k + 1)
                    for part in range(self._batches(members, k, w, start))
                ]
            )
        self.parts = [len(plan) for plan in self.plans]
        self.spec = (
            ((None, self.species), "float32"),
            ((None, None, feature_count(self.parameters, use_timestep)), "float32"),
            *([((None, None), "int32")] if states_per_window else []),
            ((None, None, self.species), "float32"),
            ((None, None), "float32"),
        )

    @property
    def reach(self) -> int:
        return self._reach(self.windows[0])

    def _reach(self, window: int) -> int:
        """Return the steps of a time step if all others of the window span one step."""
        return min(self.stride, int(self.length.max()) - window)

    def _windows_a_batch(self, w: int) -> int:
        wanted = self.batch_size * self.windows[-1] / self.windows[w]
        return self.multiple * max(1, round(wanted / self.multiple))

    def _windows_a_tracer(self, members: np.ndarray, w: int, start: int) -> int:
        return int((self.length[start + members].min() - 1) // self.windows[w])

    def _batches(self, members: np.ndarray, k: int, w: int, start: int) -> int:
        if not len(members):
            return 0
        share = len(members) / (k + 1)
        pool = share * self._windows_a_tracer(members, w, start)
        return max(1, round(pool / self._windows_a_batch(w)))

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        order = self._random(epoch, chunk).permutation(self.parts[chunk])
        k, w, part = self.plans[chunk][order[part]]
        tracers = self._tracers(epoch, chunk, k, w, part) + self.bounds[chunk]
        window = self.windows[w]

        random = np.random.default_rng((self.seed, epoch, chunk, k, w, part))
        spans = self._spans(random, self.length[tracers] - 1, window)
        ends = np.cumsum(spans, axis=1)
        starts = random.integers(0, self.length[tracers] - ends[:, -1])
        starts[random.random(len(tracers)) < self.from_start] = 0
        states = starts[:, None] + np.pad(ends, ((0, 0), (1, 0)))
        index = self._decoded(random, len(tracers), window)
        weight = np.ones(index.shape, "float32")
        weight[:, 0] = self.reconstruction * (index.shape[1] - 1)
        return tracers, states, index, weight

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        tracers, states, index, weight = drawn
        flat = xp.reshape(data[0], (-1, self.species))
        begin = ((tracers - first) * self.states)[:, None]
        initial = take(flat, begin[:, 0] + states[:, 0], xp)
        features = self._features(data, tracers - first, states, xp)
        truth = take(flat, begin + xp.take_along_axis(states, index, axis=1), xp)
        if not self.states_per_window:
            return initial, features, truth, weight
        return initial, features, index, truth, weight

    def _features(self, data: Data, tracers: Any, states: Any, xp: ModuleType) -> Any:
        """Return the input features of each time step, `(batch, n, features)`.

        Args:
            data: As in `gather`.
            tracers: Positions of the tracers in the data, (batch,).
            states: States between which the time steps lie, `(batch, n + 1)`.
            xp: NumPy or `keras.ops`.
        """
        physical = xp.reshape(data[1], (-1, self.parameters))
        begin = tracers * (self.states - 1)
        if not self.use_timestep:
            return take(physical, begin[:, None] + states[:, :-1], xp)
        # Steps of each time step; the last is repeated if there are fewer than `reach`.
        left, right = states[:, :-1, None], states[:, 1:, None]
        steps = left + xp.arange(self._reach(states.shape[1] - 1), dtype="int32")
        rows = begin[:, None, None] + xp.minimum(steps, right - 1)
        pieces = take(physical, rows, xp)
        years = take(xp.reshape(data[2], (-1,)), rows, xp)
        years = xp.where(steps < right, years, xp.zeros_like(years))
        mean = average(pieces, years, self.linear, self.reader.scale, xp)
        ends = pieces[:, :, 0], pieces[:, :, -1]
        return timestep_features(mean, *ends, xp.sum(years, axis=-1), self.step, xp)

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        *inputs, truth, weight = arrays
        return tuple(inputs), truth, weight

    def _tracers(self, epoch: int, chunk: int, k: int, w: int, part: int) -> np.ndarray:
        """Return the tracers of a batch, from the pool of windows of its length."""
        members = self.members[chunk][k]
        random = np.random.default_rng((self.seed, epoch, chunk, k))
        share = np.array_split(random.permutation(members), k + 1)[w]
        share = share if len(share) else members
        each = self._windows_a_tracer(members, w, int(self.bounds[chunk]))
        pool = random.permutation(np.repeat(share, each))
        size = self._windows_a_batch(w)
        # The last batch is filled from the beginning of the pool to keep its shape.
        return np.resize(pool, (part + 1) * size)[part * size :]

    def _spans(
        self, random: np.random.Generator, steps: np.ndarray, window: int
    ) -> np.ndarray:
        """Return the steps of the file in each time step, `(count, window)`.

        Args:
            random: Random generator.
            steps: Number of steps of the tracer of each window, (count,).
            window: Number of time steps of a window.
        """
        spans = np.ones((len(steps), window), int)
        if self.stride > 1:
            most = _log_uniform(random, np.full((len(steps), 1), self.stride), 1)
            drawn = _log_uniform(random, most, window)
            more = drawn - 1
            more[random.random(len(steps)) < self.native_step_fraction] = 0
            room = (steps - window)[:, None] / np.maximum(more.sum(1), 1)[:, None]
            spans += (more * np.minimum(room, 1.0)).astype(int)
        return spans

    def _decoded(
        self, random: np.random.Generator, count: int, window: int
    ) -> np.ndarray:
        """Return the sorted decoded states of each window, `(count, decoded)`.

        The first is state 0, the last is the last state of the window.
        """
        if not 0 < self.states_per_window < window:
            index = np.broadcast_to(np.arange(window + 1), (count, window + 1))
        else:
            draws = random.random((count, window - 1)).argsort(1) + 1
            chosen = np.sort(draws[:, : self.states_per_window - 1], axis=1)
            first, last = np.zeros((count, 1), int), np.full((count, 1), window)
            index = np.concatenate([first, chosen, last], axis=1)
        return index.astype("int32")


def _log_uniform(
    random: np.random.Generator, most: np.ndarray, count: int
) -> np.ndarray:
    """Return log-uniform whole numbers from 1 to `most`, `(n, 1)` to `(n, count)`."""
    exponents = random.random((len(most), count)) * np.log(most + 1)
    return np.minimum(np.exp(exponents).astype(int), most)
