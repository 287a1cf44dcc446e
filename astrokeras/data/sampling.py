"""Which states make a batch: plans by NumPy, the same for every backend.

Training tracers are read in chunks, contiguous in the cache and so one read each. An
epoch visits the chunks in a random order and shuffles within them. A batch is a
function of (seed, epoch, step) alone, which is what makes a resumed training go on
exactly where it was.
"""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from astrokeras.data.cache import Cache

Arrays = tuple[np.ndarray, ...]
CHUNK = 256
CHUNK_BYTES = 2**27


class Sampler:
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
        states = self.group["abundances"].shape[1]
        chunk = max(1, min(chunk, CHUNK_BYTES // (4 * states * self.species)))
        pieces = max(1, round(len(self.length) / chunk))
        self.bounds = np.linspace(0, len(self.length), pieces + 1).astype(int)
        self._held: tuple[int, np.ndarray, np.ndarray] | None = None
        self._ordered: tuple[int, list[tuple[int, int]]] | None = None

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

    def close(self) -> None:
        """Close the cache and let go of the chunk in memory."""
        self.file.close()
        self._held = None

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        """Return the (chunk, part) of each step of an epoch."""
        if self._ordered is None or self._ordered[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            chunks = random.permutation(len(self.parts))
            order = [(int(c), part) for c in chunks for part in range(self.parts[c])]
            self._ordered = (epoch, order)
        return self._ordered[1]

    def _random(self, epoch: int, chunk: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, chunk))

    def _read(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the chunk's abundances and parameters, both scaled."""
        if self._held is None or self._held[0] != chunk:
            self._held = None  # so that two chunks are never in memory at once
            run = slice(self.bounds[chunk], self.bounds[chunk + 1])
            statistics = self.cache.statistics
            physical = (
                self.group["physical"][run] - statistics.offset.astype("f4")
            ) / (statistics.scale.astype("f4"))
            self._held = (chunk, self.group["abundances"][run], physical)
        return self._held[1:]


class RowSampler(Sampler):
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
        self._rows: tuple[tuple[int, int], np.ndarray] | None = None

    def _shuffled(self, epoch: int, chunk: int) -> np.ndarray:
        """Return the chunk's valid rows in the order of this epoch."""
        if self._rows is not None and self._rows[0] == (epoch, chunk):
            return self._rows[1]
        length = self.length[self.bounds[chunk] : self.bounds[chunk + 1]]
        states = self.group["abundances"].shape[1]
        valid = np.flatnonzero(np.arange(states)[None, :] < length[:, None])
        self._rows = ((epoch, chunk), self._random(epoch, chunk).permutation(valid))
        return self._rows[1]

    def make(self, epoch: int, chunk: int, part: int) -> Arrays:
        rows = self._shuffled(epoch, chunk)
        rows = rows[part * self.batch_size : (part + 1) * self.batch_size]
        states = self._read(chunk)[0].reshape(-1, self.species)[rows]
        return states, states


class RolloutSampler(Sampler):
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
        weight = np.arange(abundances.shape[1])[None, :] < length
        weight[:, 0] = False  # given, not predicted
        return abundances[:, 0], physical, abundances, weight.astype("float32")


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
