"""Blocks of a prediction: some tracers of the input, each written as a file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from astrokeras.data.tracers.reader import Tracers, TracerStore, TracerWriter
from astrokeras.errors import InputError, WorkError
from astrokeras.models.status import MEANINGS, count_bits, is_reliable
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.prediction.tracer_rollout import read_given, roll_out_with_status
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
    match_columns,
)
from astrokeras.system.backend import select_backend, start_keras
from astrokeras.system.dask_cluster import WORKER_DEATHS, connect, in_parallel

STATUS = "a sum of bits, 0 fine: " + "; ".join(
    f"{int(bit)} {meaning}" for bit, meaning in MEANINGS.items()
)
"""Meaning of the dataset `status` of a predicted file."""
COMPRESSION: dict[str, int | None] = {"gzip": 1, "none": None}


@dataclass
class Counts:
    """What was predicted.

    Attributes:
        tracers: Number of tracers.
        states: Predicted states, without state 0 and states beyond a tracer's length.
        reliable: Reliable states; without calibration, those inside the ranges.
        bits: Number of states with each bit of `models.status.Status`, by its name.
    """

    tracers: int
    states: int
    reliable: int
    bits: Counter[str]

    @classmethod
    def of(cls, status: np.ndarray, length: np.ndarray) -> "Counts":
        """Return the counts of status `(n, T+1)` of tracers of `length` states."""
        valid = np.arange(status.shape[1]) < length[:, None]
        found = status[:, 1:][valid[:, 1:]]
        reliable = int(is_reliable(found).sum())
        return cls(len(status), found.size, reliable, Counter(count_bits(found)))

    def add(self, other: "Counts") -> None:
        """Add those of another block."""
        self.tracers += other.tracers
        self.states += other.states
        self.reliable += other.reliable
        self.bits.update(other.bits)


@dataclass(frozen=True)
class Plan:
    """Settings of a prediction, which are sent to its workers.

    Attributes:
        tracers: The input.
        surrogate: The `.keras` file, empty for a surrogate in memory.
        sha256: Hash of that file.
        out: The file to write, beside which the blocks are kept.
        start: Abundances in place of every state 0, (S,), or `None`.
        size: Tracers in a block, which are rolled out at once.
        substep: Whether intervals that are longer than trained are split.
        compression: A key of `COMPRESSION`.
        backend: Backend of Keras.
    """

    tracers: Path
    surrogate: str
    sha256: str
    out: Path
    start: tuple[float, ...] | None
    size: int
    substep: bool
    compression: str
    backend: str | None

    def block(self, number: int) -> Path:
        """Return the path of a block."""
        return ResumableOutput(self.out).block(number)

    def numbers(self, tracers: int) -> range:
        """Return the numbers of the blocks of a file of so many tracers."""
        return range(-(-tracers // self.size))


class BlockPredictor:
    """Predicts the tracers of a file, block by block.

    Args:
        plan: The plan.
        store: The input.
        target: The surrogate.

    Raises:
        InputError: If the surrogate's file was replaced since the plan was made.
    """

    def __init__(self, plan: Plan, store: TracerStore, target: SurrogateReference):
        self.plan = plan
        self.store = store
        self.target = target
        self.columns = match_columns(store, target)
        self.surrogate = target.load()
        if target.sha256() != plan.sha256:
            raise InputError(
                f"{target.path}: was replaced while it was read; predict again."
            )

    def predict(self, number: int) -> Counts:
        """Predict and write a block, unless it is there, and return its counts."""
        path, size = self.plan.block(number), self.plan.size
        rows = slice(number * size, (number + 1) * size)
        if path.is_file():
            with h5py.File(path) as file:
                return Counts.of(file["status"][:], self.store.length[rows])
        start = None if self.plan.start is None else np.array(self.plan.start)
        given = read_given(self.store, rows, check=False, start=start)
        status = self._write(path, given)
        return Counts.of(status, given.length)

    def _write(self, path: Path, given: Tracers) -> np.ndarray:
        rollout = roll_out_with_status(
            self.surrogate, given, self.columns, self.plan.size, self.plan.substep
        )
        given.abundances, expected, status = rollout
        how = self.store, self.target, self.plan.compression
        with open_writer(path, *how) as writer:
            writer.append(given, status=status, expected_error=expected)
        return status


def predict_blocks(
    plan: Plan,
    store: TracerStore,
    target: SurrogateReference,
    scheduler: str | None,
    workers: int | None,
) -> Iterator[Counts]:
    """Predict all blocks, in this process or on Dask workers; yield their counts.

    Args:
        plan: The plan.
        store: The input.
        target: The surrogate.
        scheduler: Address of a Dask scheduler.
        workers: Number of processes on this machine; without both, this one works.

    Raises:
        InputError: If a worker lacks the backend or cannot read a file.
        WorkError: If the scheduler has ended, or workers die of a block.
    """
    numbers = iter(plan.numbers(store.tracers))
    if scheduler is None and workers is None:
        predictor = BlockPredictor(plan, store, target)
        yield from map(predictor.predict, numbers)
        return
    with connect(scheduler, workers) as client:
        for number, counts in in_parallel(client, predict_block, numbers, plan):
            if not isinstance(counts, Counts):
                raise WorkError(
                    f"{plan.block(number)}: {WORKER_DEATHS} workers died while they "
                    "predicted it; the same command with --resume continues."
                )
            yield counts


def predict_block(plan: Plan, number: int) -> Counts:
    """Predict a block on a worker, which keeps its file and surrogate open."""
    return _predictor(plan).predict(number)


@lru_cache(maxsize=1)
def _predictor(plan: Plan) -> BlockPredictor:
    select_backend(plan.backend)
    start_keras()
    store = TracerStore(plan.tracers, need_abundances=False)
    return BlockPredictor(plan, store, find_surrogate_reference(plan.surrogate))


def open_writer(
    out: Path, store: TracerStore, target: SurrogateReference, compression: str
) -> TracerWriter:
    """Return the writer of a predicted file."""
    import astrokeras

    # A file of trajectories has no elements.
    attributes = {"elements": list(target.metadata.elements)} | store.attributes
    attributes |= {
        "solver": f"astrokeras {astrokeras.__version__}, surrogate {target.name}",
        "tolerances": "",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "predicted_from": store.path.name,
        "surrogate": target.name,
        "surrogate_sha256": target.sha256(),
        "astrokeras_version": astrokeras.__version__,
        "status": STATUS,
    }
    return TracerWriter(
        out,
        species=target.metadata.species,
        parameters=store.parameters,
        units=store.units,
        states=store.states,
        attributes=attributes,
        compression=COMPRESSION[compression],
        extra={"status": "u1", "expected_error": "f4"},
    )
