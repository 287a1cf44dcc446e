"""Which states and windows make a batch: plans by NumPy, the same for every backend.

Training tracers are read in chunks, contiguous in the cache and so one read each. An
epoch visits the chunks in a random order and shuffles within them. A batch is a
function of (seed, epoch, step) alone, which is what makes a resumed training go on
exactly where it was.
"""

import functools
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from astrokeras.data.cache import Cache
from astrokeras.errors import InputError

Arrays = tuple[np.ndarray, ...]
CHUNK = 256


class _Sampler:
    """Reads chunks of a group of the cache and keeps the last one.

    Subclasses fill `parts`, the number of batches of each chunk, and `make`.

    Attributes:
        steps: Batches an epoch.
        spec: Shape (None where it varies) and dtype of each array of a batch.
        inputs: How many of a batch's arrays are the model's inputs.
    """

    spec: tuple[tuple[tuple[int | None, ...], str], ...]
    inputs: int

    def __init__(self, cache: Cache, group: str, seed: int, chunk: int):
        self.cache = cache
        self.file = h5py.File(cache.path)
        self.group = self.file[group]
        self.length = self.group["length"][:]
        self.species = self.group["abundances"].shape[-1]
        self.seed = seed
        pieces = max(1, round(len(self.length) / chunk))
        self.bounds = np.linspace(0, len(self.length), pieces + 1).astype(int)
        self._held: tuple[int, np.ndarray, np.ndarray] | None = None

    parts: list[int]

    @property
    def steps(self) -> int:
        return sum(self.parts)

    def batch(self, epoch: int, step: int) -> Arrays:
        """Return the arrays of one batch."""
        chunk, part = self._order(epoch)[step]
        return self.make(epoch, chunk, part)

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        raise NotImplementedError

    @functools.lru_cache(maxsize=4)  # noqa: B019  (samplers live as long as a fit)
    def _order(self, epoch: int) -> list[tuple[int, int]]:
        chunks = np.random.default_rng((self.seed, epoch)).permutation(len(self.parts))
        return [(int(c), part) for c in chunks for part in range(self.parts[c])]

    def _random(self, epoch: int, chunk: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, chunk))

    def _read(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the chunk's abundances and parameters, both scaled."""
        if self._held is None or self._held[0] != chunk:
            self._held = None  # so that two chunks are never in memory at once
            run = slice(self.bounds[chunk], self.bounds[chunk + 1])
            statistics = self.cache.statistics
            physical = (self.group["physical"][run] - statistics.offset.astype("f4")) / (
                statistics.scale.astype("f4")
            )
            self._held = (chunk, self.group["abundances"][run], physical)
        return self._held[1:]


class RowSampler(_Sampler):
    """Batches of single states, for the autoencoder: `(x, x)`.

    Args:
        cache: The training cache.
        batch_size: States a batch; fewer if a chunk holds fewer.
        seed: Of the order.
        chunk: Tracers a chunk.
    """

    inputs = 1

    def __init__(self, cache: Cache, batch_size: int, seed: int, chunk: int = CHUNK):
        super().__init__(cache, "train", seed, chunk)
        edges = list(zip(self.bounds[:-1], self.bounds[1:], strict=True))
        rows = [int(self.length[a:b].sum()) for a, b in edges]
        self.batch_size = min([batch_size, *rows])
        self.parts = [count // self.batch_size for count in rows]
        self.spec = (((None, self.species), "float32"),) * 2

    @functools.lru_cache(maxsize=1)  # noqa: B019
    def _shuffled(self, epoch: int, chunk: int) -> np.ndarray:
        length = self.length[self.bounds[chunk] : self.bounds[chunk + 1]]
        states = self.group["abundances"].shape[1]
        valid = np.flatnonzero(np.arange(states)[None, :] < length[:, None])
        return self._random(epoch, chunk).permutation(valid)

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        rows = self._shuffled(epoch, chunk)
        rows = rows[part * self.batch_size : (part + 1) * self.batch_size]
        states = self._read(chunk)[0].reshape(-1, self.species)[rows]
        return states, states


class WindowSampler(_Sampler):
    """Batches of windows, for the emulator: `(initial, parameters[, index], truth)`.

    Each fixed length takes an equal share of a chunk's tracers, another one in every
    epoch, and as many windows of each tracer as fit into it. A tracer too short for some lengths is shared among the others;
    one too short for all is left out and counted. Batches of all lengths hold about as
    many states, so shorter windows come in larger batches.

    Args:
        cache: The training cache.
        batch_size: Windows a batch at the longest length.
        windows: Lengths in steps.
        seed: Of the order and the starts.
        from_start: Share of the windows that start at state 0, as every rollout of an
            evaluation does; the others start anywhere they fit.
        decode: States of a window that are decoded and compared, drawn at random and
            always with the last one; all of them if 0.
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
        chunk: int = CHUNK,
    ):
        super().__init__(cache, "train", seed, chunk)
        self.windows = sorted(windows)
        self.batch_size = batch_size
        self.from_start = from_start
        self.decode = decode
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
        parameters = self.group["physical"].shape[-1]
        self.inputs = 3 if decode else 2
        self.spec = (
            ((None, self.species), "float32"),
            ((None, None, parameters), "float32"),
            *([((None, None), "int32")] if decode else []),
            ((None, None, self.species), "float32"),
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

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        order = self._random(epoch, chunk).permutation(self.parts[chunk])
        k, w, part = self.plans[chunk][order[part]]
        rows = self._tracers(epoch, chunk, k, w, part)
        window = self.windows[w]

        random = np.random.default_rng((self.seed, epoch, chunk, k, w, part))
        room = self.length[self.bounds[chunk] + rows] - window
        starts = random.integers(0, room)
        starts[random.random(len(rows)) < self.from_start] = 0
        abundances, physical = self._read(chunk)
        steps = starts[:, None] + np.arange(window)
        index = self._decoded(random, len(rows), window)
        initial = abundances[rows, starts]
        parameters = physical[rows[:, None], steps]
        truth = abundances[rows[:, None], starts[:, None] + 1 + index]
        if not self.decode:
            return initial, parameters, truth
        return initial, parameters, index, truth

    def _tracers(
        self, epoch: int, chunk: int, k: int, w: int, part: int
    ) -> np.ndarray:
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
        """Return which states of each window are decoded, `(count, wanted)`, sorted."""
        if not 0 < self.decode < window:
            index = np.broadcast_to(np.arange(window), (count, window))
        else:
            draws = random.random((count, window - 1)).argsort(1)
            chosen = np.sort(draws[:, : self.decode - 1], axis=1)
            last = np.full((count, 1), window - 1)
            index = np.concatenate([chosen, last], axis=1)
        return index.astype("int32")


class RolloutSampler(_Sampler):
    """Whole validation tracers in order: `(initial, parameters, truth, weight)`.

    Args:
        cache: The training cache.
        batch_size: Tracers a batch.
    """

    inputs = 2

    def __init__(self, cache: Cache, batch_size: int):
        super().__init__(cache, "validation", 0, batch_size)
        self.parts = [1] * (len(self.bounds) - 1)
        parameters = self.group["physical"].shape[-1]
        self.spec = (
            ((None, self.species), "float32"),
            ((None, None, parameters), "float32"),
            ((None, None, self.species), "float32"),
            ((None, None), "float32"),
        )

    def _order(self, epoch: int) -> list[tuple[int, int]]:  # type: ignore[override]
        return [(chunk, 0) for chunk in range(len(self.parts))]

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        abundances, physical = self._read(chunk)
        length = self.length[self.bounds[chunk] : self.bounds[chunk + 1], None]
        weight = np.arange(1, abundances.shape[1])[None, :] < length
        return abundances[:, 0], physical, abundances[:, 1:], weight.astype("float32")


class StateSampler(RolloutSampler):
    """All states of whole validation tracers: `(x, x, weight)`."""

    inputs = 1

    def __init__(self, cache: Cache, batch_size: int):
        super().__init__(cache, batch_size)
        row = ((None, self.species), "float32")
        self.spec = (row, row, ((None,), "float32"))

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        states = self._read(chunk)[0]
        length = self.length[self.bounds[chunk] : self.bounds[chunk + 1], None]
        weight = np.arange(states.shape[1])[None, :] < length
        states = states.reshape(-1, self.species)
        return states, states, weight.reshape(-1).astype("float32")


def as_fit_arguments(arrays: Sequence[Any], inputs: int) -> tuple[Any, ...]:
    """Group a batch's arrays into `(x, y)` or `(x, y, weight)` as Keras takes them."""
    x = arrays[0] if inputs == 1 else tuple(arrays[:inputs])
    return (x, *arrays[inputs:])
