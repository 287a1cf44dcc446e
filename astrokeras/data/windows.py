"""Which windows of which tracers make a batch of the emulator's training."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.cache import Cache
from astrokeras.data.sampling import CHUNK, Arrays, Sampler, take
from astrokeras.errors import InputError


class WindowSampler(Sampler):
    """Batches of windows: `(initial, parameters[, index], truth, weight)`.

    Each fixed length takes an equal share of a chunk's tracers, another one in every
    epoch, and as many windows of each tracer as fit into it. A tracer too short for
    some lengths is shared among the others; one too short for all is left out and
    counted. Batches of all lengths hold about as many states, so shorter windows come
    in larger batches.

    Args:
        cache: The training cache.
        batch_size: Windows a batch at the longest length.
        windows: Lengths in steps.
        seed: Of the order and the starts.
        from_start: Share of the windows that start at state 0, as every rollout of an
            evaluation does; the others start anywhere they fit.
        decode: States of a window that are decoded and compared besides state 0, drawn
            at random and always with the last one; all of them if 0.
        reconstruction: Weight of state 0, which is given and only reconstructed, beside
            the mean of the others.
        chunk: Tracers a chunk.

    Attributes:
        left_out: Tracers shorter than every window.

    Raises:
        InputError: If no tracer is as long as the shortest window.
    """

    def __init__(
        self,
        cache: Cache,
        batch_size: int,
        windows: Sequence[int],
        seed: int,
        from_start: float = 0.0,
        decode: int = 0,
        reconstruction: float = 0.0,
        chunk: int = CHUNK,
    ):
        # A batch comes from one chunk and must not hold its tracers many times.
        super().__init__(cache, "train", seed, chunk, least=2 * batch_size)
        self.windows = sorted(windows)
        self.batch_size = batch_size
        self.from_start = from_start
        self.decode = decode
        self.reconstruction = reconstruction
        self.left_out = int((self.length - 1 < self.windows[0]).sum())
        if self.left_out == len(self.length):
            raise InputError(
                f"emulator.window is {self.windows}, longer than every training "
                f"tracer (at most {self.length.max() - 1} steps); give a shorter one."
            )
        # The longest windows that fit a tracer make its class; the plan of a chunk
        # lists (class, window, part) of its batches and is the same in each epoch.
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
            ((None, None, self.parameters), "float32"),
            *([((None, None), "int32")] if decode else []),
            ((None, None, self.species), "float32"),
            ((None, None), "float32"),
        )

    def _windows_a_batch(self, w: int) -> int:
        return max(1, round(self.batch_size * self.windows[-1] / self.windows[w]))

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
        room = self.length[tracers] - window
        starts = random.integers(0, room)
        starts[random.random(len(tracers)) < self.from_start] = 0
        index = self._decoded(random, len(tracers), window)
        weight = np.ones(index.shape, "float32")
        weight[:, 0] = self.reconstruction * (index.shape[1] - 1)
        return tracers, starts, np.arange(window), index, weight

    def gather(
        self,
        abundances: Any,
        physical: Any,
        first: int,
        *drawn: Any,
        xp: ModuleType = np,
    ) -> tuple[Any, ...]:
        tracers, starts, steps, index, weight = drawn
        flat = xp.reshape(abundances, (-1, self.species))
        flat_physical = xp.reshape(physical, (-1, self.parameters))
        begin = (tracers - first) * self.states + starts
        begin_physical = (tracers - first) * (self.states - 1) + starts
        initial = take(flat, begin, xp)
        parameters = take(flat_physical, begin_physical[:, None] + steps, xp)
        truth = take(flat, begin[:, None] + index, xp)
        if not self.decode:
            return initial, parameters, truth, weight
        return initial, parameters, index, truth, weight

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        *inputs, truth, weight = arrays
        return tuple(inputs), truth, weight

    def _tracers(self, epoch: int, chunk: int, k: int, w: int, part: int) -> np.ndarray:
        """Return the tracers of a batch: a part of its length's pool of windows."""
        members = self.members[chunk][k]
        random = np.random.default_rng((self.seed, epoch, chunk, k))
        share = np.array_split(random.permutation(members), k + 1)[w]
        share = share if len(share) else members
        each = self._windows_a_tracer(members, w, int(self.bounds[chunk]))
        pool = random.permutation(np.repeat(share, each))
        size = self._windows_a_batch(w)
        # The last batch is filled up from the pool's beginning: shapes stay the same.
        return np.resize(pool, (part + 1) * size)[part * size :]

    def _decoded(
        self, random: np.random.Generator, count: int, window: int
    ) -> np.ndarray:
        """Return which states of each window are decoded, `(count, wanted)`, sorted.

        State 0 is the first of them and the window's last state the last.
        """
        if not 0 < self.decode < window:
            index = np.broadcast_to(np.arange(window + 1), (count, window + 1))
        else:
            draws = random.random((count, window - 1)).argsort(1) + 1
            chosen = np.sort(draws[:, : self.decode - 1], axis=1)
            first, last = np.zeros((count, 1), int), np.full((count, 1), window)
            index = np.concatenate([first, chosen, last], axis=1)
        return index.astype("int32")
