"""Which states make a batch: plans by NumPy, the same for every backend.

Training tracers are read in chunks, contiguous in the cache and so one read each. An
epoch visits the chunks in a random order and shuffles within them. A batch is a
function of (seed, epoch, step) alone, which is what makes a resumed training go on
exactly where it was.

A sampler first draws which states a batch holds, then gathers them: from a chunk in
memory, or from all data on an accelerator.
"""

import math
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from astrokeras.data.pipeline.chunk_reader import ChunkReader
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.errors import InputError

Arrays = tuple[np.ndarray, ...]
Data = tuple[Any, ...]  # of NumPy, or of the backend
CHUNK = 256
ALIGNMENT = 64


class Sampler:
    """Draws batches from a group of the cache, chunk by chunk.

    Subclasses fill `parts`, the number of batches of each chunk, `draw` and `gather`.

    Args:
        cache: The training cache.
        group: `train` or `validation`.
        seed: Of the order.
        chunk: Tracers a chunk.
        least: Tracers a chunk at least.

    Attributes:
        steps: Batches an epoch.
        spec: Shape (None where it varies) and dtype of each array of a batch.
        ahead: Batches that are made ahead of who consumes them.
    """

    spec: tuple[tuple[tuple[int | None, ...], str], ...]
    parts: list[int]
    ahead = 2
    rank, world_size, devices = 0, 1, 1

    def __init__(
        self,
        cache: Cache,
        group: str,
        seed: int,
        chunk: int,
        least: int = 1,
    ):
        self.cache = cache
        self.reader = ChunkReader(cache, group, chunk, least)
        self.group = self.reader.group
        self.bounds = self.reader.bounds
        self.length = self.group["length"][:]
        self.states, self.species = self.reader.states, self.reader.species
        self.parameters = self.group["physical"].shape[-1]
        self.seed = seed
        # The length whose logarithm is 0 to a timed emulator.
        self.step = float(cache.statistics.step[0])
        self._orders: dict[int, list[tuple[int, int]]] = {}
        self._needed: dict[tuple[int, int], np.ndarray] = {}
        self._lock = Lock()

    @property
    def steps(self) -> int:
        return sum(self.parts)

    def shard(self, rank: int, world_size: int, devices: int) -> None:
        """Make only this process' part of each batch, from the first batch on.

        A batch is padded to a multiple of the devices of all processes, with examples
        that do not count. Several processes sort its examples by tracer and take a
        consecutive part each, so that they read few tracers but their own.
        """
        self.rank, self.world_size, self.devices = rank, world_size, devices

    def batch(self, epoch: int, step: int) -> Arrays:
        """Return the arrays of one batch, read from the cache."""
        # `fit` may look at a batch while a thread of tf.data fetches another.
        with self._lock:
            chunk, part = self._order(epoch)[step]
            drawn = self._mine(self.draw(epoch, chunk, part))
            following = self._following(epoch, step, part)
            if self.world_size == 1:
                data = self.reader.read(chunk, following[1])
            else:
                wanted = self._tracers_of(epoch, chunk), self._tracers_of(*following)
                data = self.reader.read(chunk, following[1], *wanted)
            return self.gather(data, int(self.bounds[chunk]), drawn)

    def choose(self, epoch: int, step: int) -> Arrays:
        """Return what `gather` needs to make a batch of all data."""
        with self._lock:
            return self._mine(self.draw(epoch, *self._order(epoch)[step]))

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        """Return which states a batch holds, by numbers that count through the group.

        Each array has an entry an example. The first one says which tracers they are
        of, see `tracers`; the last one weighs their states, if there are weights.

        Args:
            epoch: Number of the epoch.
            chunk: Number of the chunk.
            part: Number of the batch within the chunk.
        """
        raise NotImplementedError

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        """Return a batch's arrays.

        Args:
            data: Abundances (n, T+1, S) and parameters (n, T, P), scaled, and intervals
                in years (n, T) of consecutive tracers.
            first: Number of the first of them.
            drawn: What `draw` returned.
            xp: NumPy or `keras.ops`.
        """
        raise NotImplementedError

    def tracers(self, drawn: Arrays) -> np.ndarray:
        """Return the tracers that examples are of, (n,)."""
        return drawn[0]

    def counted(self, weight: np.ndarray, counts: np.ndarray, whole: float) -> Any:
        """Return the weights of a part of a batch that was filled up.

        Args:
            weight: Of this part's states, `(n, ...)`.
            counts: Which of the examples count, (n,).
            whole: Size of the filled batch by its size before.
        """
        # The loss is a mean over a batch, with those of no weight.
        factor = (counts * np.float32(whole)).reshape(-1, *[1] * (weight.ndim - 1))
        return weight * factor

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """Group a batch's arrays into `(x, y, weight)` as `fit` takes them."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the cache and let go of the chunks in memory."""
        with self._lock:
            self.reader.close()

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        """Return the (chunk, part) of each step of an epoch."""
        if epoch not in self._orders:
            random = np.random.default_rng((self.seed, epoch))
            chunks = random.permutation(len(self.parts))
            order = [(int(c), part) for c in chunks for part in range(self.parts[c])]
            # Of this epoch and of the next one, which is read ahead.
            kept = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders = kept | {epoch: order}
        return self._orders[epoch]

    def _following(self, epoch: int, step: int, part: int) -> tuple[int, int]:
        """Return the epoch and the chunk that are needed after those of a step."""
        order = self._order(epoch)
        last = step + self.parts[order[step][0]] - part
        if last < len(order):
            return epoch, order[last][0]
        return epoch + 1, self._order(epoch + 1)[0][0]

    def _padded(self, count: int) -> int:
        """Return the size of a batch of `count` examples after padding."""
        return -(-count // self.devices) * self.devices

    def _mine(self, drawn: Arrays) -> Arrays:
        """Return this process' part of what was drawn for a batch."""
        if self.devices == 1:
            return drawn
        count = len(drawn[0])
        padded = self._padded(count)
        order = np.arange(count)
        if self.world_size > 1:
            order = np.argsort(self.tracers(drawn), kind="stable")
        # The last one again: its tracer is read anyway.
        order = np.pad(order, (0, padded - count), "edge")
        size = padded // self.world_size
        mine = slice(self.rank * size, (self.rank + 1) * size)
        part = [array[order[mine]] for array in drawn]
        if len(part) > 1:
            counts = (np.arange(padded) < count)[mine]
            part[-1] = self.counted(part[-1], counts, padded / count)
        return tuple(part)

    def _tracers_of(self, epoch: int, chunk: int) -> np.ndarray:
        """Return the tracers of a chunk that this process needs in an epoch, sorted."""
        if (epoch, chunk) not in self._needed:
            parts = [
                self.tracers(self._mine(self.draw(epoch, chunk, part)))
                for part in range(self.parts[chunk])
            ]
            # Of this chunk and of the one before, which is still in use.
            kept = list(self._needed.items())[-1:]
            self._needed = dict(kept) | {
                (epoch, chunk): np.unique(np.concatenate(parts))
            }
        return self._needed[epoch, chunk]

    def _states_of(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a chunk's tracers, (n,), and which states they have, (n, T+1)."""
        tracers = np.arange(self.bounds[chunk], self.bounds[chunk + 1])
        return tracers, np.arange(self.states) < self.length[tracers, None]

    def _random(self, epoch: int, chunk: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, chunk))


def take(array: Any, index: Any, xp: ModuleType) -> Any:
    """Return `array[index]`, where `index` numbers the first axis.

    Args:
        array: What to take from.
        index: Whole numbers, of any shape.
        xp: NumPy or `keras.ops`.
    """
    if xp is not np:
        return xp.take(array, index, axis=0)
    # TensorFlow takes over memory that is aligned and copies any other.
    shape = (*index.shape, *array.shape[1:])
    size = math.prod(shape) * array.itemsize
    memory = np.empty(size + ALIGNMENT, "u1")
    start = -memory.ctypes.data % ALIGNMENT
    out = memory[start : start + size].view(array.dtype).reshape(shape)
    return np.take(array, index, axis=0, out=out, mode="clip")


class RowSampler(Sampler):
    """Batches of single states for the autoencoder, input and target at once: `(x,)`.

    Args:
        cache: The training cache.
        batch_size: States a batch; fewer if a chunk holds fewer.
        seed: Of the order.
        chunk: Tracers a chunk.
    """

    def __init__(self, cache: Cache, batch_size: int, seed: int, chunk: int = CHUNK):
        super().__init__(cache, "train", seed, chunk)
        edges = list(zip(self.bounds[:-1], self.bounds[1:], strict=True))
        self._counts = [int(self.length[a:b].sum()) for a, b in edges]
        self.batch_size = min([batch_size, *self._counts])
        self.parts = [count // self.batch_size for count in self._counts]
        self.spec = (((None, self.species), "float32"),)
        self._rows: tuple[tuple[int, int], np.ndarray] | None = None

    def shard(self, rank: int, world_size: int, devices: int) -> None:
        """Round the batch size down to a multiple of the devices, and shard.

        Raises:
            InputError: If a chunk has fewer states than there are devices.
        """
        super().shard(rank, world_size, devices)
        self.batch_size -= self.batch_size % devices
        if not self.batch_size:
            raise InputError(
                f"{self.cache.path}: has {min(self._counts)} states a chunk, fewer "
                f"than the {devices} devices; train on fewer."
            )
        self.parts = [count // self.batch_size for count in self._counts]

    def _shuffled(self, epoch: int, chunk: int) -> np.ndarray:
        """Return the chunk's valid rows in the order of this epoch."""
        if self._rows is not None and self._rows[0] == (epoch, chunk):
            return self._rows[1]
        tracers, valid = self._states_of(chunk)
        rows = self._random(epoch, chunk).permutation(np.flatnonzero(valid))
        rows += tracers[0] * self.states
        self._rows = ((epoch, chunk), rows)
        return rows

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        rows = self._shuffled(epoch, chunk)
        return (rows[part * self.batch_size : (part + 1) * self.batch_size],)

    def tracers(self, drawn: Arrays) -> np.ndarray:
        return drawn[0] // self.states

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        (rows,) = drawn
        flat = xp.reshape(data[0], (-1, self.species))
        return (take(flat, rows - first * self.states, xp),)

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        (states,) = arrays
        return states, states
