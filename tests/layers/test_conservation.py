"""The layer that restores element totals: physics, form, gradient, edge cases."""

import keras
import numpy as np
import pytest
from keras import ops

import astrokeras
from astrokeras.chemistry.stoichiometry import element_totals, stoichiometric_matrix
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.layers.conservation import Conservation

FLOAT32 = 2e-6  # what is asked of the totals in float32


def to_numpy(tensor):
    return ops.convert_to_numpy(tensor)


def mean_dex(ours, truth):
    return np.abs(np.log10(ours / truth)).mean(-1)


@pytest.fixture(scope="module")
def matrix(sample_path):
    with TracerStore(sample_path) as store:
        return stoichiometric_matrix(store.species)[0]


@pytest.fixture(scope="module")
def states(sample_path):
    """Real states of many tracers, (n, S)."""
    with TracerStore(sample_path) as store:
        tracers = store.read(np.arange(0, store.tracers, 8))
    return np.clip(tracers.abundances[:, ::40].reshape(-1, 333), 1e-20, 1.0)


def disturb(states, dex, rng):
    noise = rng.normal(0, dex, states.shape)
    return np.clip(states * 10**noise, 1e-20, 1.0).astype("float32")


def apply(layer, abundances, totals):
    return to_numpy(layer(abundances, np.asarray(totals, "float32")))


@pytest.mark.parametrize(("dex", "steps"), [(0.1, 4), (0.4, 8), (1.2, 12)])
def test_totals_are_restored_and_all_stays_positive(matrix, states, dex, steps, rng):
    totals = element_totals(states, matrix)

    restored = apply(Conservation(matrix, steps), disturb(states, dex, rng), totals)

    assert (restored > 0).all()
    assert np.abs(element_totals(restored, matrix) / totals - 1).max() < FLOAT32


def test_what_cannot_be_repaired_stays_positive_too(matrix, rng):
    # A few of these make a factor whose product float32 would round to zero.
    abundances = 10 ** rng.uniform(-37, 0, (2000, len(matrix)))
    totals = 10 ** rng.uniform(-8, 0, (2000, matrix.shape[1]))

    restored = apply(Conservation(matrix, 12), abundances.astype("float32"), totals)

    assert np.isfinite(restored).all()
    assert (restored > 0).all()


def test_errors_do_not_grow_as_they_do_with_equal_weights(matrix, states, rng):
    noisy = disturb(states, 0.12, rng)
    totals = element_totals(states, matrix)

    ours = apply(Conservation(matrix), noisy, totals)
    equal = apply(Conservation(matrix, power=1e-4), noisy, totals)

    before = mean_dex(noisy, states).mean()
    assert mean_dex(ours, states).mean() < before
    assert mean_dex(equal, states).mean() > 1.3 * before


def test_every_factor_has_the_form_that_is_documented(matrix, states, rng):
    noisy = disturb(states, 0.1, rng)[:5]
    bound = (
        element_totals(states[:5], matrix)[:, None] / np.maximum(matrix, 1e-9)
    ).min(-1)
    bounded = np.minimum(noisy.astype("float64"), bound)

    ours = apply(Conservation(matrix), noisy, element_totals(states[:5], matrix))

    share = (
        bounded[..., None] * matrix / element_totals(bounded, matrix)[:, None]
    ).max(-1)
    weight = np.sqrt(np.clip(share, 0, 1))
    for logs, c in zip(np.log(ours / bounded), weight, strict=True):
        carriers = c > 1e-3  # the others' factors are 1 but for rounding
        design = c[carriers, None] * matrix[carriers]
        _, _, rank, _ = np.linalg.lstsq(design, logs[carriers], rcond=None)
        mu = np.linalg.lstsq(design, logs[carriers], rcond=None)[0]
        assert rank == matrix.shape[1]
        np.testing.assert_allclose(design @ mu, logs[carriers], atol=2e-5)


def test_states_that_conserve_are_left_alone(matrix, states):
    states = states.astype("float32")

    restored = apply(Conservation(matrix), states, element_totals(states, matrix))

    np.testing.assert_allclose(restored, states, rtol=2e-6)


