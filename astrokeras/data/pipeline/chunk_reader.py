"""Reader of the training cache by chunks, which reads one chunk ahead."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import h5py
import numpy as np

from astrokeras.data.pipeline.training_cache import Cache

Chunk = tuple[np.ndarray, np.ndarray, np.ndarray]
Key = tuple[int, tuple[tuple[int, int], ...]]  # A chunk, and its runs that are read.
# Two chunks must be small compared with the memory of a backend.
CHUNK_BYTES = 2**25


class ChunkReader:
    """Reader of chunks of contiguous tracers from a group of the cache.

    It holds at most two chunks: the current chunk, and the next, which a thread reads
    ahead. Their memory is reused, so a chunk is valid until another chunk is read.

    Args:
        cache: The training cache.
        group: `train` or `validation`.
        tracers: Tracers per chunk; fewer if they would exceed `CHUNK_BYTES`.
        least: Smallest number of tracers per chunk, regardless of their size.

    Attributes:
        group: The group of the open file.
        bounds: First tracer of each chunk, and the number of tracers at the end.
        states: Number of states of a tracer, T+1.
        species: Number of species, S.
    """

    def __init__(self, cache: Cache, group: str, tracers: int, least: int = 1):
        import hdf5plugin  # noqa: F401  # It registers the filter of compressed caches.

        self.file = h5py.File(cache.path)
        self.group = self.file[group]
        self.offset = cache.statistics.offset.astype("f4")
        self.scale = cache.statistics.scale.astype("f4")
        count, self.states, self.species = self.group["abundances"].shape
        fits = CHUNK_BYTES // (4 * self.states * self.species)
        tracers = max(1, least, min(tracers, fits))
        pieces = max(1, round(count / tracers))
        self.bounds = np.linspace(0, count, pieces + 1).astype(int)
        self._thread: ThreadPoolExecutor | None = None
        # Memory is reused, because clearing new pages takes longer than reading.
        self._memory: dict[int, np.ndarray] = {}
        self._turn = 0
        self._held: tuple[Key, Chunk] | None = None
        self._ahead: tuple[Key, Future[Chunk]] | None = None

    @property
    def nbytes(self) -> int:
        """Size of the whole group in memory."""
        names = ("abundances", "physical", "years")
        return 4 * sum(self.group[name].size for name in names)

    def read(
        self,
        chunk: int,
        following: int | None = None,
        tracers: np.ndarray | None = None,
        tracers_following: np.ndarray | None = None,
    ) -> Chunk:
        """Return a chunk's abundances and parameters, scaled, and its intervals, years.

        Args:
            chunk: Number of the chunk.
            following: Number of the next chunk, if it is known.
            tracers: Sorted tracers that are needed, all of the chunk if `None`; values
                of other tracers are undefined.
            tracers_following: The same for the next chunk.
        """
        key = chunk, self._runs(chunk, tracers)
        if self._held is None or self._held[0] != key:
            self._held = None  # A failed read may have overwritten its memory.
            self._held = (key, self._take(key))
            if following is not None:
                ahead = following, self._runs(following, tracers_following)
                if ahead != key:
                    if self._thread is None:
                        self._thread = ThreadPoolExecutor(1, "read-ahead")
                    self._ahead = (ahead, self._thread.submit(self._load, ahead))
        return self._held[1]

    def pieces(self) -> Iterator[Chunk]:
        """Yield all chunks in order, each in new memory."""
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            abundances = self.group["abundances"][start:stop]
            yield abundances, *self._forcing(start, stop)

    def close(self) -> None:
        """Close the cache and free the chunks in memory."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._held = self._ahead = None
        self._memory = {}
        self.file.close()

    def _runs(
        self, chunk: int, tracers: np.ndarray | None
    ) -> tuple[tuple[int, int], ...]:
        """Return start and end of each run of consecutive tracers."""
        if tracers is None:
            return ((int(self.bounds[chunk]), int(self.bounds[chunk + 1])),)
        runs = np.split(tracers, np.flatnonzero(np.diff(tracers) > 1) + 1)
        return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)

    def _take(self, key: Key) -> Chunk:
        """Return a chunk that was read ahead, or read it now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            known, future = ahead
            wait([future])
            if known == key:
                return future.result()
        return self._load(key)

    def _load(self, key: Key) -> Chunk:
        chunk, runs = key
        start, stop = self.bounds[chunk], self.bounds[chunk + 1]
        self._turn = (
            1 - self._turn
        )  # Use the memory that the current chunk leaves free.
        if self._turn not in self._memory:
            largest = int(np.diff(self.bounds).max())
            shape = (largest, self.states, self.species)
            # Filled below; rows outside of `runs` are never used.
            self._memory[self._turn] = np.empty(shape, "f4")
        abundances = self._memory[self._turn][: stop - start]
        for first, end in runs:
            there, here = np.s_[first:end], np.s_[first - start : end - start]
            self.group["abundances"].read_direct(abundances, there, here)
        return abundances, *self._forcing(start, stop)

    def _forcing(self, start: int, stop: int) -> tuple[Any, Any]:
        physical = (self.group["physical"][start:stop] - self.offset) / self.scale
        return physical, self.group["years"][start:stop]
