"""The preset on the backend in use against a forward pass in NumPy, float64.

Run on each backend in turn, this shows that all agree on one model file.
"""

import numpy as np
import pytest
import scipy.optimize

import astrokeras
from astrokeras.data.tracers.reader import TracerStore

SCALED = 5e-6  # half of what two backends may differ by
# Of a rollout in float32 from one in float64: where chemistry turns over within a few
# steps, rounding grows a thousandfold.
ROLLOUT_DEX = 1e-3
RANGE_DEX = 0.2  # by which a decoded species leaves its trained range
MARGIN_DEX = 0.5  # by which it lies below the floor


def value(weight):
    from keras import ops

    return ops.convert_to_numpy(weight.value).astype("float64")


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class EmulatorReference:
    """What an emulator of the shipped variant computes, written without Keras."""

    def __init__(self, emulator):
        autoencoder = emulator.autoencoder
        self.kernel = value(autoencoder.kernel)
        self.dense = [
            (value(d.kernel), value(d.bias))
            for d in (*autoencoder.dense, autoencoder.last)
        ]
        self.mean, self.spread = map(value, autoencoder.species_scaler.weights[:2])
        self.centre, self.unit = map(value, emulator.latent_scaler.weights[:2])
        cell = emulator.recurrence.cell
        self.drive = [value(w) for w in emulator.recurrence.drive.weights]
        self.first = value(cell.first.kernel)
        self.inner = [(value(d.kernel), value(d.bias)) for d in cell.inner]
        self.last = value(cell.last.kernel), value(cell.last.bias)
        self.rate = value(cell.rate.kernel), value(cell.rate.bias)
        self.bounds = np.asarray(cell.bounds, "f8")

    def encode(self, scaled):
        x = (scaled - self.mean) / self.spread @ self.kernel
        return (x - self.centre) / self.unit

    def decode(self, latents):
        x = z = latents * self.unit + self.centre
        for kernel, bias in self.dense[:-1]:
            x = silu(x @ kernel + bias)
        x = x @ self.dense[-1][0] + self.dense[-1][1]
        x = x + (z - x @ self.kernel) @ self.kernel.T
        return x * self.spread + self.mean

    def step(self, latents, told):
        x = silu(told @ self.drive[0] + self.drive[1] + latents @ self.first)
        for kernel, bias in self.inner:
            x = silu(x @ kernel + bias)
        equilibrium = 10 * np.tanh(0.4 * (x @ self.last[0] + self.last[1]))
        rate = sigmoid(x @ self.rate[0] + self.rate[1])
        return np.clip(latents + rate * (equilibrium - latents), *self.bounds)


class Reference:
    """The shipped surrogate, of a single cell, written without Keras."""

    def __init__(self, surrogate):
        self.emulator = EmulatorReference(surrogate.emulator)
        self.offset, self.scale = map(value, surrogate.parameter_scaler.weights[:2])
        self.atoms = surrogate.stoichiometry
        low, high = to_scaled(surrogate.metadata.species_ranges)
        self.low = low - np.where(low > 0, RANGE_DEX, MARGIN_DEX) / 20
        self.high = np.minimum(high + RANGE_DEX / 20, 1)
        self.residual_decay_length = surrogate.residual_decay_length

    def abundances(self, latents, kept):
        scaled = np.clip(self.emulator.decode(latents) + kept, self.low, self.high)
        return 10 ** (20 * (scaled - 1))

    def step(self, latents, physical):
        """One interval of the shortest length, parameters held."""
        p = (np.log10(physical) - self.offset) / self.scale
        told = [p, 0 * p, 0 * p, 0 * p[:, :1], self.rates(physical.astype("f8"))]
        return self.emulator.step(latents, np.concatenate(told, axis=-1))

    def rates(self, physical):
        """What docs/models.md says of temperature, extinction and field."""
        _, field, extinction, temperature = physical.T
        switches = np.log10(temperature[:, None] / [17, 22, 30, 50, 100]) / 0.06
        left = field[:, None] * np.exp(np.outer(extinction, [-0.7, -1.8, -3]))
        found = [15 / temperature - 1, *np.tanh(switches).T]
        found += [np.minimum(extinction, 8) / 4 - 0.5, *np.log10(left + 1e-4).T / 2]
        return np.stack(found, axis=-1)

    def conserve(self, abundances, totals):
        """Give one state its totals, with SciPy's solver instead of Newton's steps."""
        with np.errstate(divide="ignore"):
            x = np.minimum(abundances, (totals / self.atoms).min(-1))
        share = (x[:, None] * self.atoms / (x @ self.atoms)).max(-1)
        design = np.sqrt(share)[:, None] * self.atoms

        def excess(mu):
            return (x * np.exp(design @ mu)) @ self.atoms / totals - 1

        solution = scipy.optimize.root(excess, np.zeros(len(totals)), tol=1e-12)
        assert np.abs(solution.fun).max() < 1e-9
        return x * np.exp(design @ solution.x)


@pytest.fixture(scope="module")
def surrogate():
    return astrokeras.load("grav")


@pytest.fixture(scope="module")
def reference(surrogate):
    return Reference(surrogate)


@pytest.fixture(scope="module")
def tracers(sample_path):
    with TracerStore(sample_path) as store:
        return store.read(store.rows("test")[:3])


def to_scaled(abundances):
    return 1 + np.log10(np.maximum(abundances.astype("f8"), 1e-20)) / 20


def test_encode_decode_and_step_agree(surrogate, reference, tracers):
    from keras import ops

    state = tracers.abundances[:, 100]
    scaled = to_scaled(state)
    latents = reference.emulator.encode(scaled)
    physical = tracers.physical[:, 100]
    emulator = surrogate.emulator

    encoded = surrogate.encode(state)
    decoded = ops.convert_to_numpy(emulator.decode(latents.astype("f4")))
    years = np.full((len(physical), 1), surrogate.dt_range[0], "f4")
    told = surrogate.features(physical[:, None], years)
    stepped, _ = emulator.rollout(latents.astype("f4"), told)

    np.testing.assert_allclose(encoded, latents, rtol=SCALED, atol=SCALED)
    np.testing.assert_allclose(decoded, reference.emulator.decode(latents), atol=SCALED)
    expected = reference.step(latents, physical.astype("f8"))
    stepped = ops.convert_to_numpy(stepped)[:, 0]
    np.testing.assert_allclose(stepped, expected, rtol=SCALED, atol=SCALED)


def test_every_state_of_a_long_rollout_agrees(surrogate, reference, tracers):
    rolled = surrogate.emulate(tracers.abundances[:, 0], tracers.physical, tracers.time)

    scaled = to_scaled(tracers.abundances[:, 0])
    latents = reference.emulator.encode(scaled)
    missed = scaled - reference.emulator.decode(latents)
    path = np.zeros((len(latents), 1))
    totals = tracers.abundances[:, 0].astype("f8") @ surrogate.stoichiometry
    for t in range(tracers.physical.shape[1]):
        before = latents
        latents = reference.step(latents, tracers.physical[:, t].astype("f8"))
        path += np.sqrt(np.square(latents - before).mean(-1, keepdims=True))
        kept = missed * np.exp(-path / reference.residual_decay_length)
        decoded = reference.abundances(latents, kept)
        pairs = zip(decoded, totals, strict=True)
        expected = np.log10([reference.conserve(*pair) for pair in pairs])
        error = np.abs(np.log10(rolled[:, t + 1]) - expected)
        assert error.max() < ROLLOUT_DEX, f"state {t + 1}"
