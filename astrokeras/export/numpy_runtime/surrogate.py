"""Exported surrogate, read from its file of weights, in NumPy."""

import json
import math
import zipfile

import numpy as np

from .conservation import TINY, conserve
from .network import Network
from .trust import Trust


def _read(file, member):
    """Return an array, after a check that its size is that of its file."""
    with file.open(member) as array:
        np.lib.format.read_magic(array)
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(array)
        size = math.prod(shape) * kind.itemsize
        if member.compress_type or size != member.file_size - array.tell():
            raise ValueError(f"{file.filename}: {member.filename} claims {size} bytes")
        values = np.frombuffer(array.read(), kind)
    return values.reshape(shape, order="F" if by_columns else "C")


def _take(name, values, shape, least=None):
    """Return an array of numbers; `None` in `shape` is any length.

    With `least` they must be finite and larger.
    """
    try:
        array = np.asarray(values).astype("f4")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} are no numbers ({error}); give an array.") from error
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} have shape {array.shape}; give ({wanted}).")
    if least is not None and not (np.isfinite(array) & (array > least)).all():
        raise ValueError(f"{name} must be finite and not negative; correct them.")
    return array


class Surrogate:
    """Exported surrogate with encode, decode, step and rollout.

    Args:
        path: The file `surrogate.npz` that `astrokeras export --to numpy` writes.
    """

    def __init__(self, path):
        with zipfile.ZipFile(path) as file:
            self.weights = {
                member.filename.removesuffix(".npy"): _read(file, member)
                for member in file.infolist()
            }
        self.about = json.loads(str(self.weights.pop("about")))
        settings = json.loads(str(self.weights.pop("facts")))
        self.network = Network(self.weights, settings, self.about)
        self.trust = Trust(self.network)
        self.conservation = self.weights["atoms"], settings["conservation"]
        self.decay_length = settings["residual_decay_length"]

    def encode(self, abundances):
        """Return the latents, (N, L), of abundances, (N, S)."""
        given = _take("abundances", abundances, (None, self.species), -1e-12)
        return self.network.encode(self.network.scale(given))

    def decode(self, latents):
        """Return the abundances, (N, S), of latents, (N, L)."""
        known = len(self.weights["latents/scale"])
        known = _take("latents", latents, (None, known), -math.inf)
        return self.network.finish(self.network.decode(known))

    def step(self, abundances, physical, years, carried=None):
        """Return abundances (N, S), expected errors, status and what to carry on."""
        physical = _take("physical", physical, (None, None))
        years = _take("years", years, (None,))
        given = abundances, physical[:, None], years[:, None]
        *states, carried = self._evolve(*given, carried)
        return *(value[:, 0] for value in states), carried

    def rollout(self, abundances, physical, years):
        """Return abundances (N, T, S), expected errors (N, T) and status (N, T)."""
        return self._evolve(abundances, physical, years)[:3]

    def _evolve(self, abundances, physical, years, carried=None):
        given = _take("abundances", abundances, (None, self.species))
        n, count = len(given), len(self.about["parameters"])
        physical = _take("physical", physical, (n, None, count))
        years = _take("years", years, physical.shape[:2])
        carried = np.zeros((n, 4), "f4") if carried is None else carried
        carried = before = _take("carried", carried, (n, 4))
        limits = self.network.settings["limits"]
        rejected = self.trust.rejected(given, physical, years)
        bad = rejected > 0
        # A cell with invalid input is computed with values that harm no other.
        initial = np.where(bad[:, None], self.weights["typical_state"], given)
        physical = np.where(bad[:, None, None], self.weights["typical"], physical)
        years = np.where(bad[:, None], limits["shortest"], years)
        scaled = self.network.scale(initial)
        latents = self.network.encode(scaled)
        features = self.network.features(physical, years)
        decoded = self.network.decode(latents)
        unlike = self.trust.unlike(initial, scaled, decoded)
        residual = scaled - decoded
        totals = np.maximum(initial @ self.weights["atoms"], TINY)
        path = np.zeros((n, 1), "f4")
        states = np.full((*years.shape, self.species), np.nan, "f4")
        expected = np.full(years.shape, np.nan, "f4")
        status = np.zeros(years.shape, "i4")
        low, high = self.weights["parameter_bounds"]
        left = np.zeros(n, bool)
        for t in range(years.shape[1]):
            start = latents
            latents, spread = self.network.step(latents, features[:, t])
            path += np.sqrt(np.square(latents - start).mean(-1, keepdims=True))
            state = self.network.decode(latents)
            if self.decay_length:
                state = state + residual * np.exp(-path / self.decay_length)
            state = self.network.finish(state)
            states[:, t] = self._conserved(state, totals)
            left |= ((physical[:, t] < low) | (physical[:, t] > high)).any(-1)
            status[:, t] = 1 * left + 16 * self.trust.violates(states[:, t], totals)
            now = latents, physical[:, t], years[:, t], spread
            expected[:, t], carried, far = self.trust.judge(carried, *now)
            status[:, t] += 2 * (carried[:, 0] > limits["last"])
            status[:, t] += 4 * (unlike | far)
            if self.trust.calibrated:
                threshold = self.about["reliability_threshold"]
                status[:, t] += 8 * ~(expected[:, t] <= threshold)
        states[bad], expected[bad] = given[bad][:, None], np.nan
        status[bad], carried[bad] = rejected[bad][:, None], before[bad]
        return states, expected, status, carried

    @property
    def species(self):
        """Number of species."""
        return len(self.about["species"])

    def _conserved(self, state, totals):
        if not self.about["conserve"]:
            return state
        return conserve(state, totals, *self.conservation)
