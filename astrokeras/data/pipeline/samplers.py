"""Samplers of training batches, with NumPy and the same for every backend.

Training tracers are read in contiguous chunks of the cache. An epoch visits the chunks
in a random order and shuffles the states within each chunk. A batch depends only on
(seed, epoch, step), so that a resumed training continues exactly.

A sampler first draws the indices of the states of a batch, then gathers the states from
a chunk in memory or from all data on an accelerator.
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
Data = tuple[Any, ...]  # Arrays of NumPy, or tensors of the backend.
CHUNK = 256
ALIGNMENT = 64


class Sampler:
    """Base class of samplers, which draw batches from the cache chunk by chunk.

    Subclasses set `parts`, the number of batches of each chunk, and define `draw` and
    `gather`.

    Args:
        cache: The training cache.
        group: `train` or `validation`.
        seed: Seed of the random order.
        chunk: Tracers per chunk.
        least: Smallest number of tracers per chunk.

    Attributes:
        steps: Batches per epoch.
        spec: Shape (None for a variable axis) and dtype of each array of a batch.
        ahead: Number of batches that are prefetched.
        multiple: Number that divides the examples of a batch on each device.
    """

    spec: tuple[tuple[tuple[int | None, ...], str], ...]
    parts: list[int]
    ahead = 2
    rank, world_size, devices, multiple = 0, 1, 1, 1

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
        # Reference length of time steps, see `timestep_features`.
        self.step = float(cache.statistics.step[0])
        self._orders: dict[int, list[tuple[int, int]]] = {}
        self._needed: dict[tuple[int, int], np.ndarray] = {}
        self._lock = Lock()

    @property
    def steps(self) -> int:
        return sum(self.parts)

    def shard(self, rank: int, world_size: int, devices: int) -> None:
        """Restrict the sampler to the part of each batch for this process.

        A batch is padded to a multiple of the devices of all processes, with examples
        of weight 0. Several processes sort its examples by tracer and take consecutive
        parts, so that each reads few tracers besides its own.
        """
        self.rank, self.world_size, self.devices = rank, world_size, devices

    def batch(self, epoch: int, step: int) -> Arrays:
        """Return the arrays of one batch, read from the cache."""
        # `fit` may read a batch while a thread of tf.data reads another.
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
        """Return the indices from which `gather` makes a batch of all data."""
        with self._lock:
            return self._mine(self.draw(epoch, *self._order(epoch)[step]))

    def draw(self, epoch: int, chunk: int, part: int) -> Arrays:
        """Return the indices of the states of a batch within the group.

        Each array has an entry per example. The first array determines the tracers,
        see `tracers`; the last array holds weights of the states, if there are any.

        Args:
            epoch: Number of the epoch.
            chunk: Number of the chunk.
            part: Number of the batch within the chunk.
        """
        raise NotImplementedError

    def gather(self, data: Data, first: int, drawn: Any, xp: ModuleType = np) -> Data:
        """Return the arrays of a batch.

        Args:
            data: Scaled abundances (n, T+1, S), scaled parameters (n, T, P) and time
                steps in years (n, T) of consecutive tracers.
            first: Number of the first of these tracers.
            drawn: The result of `draw`.
            xp: NumPy or `keras.ops`.
        """
        raise NotImplementedError

    def tracers(self, drawn: Arrays) -> np.ndarray:
        """Return the tracer of each example, (n,)."""
        return drawn[0]

    def counted(self, weight: np.ndarray, counts: np.ndarray, whole: float) -> Any:
        """Return the weights of the states in a part of a padded batch.

        Args:
            weight: Weights of the states of this part, `(n, ...)`.
            counts: Which examples count, that is, are not padding, (n,).
            whole: Size of the padded batch divided by its size before.
        """
        # The loss is a mean over the batch, including examples of weight 0.
        factor = (counts * np.float32(whole)).reshape(-1, *[1] * (weight.ndim - 1))
        return weight * factor

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arrays of a batch as `(x, y, weight)` for `fit`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the cache and free the chunks in memory."""
        with self._lock:
            self.reader.close()

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        """Return the (chunk, part) of each step of an epoch."""
        if epoch not in self._orders:
            random = np.random.default_rng((self.seed, epoch))
            chunks = random.permutation(len(self.parts))
            order = [(int(c), part) for c in chunks for part in range(self.parts[c])]
            # The orders of this epoch and of the next, which is read ahead, are kept.
            kept = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders = kept | {epoch: order}
        return self._orders[epoch]

    def _following(self, epoch: int, step: int, part: int) -> tuple[int, int]:
        """Return the epoch and the chunk that follow those of a step."""
        order = self._order(epoch)
        last = step + self.parts[order[step][0]] - part
        if last < len(order):
            return epoch, order[last][0]
        return epoch + 1, self._order(epoch + 1)[0][0]

    def _padded(self, count: int) -> int:
        """Return the size of a batch of `count` examples after padding."""
        share = self.devices * self.multiple
        return -(-count // share) * share

    def _mine(self, drawn: Arrays) -> Arrays:
        """Return the part of this process of the drawn indices."""
        if self.devices == 1:
            return drawn
        count = len(drawn[0])
        padded = self._padded(count)
        order = np.arange(count)
        if self.world_size > 1:
            order = np.argsort(self.tracers(drawn), kind="stable")
        # The last example is repeated, because its tracer is read anyway.
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
            # Those of this chunk and of the previous, which is still in use, are kept.
            kept = list(self._needed.items())[-1:]
            self._needed = dict(kept) | {
                (epoch, chunk): np.unique(np.concatenate(parts))
            }
        return self._needed[epoch, chunk]

    def _states_of(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the tracers of a chunk, (n,), and their valid states, (n, T+1)."""
        tracers = np.arange(self.bounds[chunk], self.bounds[chunk + 1])
        return tracers, np.arange(self.states) < self.length[tracers, None]

    def _random(self, epoch: int, chunk: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch, chunk))


def take(array: Any, index: Any, xp: ModuleType) -> Any:
    """Return `array[index]` for indices of the first axis.

    Args:
        array: The array.
        index: Indices, of any shape.
        xp: NumPy or `keras.ops`.
    """
    if xp is not np:
        return xp.take(array, index, axis=0)
    # TensorFlow uses aligned memory without a copy.
    shape = (*index.shape, *array.shape[1:])
    size = math.prod(shape) * array.itemsize
    memory = np.empty(size + ALIGNMENT, "u1")
    start = -memory.ctypes.data % ALIGNMENT
    out = memory[start : start + size].view(array.dtype).reshape(shape)
    return np.take(array, index, axis=0, out=out, mode="clip")


class RowSampler(Sampler):
    """Sampler of single states for the autoencoder, both input and target: `(x,)`.

    Args:
        cache: The training cache.
        batch_size: States per batch; fewer if a chunk holds fewer.
        seed: Seed of the random order.
        chunk: Tracers per chunk.
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
        """Shard batches, whose size is rounded down to a multiple of the devices.

        Raises:
            InputError: If a chunk has fewer states than there are devices.
        """
        super().shard(rank, world_size, devices)
        self.batch_size -= self.batch_size % devices
        if not self.batch_size:
            raise InputError(
                f"{self.cache.path}: has {min(self._counts)} states per chunk, fewer "
                f"than the {devices} devices; train on fewer devices."
            )
        self.parts = [count // self.batch_size for count in self._counts]

    def _shuffled(self, epoch: int, chunk: int) -> np.ndarray:
        """Return the valid states of a chunk in the order of this epoch."""
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
