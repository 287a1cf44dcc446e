"""Compiled encode, decode and rollout of a surrogate, cached on every backend."""

import contextlib
import functools
import math
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from astrokeras.layers.nearest import nearest
from astrokeras.layers.trust_model import CARRIED
from astrokeras.models.reconstruction_residual import (
    ReconstructionResidual,
    latent_path,
    residual_weight,
)

STEPS = 16
"""Time steps of a compiled program; longer rollouts call it again."""
PATIENCE = 8
"""Calls for a single tracer, step or row that run padded before it is compiled."""
KNOWN = ("expected_error", "far", "features", "positions")
Shape = tuple[int, ...]


class Sizes(NamedTuple):
    """Tracers that are rolled out at once, and states that are decoded at once."""

    tracers: int
    rows: int


CPU, ACCELERATOR = Sizes(32, 512), Sizes(256, 8192)


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
        self.asked: Counter[Any] = Counter()
        self.lock = threading.RLock()

    def encode(self, abundances: np.ndarray) -> np.ndarray:
        """Return latents `(..., L)` of abundances `(..., S)`."""
        model = self.model

        def encode(x: Any) -> Any:
            return model.emulator.encode(model.abundance_scaler(x))

        return self._each("encode", encode, abundances, model.emulator.latents)

    def decode(
        self, latents: np.ndarray, columns: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """Return abundances `(..., S or len(columns))` of latents `(..., L)`."""
        width = len(self.model.metadata.species)
        decoded = self._each("decode", self.model.abundances, latents, width)
        return decoded if columns is None else decoded[..., list(columns)]

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
        count, steps = years.shape
        if states is None:
            states = np.arange(steps)
        states = np.broadcast_to(states, (count, states.shape[-1]))
        shape = self._shape("advance", (count, steps), (self.sizes.tracers, STEPS))
        parts = []
        for first in range(0, count, shape[0]):
            rows = slice(first, first + shape[0])
            given = initial[rows], physical[rows], years[rows]
            latents, weight, residual, known = self._evolve(*given, *shape)
            decoded = self._decode_states(
                initial[rows], latents, weight, residual, states[rows], conserve
            )
            parts.append((*decoded, *(known[name] for name in for_trust)))
        abundances, *others = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        if columns is not None:
            abundances = abundances[..., list(columns)]
        return abundances, *others

    def _evolve(
        self,
        initial: np.ndarray,
        physical: np.ndarray,
        years: np.ndarray,
        tracers: int,
        chunk: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return latents, weights and residual of a rollout, and what trust knows.

        The last two arguments are the tracers and time steps of the compiled program.
        """
        count, steps = years.shape
        row = np.minimum(np.arange(tracers), count - 1)
        physical, years = physical[row], years[row]
        latents, residual = self._run("start", self._start, initial[row])
        carried = np.zeros((tracers, 1 + len(CARRIED)), "float32")
        parts: list[tuple[np.ndarray, ...]] = []
        for first in range(0, steps, chunk):
            step = np.minimum(np.arange(first, first + chunk), steps - 1)
            given, key = (physical[:, step], years[:, step]), ("advance", physical.ndim)
            carried, *found = self._run(key, self._advance, latents, carried, *given)
            latents = found[0][:, -1]
            parts.append(tuple(array[:count] for array in found))
        found = [
            np.concatenate(part, axis=1)[:, :steps] for part in zip(*parts, strict=True)
        ]
        return found[0], found[1], residual, dict(zip(KNOWN, found[2:], strict=False))

    def _start(self, abundances: Any) -> tuple[Any, Any]:
        """Return latents of state 0, and what the decoder misses of it."""
        scaled = self.model.abundance_scaler(abundances)
        latents = self.model.emulator.encode(scaled)
        return latents, scaled - self.model.emulator.decode(latents)

    def _advance(self, latents: Any, carried: Any, p: Any, t: Any) -> tuple[Any, ...]:
        """Return what the next call needs, then latents, weights and trust of states.

        Args:
            latents: Of the state before, `(n, L)`.
            carried: Path of the latents so far and the `CARRIED` numbers, `(n, 5)`.
            p: Parameters of the intervals, `(n, C, P)` or `(n, C, 3, P)`.
            t: Length of the intervals, `(n, C)`.
        """
        model, trust = self.model, self.model.trust
        states, spread = model.emulator.rollout(latents, model.features(p, t))
        path = carried[:, :1] + latent_path(latents, states)
        outputs = states, residual_weight(path, model.residual_decay_length)
        if trust is None:
            return keras.ops.concatenate([path[:, -1:], carried[:, 1:]], 1), *outputs
        scaled = model.parameter_scaler(p if len(p.shape) == 3 else p[:, :, 0])
        positions = trust.positions(states, scaled)
        features, far, told = trust.features(positions, t, spread, carried[:, 1:])
        expected = trust.expected_error(features)
        carried = keras.ops.concatenate([path[:, -1:], told], axis=1)
        return carried, *outputs, expected, far, features, positions

    def _decode_states(
        self,
        initial: np.ndarray,
        latents: np.ndarray,
        weight: np.ndarray,
        residual: np.ndarray,
        states: np.ndarray,
        conserve: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return abundances (n, K, S) of some states and their violation (n, K)."""
        owner = np.repeat(np.arange(len(states)), states.shape[1])
        index = owner, states.reshape(-1)
        model = self.model

        def decode(z: Any, weight: Any, residual: Any, initial: Any) -> Any:
            parts = ReconstructionResidual(residual, weight)
            totals_of = initial if conserve else None
            abundances = model.abundances(z[:, None], totals_of, parts)
            return abundances, model.physical_violation(abundances, totals_of)

        found = self._run_rows(
            ("decode states", conserve),
            decode,
            latents[index],
            weight[index][:, None],
            residual[owner],
            initial[owner],
        )
        shape = (*states.shape, -1)
        return found[0].reshape(shape), found[1].reshape(states.shape)

    def distances(self, physical: np.ndarray) -> np.ndarray:
        """Return the distance of parameters, (N, T, P), from those of training."""
        model = self.model

        def distances(p: Any) -> Any:
            settings = model.trust.settings(model.parameter_scaler(p))
            return nearest(settings, model.trust.numbers["settings"])

        return self._each("distances", distances, physical, 1)[..., 0]

    def _each(
        self, key: Any, function: Callable[..., Any], inputs: np.ndarray, width: int
    ) -> np.ndarray:
        """Apply a function of rows to an array of any rank, `(..., F)`."""
        rows = inputs.reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])
        if not len(rows):
            return np.zeros((*inputs.shape[:-1], width), "float32")
        (result,) = self._run_rows(key, function, rows)
        return result.reshape(*inputs.shape[:-1], width)

    @functools.cached_property
    def sizes(self) -> Sizes:
        """Sizes of the programs: small ones keep a processor as busy as large ones."""
        on_cpu = "cpu" in str(keras.ops.zeros((), "float32").device).lower()
        return CPU if on_cpu else ACCELERATOR

    def _run(
        self, key: Any, function: Callable[..., Any], *inputs: Any
    ) -> tuple[np.ndarray, ...]:
        with self.lock:
            if key not in self.compiled:
                self.compiled[key] = _CompiledFunction(self.model, function)
            self.shapes.add((key, *(array.shape for array in inputs)))
            with own_precision(self.model):
                outputs = self.compiled[key].predict_on_batch(inputs)
        if not isinstance(outputs, tuple | list):
            outputs = (outputs,)
        return tuple(np.asarray(output) for output in outputs)

    def _run_rows(
        self, key: Any, function: Callable[..., Any], *inputs: np.ndarray
    ) -> list[np.ndarray]:
        """Apply a function of rows to arrays, (M, ...) each, in batches of one size."""
        count = len(inputs[0])
        (size,) = self._shape(key, (count,), (self.sizes.rows,))
        parts = []
        for first in range(0, count, size):
            rows = np.minimum(np.arange(first, first + size), count - 1)
            found = self._run(key, function, *(array[rows] for array in inputs))
            parts.append([array[: count - first] for array in found])
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _shape(self, key: Any, wanted: Shape, common: Shape) -> Shape:
        """Return the shape that a function runs at.

        Each shape is compiled anew, which takes seconds. So all calls run at the common
        one, however many tracers, steps or rows they have, until a single tracer, step
        or row has been asked for often enough to be worth a program of its own. PyTorch
        compiles nothing.
        """
        if keras.config.backend() == "torch":
            return wanted
        shape = tuple(
            1 if one == 1 else most for one, most in zip(wanted, common, strict=True)
        )
        self.asked[key, shape] += 1
        return shape if self.asked[key, shape] > PATIENCE else common


def own_precision(model: Any) -> contextlib.AbstractContextManager:
    """Return a context without PyTorch's autocast, which would round every product."""
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(model.weights[0].value.device.type, enabled=False)
