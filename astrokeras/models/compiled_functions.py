"""Compiled encode, decode and rollout of a surrogate, cached on every backend."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from astrokeras.layers.nearest import nearest
from astrokeras.models.reconstruction_residual import take_states

ROWS = 8192
"""States that are encoded or decoded at once."""


class _CompiledFunction(keras.Model):
    """A function of a model's layers that `predict_on_batch` compiles."""

    def __init__(self, model: keras.Model, function: Callable[..., Any]):
        super().__init__(name="program", dtype=model.variable_dtype)
        self.model = model
        self.function = function
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.function(*inputs)


class CompiledFunctions:
    """Compiles and caches encode, decode and rollout of a surrogate.

    A plain object, so that Keras neither tracks nor saves its contents. Threads must
    hold the lock, also to read weights: compilation and Keras' bookkeeping are not
    thread-safe, and no weight can be read while a function runs on JAX.

    Args:
        model: The `PhysicalEmulator`.
    """

    def __init__(self, model: Any):
        self.model = model
        self.compiled: dict[Any, _CompiledFunction] = {}
        self.shapes: set[Any] = set()  # A function is compiled for each once.
        self.lock = threading.RLock()

    def encode(self, abundances: np.ndarray) -> np.ndarray:
        """Return latents `(..., L)` of abundances `(..., S)`."""
        model = self.model

        def encode(x: Any) -> Any:
            return model.emulator.encode(model.abundance_scaler(x))

        return self._run_rows("encode", encode, abundances, model.emulator.latents)

    def decode(
        self, latents: np.ndarray, columns: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """Return abundances `(..., S or len(columns))` of latents `(..., L)`."""
        model = self.model

        def decode(z: Any) -> Any:
            return model.abundances(z, columns=_array(columns))

        width = len(model.metadata.species if columns is None else columns)
        return self._run_rows(("decode", columns), decode, latents, width)

    def rollout(
        self,
        initial: np.ndarray,
        physical: np.ndarray,
        years: np.ndarray,
        states: np.ndarray | None,
        columns: tuple[int, ...] | None,
        conserve: bool,
        for_trust: tuple[str, ...] = (),
    ) -> Any:
        """Return abundances of later states, their physical violation, and their trust.

        Args:
            initial: Abundances of state 0, (N, S).
            physical: Parameters, (N, T, P) or (N, T, 3, P).
            years: Length of the intervals, (N, T).
            states: Requested states, 0 for state 1, (K,) or of each tracer's, (N, K);
                `None` for all T.
            columns: Columns of the requested species; `None` for all.
            conserve: Whether all states have the element totals of state 0.
            for_trust: Names of what the trust model knows of all later states:
                `expected_error` (N, T), `far` (N, T, 2), `features` (N, T, F) and
                `positions` (N, T, L + P), see `Trust`.

        Returns:
            Abundances (N, K, columns), the violation (N, K), see
            `PhysicalEmulator.physical_violation`, and what `for_trust` names.
        """
        model = self.model

        def rollout(x: Any, p: Any, t: Any, *requested: Any) -> Any:
            all_latents, residual, spread = model.rollout(x, p, t)
            latents = all_latents
            if requested:
                latents = take_states(all_latents, requested[0])
                residual = residual.take(requested[0])
            totals_of = x if conserve else None
            # The trust model and the conservation need all species.
            early = None if for_trust or conserve else _array(columns)
            abundances = model.abundances(latents, totals_of, residual, early)
            violation = model.physical_violation(abundances, totals_of)
            if columns is not None and early is None:
                abundances = keras.ops.take(abundances, _array(columns), axis=-1)
            if not for_trust:
                return abundances, violation
            scaled = model.parameter_scaler(p if len(p.shape) == 3 else p[:, :, 0])
            known = {"positions": model.trust.positions(all_latents, scaled)}
            known["features"], known["far"], _ = model.trust.features(
                known["positions"], t, spread
            )
            known["expected_error"] = model.trust.expected_error(known["features"])
            return abundances, violation, *(known[name] for name in for_trust)

        inputs = (initial, physical, years) + (() if states is None else (states,))
        # TensorFlow fails on an argument that has had two ranks.
        ranks = tuple(array.ndim for array in inputs[1:])
        key = ("rollout", columns, ranks, conserve, for_trust)
        return self._run(key, rollout, *inputs)

    def distances(self, physical: np.ndarray) -> np.ndarray:
        """Return the distance of parameters, (N, T, P), from those of training."""
        model = self.model

        def distances(p: Any) -> Any:
            settings = model.trust.settings(model.parameter_scaler(p))
            return nearest(settings, model.trust.numbers["settings"])

        return self._run_rows("distances", distances, physical, 1)[..., 0]

    def _run(self, key: Any, function: Callable[..., Any], *inputs: Any) -> Any:
        with self.lock:
            if key not in self.compiled:
                self.compiled[key] = _CompiledFunction(self.model, function)
            self.shapes.add((key, *(array.shape for array in inputs)))
            with own_precision(self.model):
                outputs = self.compiled[key].predict_on_batch(inputs)
        if isinstance(outputs, tuple | list):
            return tuple(np.asarray(output) for output in outputs)
        return np.asarray(outputs)

    def _run_rows(
        self, key: Any, function: Callable[..., Any], inputs: np.ndarray, width: int
    ) -> np.ndarray:
        """Apply a function of rows to an array of any rank, in batches of one size."""
        rows = inputs.reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])
        pieces = [
            self._run(key, function, block) for _, (block,) in equal_batches(ROWS, rows)
        ]
        pieces.append(np.zeros((0, width), "float32"))
        result = np.concatenate(pieces)[: len(rows)]
        return result.reshape(*inputs.shape[:-1], width)


def equal_batches(
    size: int, *arrays: np.ndarray
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Yield the first row and the arrays of batches that all have one size.

    With one shape, a function is compiled once. The last batch is filled up with copies
    of the last row, which the caller drops.
    """
    count = len(arrays[0])
    for first in range(0, count, size):
        rows = np.minimum(np.arange(first, first + min(size, count)), count - 1)
        yield first, tuple(array[rows] for array in arrays)


def own_precision(model: Any) -> contextlib.AbstractContextManager:
    """Return a context without PyTorch's autocast, which would round every product."""
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(model.weights[0].value.device.type, enabled=False)


def _array(columns: tuple[int, ...] | None) -> Any:
    return None if columns is None else np.asarray(columns, "int32")
