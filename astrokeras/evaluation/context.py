"""Evaluation context: a surrogate and the solved tracers it is compared with."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.prediction.tracer_rollout import complete
from astrokeras.runs.metric_descriptions import SOLVER_STEPS


@dataclass(frozen=True)
class Prediction:
    """Predicted states of a block of tracers.

    Attributes:
        abundances: Relative to H nuclei, (n, T+1, S); state 0 is the input.
        sigma: Error bars in dex, (n, T+1, S), `None` without calibration.
        expected_error: Dex, (n, T+1), `None` without calibration.
        reliable: Whether each state is reliable, (n, T+1), `None` without calibration.
    """

    abundances: np.ndarray
    sigma: np.ndarray | None = None
    expected_error: np.ndarray | None = None
    reliable: np.ndarray | None = None


class StreamingTest(Protocol):
    """A test whose figures are accumulated block by block in constant memory."""

    def update(self, block: Tracers, prediction: Prediction) -> Any:
        """Add solved tracers and their prediction."""

    def result(self) -> Any:
        """Return the figures of all tracers added."""


@dataclass
class Rollout:
    """A way of running the surrogate, and the tests of its predictions.

    Attributes:
        run: Returns the solved states and their prediction, `None` if the block has
            none.
        tests: Tests of the prediction.
    """

    run: Callable[[Tracers], tuple[Tracers, Prediction] | None]
    tests: list[StreamingTest]

    @classmethod
    def whole(
        cls, predict: Callable[[Tracers], Prediction], tests: list[Any]
    ) -> "Rollout":
        """Return a way of running that predicts all states of all tracers."""
        return cls(lambda block: (block, predict(block)), tests)

    def update(self, block: Tracers) -> None:
        """Predict a block once, and add it to all tests."""
        result = self.run(block)
        if result is not None:
            for test in self.tests:
                test.update(*result)


@dataclass
class EvaluationContext:
    """A surrogate and the solved tracers it is compared with.

    Attributes:
        store: The open tracer file.
        rows: Row numbers of the evaluated tracers, (n,).
        columns: Columns of the file's parameters in the surrogate's order, (P,).
        surrogate: The `Surrogate`.
        limits: Its training ranges.
        batch_size: Tracers rolled out at once.
    """

    store: TracerStore
    rows: np.ndarray
    columns: np.ndarray
    surrogate: Any
    limits: SurrogateMetadata
    batch_size: int

    @property
    def calibrated(self) -> bool:
        """Whether the surrogate returns error bars and expected errors."""
        return getattr(self.surrogate, "trust", None) is not None

    def blocks(self) -> Iterator[Tracers]:
        """Yield the evaluated tracers, whose values were checked before."""
        return self.store.blocks(self.rows, self.batch_size, check=False)

    def inputs(self, block: Tracers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return state 0 (n, S), parameters (n, T, P) and years (n, T+1) of tracers.

        A tracer that ended early is continued with its last parameters and time step.
        """
        physical, time = complete(block)
        return block.abundances[:, 0], physical[..., self.columns], time

    def emulate(
        self,
        initial: np.ndarray,
        physical: np.ndarray,
        time: np.ndarray,
        **options: Any,
    ) -> Any:
        """Return the result of `Surrogate.emulate`, without its warnings."""
        with warnings.catch_warnings():
            # The plan reports values outside the training ranges once.
            warnings.simplefilter("ignore", UserWarning)
            return self.surrogate.emulate(
                initial, physical, time, batch_size=self.batch_size, **options
            )

    def roll_out(self, block: Tracers) -> Prediction:
        """Predict tracers from state 0, with error bars and more if calibrated."""
        inputs = self.inputs(block)
        if not self.calibrated:
            return Prediction(self.emulate(*inputs))
        options: dict[str, Any] = {
            "return_sigma": True,
            "return_expected_error": True,
            "return_reliable": True,
        }
        return Prediction(*self.emulate(*inputs, **options))

    def steps_per_second(self) -> float:
        """Return the rate of rollouts, which must have been compiled before."""
        block = next(self.blocks())
        began = time.perf_counter()
        self.roll_out(block)
        steps = len(block) * (self.store.states - 1)
        return steps / (time.perf_counter() - began)

    def reconstruct(self, block: Tracers) -> Prediction:
        """Encode and decode the solved states."""
        valid = np.arange(self.store.states) < block.length[:, None]
        restored = np.zeros_like(block.abundances)
        restored[valid] = self.surrogate.reconstruct(block.abundances[valid])
        return Prediction(restored)

    def element_totals(self, abundances: np.ndarray) -> np.ndarray:
        """Return element totals, (..., S) to (..., E) float64."""
        return abundances.astype("f8") @ np.asarray(self.surrogate.stoichiometry)


def solver_rate(store: TracerStore) -> float:
    """Return the solver's steps per second on one core, UCLCHEM's if none is stored."""
    stored = store.attributes.get("solver_steps_per_second")
    if not (isinstance(stored, float) and stored > 0):
        return SOLVER_STEPS
    return float(stored) / float(store.attributes.get("sample_every", 1))


def select_states(block: Tracers, rows: np.ndarray, states: slice) -> Tracers:
    """Return some tracers of a block, with some of their states.

    Args:
        block: Solved tracers.
        rows: Numbers of tracers, (m,), each with two of these states at least.
        states: The first state and the stride, without a stop.
    """
    first, stride = states.start or 0, states.step or 1
    return Tracers(
        rows=block.rows[rows],
        abundances=block.abundances[rows, states],
        physical=block.physical[rows, states],
        time=block.time[rows, states],
        length=(block.length[rows] - 1 - first) // stride + 1,
        tracer=block.tracer[rows],
        simulation=block.simulation[rows],
        split=block.split[rows],
    )
