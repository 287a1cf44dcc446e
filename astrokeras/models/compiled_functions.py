"""A surrogate's functions, compiled once each, on any backend."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


class _Program(keras.Model):
    """A function of a model's layers that `predict_on_batch` compiles."""

    def __init__(self, model: keras.Model, function: Callable[..., Any]):
        super().__init__(name="program", dtype=model.variable_dtype)
        self.model = model
        self.function = function
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.function(*inputs)


class Programs:
    """Compiles and keeps encode, decode and rollout of a surrogate.

    A plain object, so that Keras neither tracks nor saves what it holds. The lock is
    for callers with threads: compilation and Keras' own bookkeeping are not theirs, and
    while a program runs on JAX no weight can be read. Who reads weights takes it too.

    Args:
        model: The `Surrogate`.
    """

    def __init__(self, model: Any):
        self.model = model
        self.programs: dict[Any, _Program] = {}
        self.lock = threading.RLock()

    def _run(self, key: Any, function: Callable[..., Any], *inputs: Any) -> Any:
        with self.lock:
            if key not in self.programs:
                self.programs[key] = _Program(self.model, function)
            with _own_precision(self.model):
                found = self.programs[key].predict_on_batch(inputs)
        if isinstance(found, tuple | list):
            return tuple(np.asarray(one) for one in found)
        return np.asarray(found)

    def encode(self, abundances: np.ndarray) -> np.ndarray:
        """Return latents of abundances, `(N, S)` to `(N, L)`."""
        model = self.model

        def encode(x: Any) -> Any:
            return model.emulator.encode(model.abundance_scaler(x))

        return self._run("encode", encode, abundances)

    def decode(self, latents: np.ndarray, columns: Any) -> np.ndarray:
        """Return abundances of latents, `(N, L)` to `(N, S or len(columns))`."""
        model = self.model

        def decode(z: Any) -> Any:
            return model.abundances(z, outputs=_array(columns))

        return self._run(("decode", columns), decode, latents)

    def rollout(
        self,
        initial: np.ndarray,
        physical: np.ndarray,
        years: np.ndarray,
        index: Any,
        columns: Any,
        conserve: bool,
        judged: bool = False,
    ) -> Any:
        """Return abundances of later states, all or those of `index`, and their flaw.

        The flaw, `(N, T or len(index))`, is by how much element totals are off that
        should be conserved, infinite for what is not finite or not positive. If the
        states are to be judged, the latents of all later states `(N, T, L)` stand
        before it, and the spread of an ensemble, dex, `(N, T or len(index))`.
        """
        model = self.model

        def rollout(x: Any, p: Any, t: Any, *wanted: Any) -> Any:
            every, kept = model.roll(x, p, t)
            latents = every
            if wanted:
                latents = keras.ops.take(every, wanted[0], axis=1)
                kept = kept.take(wanted[0])
            given = x if conserve else None
            # Who sees some of the species alone is not told what the others hold.
            some = None if judged or conserve else _array(columns)
            found = model.abundances(latents, given, kept, some)
            physical_violation = model.physical_violation(found, given)
            if columns is not None and some is None:
                found = keras.ops.take(found, _array(columns), axis=-1)
            if not judged:
                return found, physical_violation
            return found, every, model.spread(latents), physical_violation

        inputs = (initial, physical, years) + (() if index is None else (index,))
        # TensorFlow would give up on the rank of an argument that has had two.
        key = ("rollout", columns, index is None, conserve, judged, physical.ndim)
        return self._run(key, rollout, *inputs)


def _own_precision(model: Any) -> contextlib.AbstractContextManager:
    """Return a context without PyTorch's autocast, which else rounds every product."""
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(model.weights[0].value.device.type, enabled=False)


def _array(columns: Any) -> Any:
    return None if columns is None else np.asarray(columns, "int32")