@pytest.mark.parametrize("total", [0.0, 1e-20], ids=["absent", "floor"])
def test_an_element_that_is_not_there_harms_no_other(matrix, states, total, rng):
    totals = element_totals(states, matrix)
    totals[:, -1] = total

    restored = apply(Conservation(matrix), disturb(states, 0.1, rng), totals)

    assert np.isfinite(restored).all()
    assert (restored[:, matrix[:, -1] > 0] <= max(total, 1e-30)).all()
    found = element_totals(restored, matrix)[:, :-1]
    assert np.abs(found / totals[:, :-1] - 1).max() < FLOAT32


def test_what_cannot_be_repaired_is_told():
    layer = Conservation([[2.0, 0.0], [2.0, 1.0]])
    abundances = np.array([[0.4, 0.1], [0.4, 0.1]], "float32")
    # In the second state each molecule brings more hydrogen than there would be.
    totals = np.array([[1.0, 0.1], [0.1, 0.1]], "float32")

    residual = to_numpy(layer.residual(layer(abundances, totals), totals))

    assert residual[0] < FLOAT32
    assert residual[1] > 0.1


class Biased(keras.Model):
    """Abundances with a trainable logarithm, conserved."""

    def __init__(self, matrix, logs, totals):
        super().__init__()
        self.conservation = Conservation(matrix)
        self.logs = self.add_weight(logs.shape, name="logs")
        self.logs.assign(logs)
        self.totals = totals
        self.built = True

    def call(self, inputs):
        moved = self.conservation(ops.exp(self.logs), self.totals)
        return inputs * ops.log(moved)


def test_gradients_are_those_of_the_solution(matrix, states, rng):
    logs = np.log(disturb(states[7:8], 0.1, rng))
    totals = element_totals(states[7:8], matrix).astype("float32")
    direction = rng.normal(size=logs.shape).astype("float32")
    model = Biased(matrix, logs, totals)

    # One step of plain descent moves the weight by the gradient.
    model.compile(
        keras.optimizers.SGD(1.0),
        loss=lambda y, out: ops.sum(y * out),
        jit_compile=False,
    )
    ones = np.ones_like(direction)
    model.fit(ones, direction, epochs=1, verbose=0)
    gradient = logs - to_numpy(model.logs.value)

    places = np.argsort(-np.abs(states[7]))[:6]
    steps = np.zeros((6, logs.shape[1]))
    steps[np.arange(6), places] = 0.004
    shifted = np.exp(np.concatenate([logs + steps, logs - steps])).astype("float32")
    out = apply(Conservation(matrix, steps=12), shifted, np.repeat(totals, 12, axis=0))
    values = (direction * np.log(out.astype("float64"))).sum(-1)
    slopes = (values[:6] - values[6:]) / 0.008
    np.testing.assert_allclose(gradient[0, places], slopes, rtol=0.01, atol=0.003)


def test_the_layer_survives_serialisation(matrix, states, rng):
    layer = Conservation(matrix, steps=5, power=0.7, limit=2.0)
    clone = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    noisy, totals = disturb(states, 0.3, rng), element_totals(states, matrix)

    np.testing.assert_array_equal(
        apply(clone, noisy, totals), apply(layer, noisy, totals)
    )


@pytest.mark.filterwarnings("ignore::astrokeras.errors.UnreliableWarning")
@pytest.mark.long
def test_rollouts_of_the_preset_keep_the_totals_of_their_start(sample_path):
    surrogate = astrokeras.load("grav")
    with TracerStore(sample_path) as store:
        tracers = store.read(store.rows("test")[:4])
    initial, physical = tracers.abundances[:, 0], tracers.physical[:, :40]
    totals = element_totals(initial, surrogate.stoichiometry)[:, None]

    def drift(conserve):
        result = surrogate.emulate(initial, physical, 92.9, conserve=conserve)
        found = element_totals(result, surrogate.stoichiometry)
        return np.abs(found / totals - 1)[:, 1:].max()

    assert surrogate.conserve
    assert drift(None) == drift(True) < FLOAT32
    assert drift(False) > 0.01


def test_a_vector_is_no_stoichiometry():
    with pytest.raises(ValueError, match=r"Received: shape=\(3,\)"):
        Conservation([1.0, 2.0, 1.0])
