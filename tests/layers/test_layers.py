"""Layers against NumPy, through serialisation and in compiled training."""

import keras
import numpy as np
import pytest
from keras import ops

from astrokeras.layers.annealed_noise import AnnealedDropout, LatentNoise
from astrokeras.layers.consensus_cell import ConsensusCell
from astrokeras.layers.rate_features import RateFeatures
from astrokeras.layers.recurrence import Recurrence
from astrokeras.layers.residual_cell import ResidualCell
from astrokeras.layers.reversible_dense import ReversibleDense
from astrokeras.layers.scalers import AbundanceScaler, AffineScaler
from astrokeras.layers.trust_model import Trust


def to_numpy(tensor):
    return ops.convert_to_numpy(getattr(tensor, "value", tensor))


def randomise(layer, rng):
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 6)], ids=["states", "sequences"])
def test_reverse_is_the_transpose(shape, rng):
    layer = ReversibleDense(2)
    inputs = rng.normal(size=shape).astype("float32")
    latent = to_numpy(layer(inputs))
    randomise(layer, rng)

    restored = to_numpy(layer(latent, reverse=True))

    expected = latent @ to_numpy(layer.kernel).T + to_numpy(layer.reverse_bias)
    np.testing.assert_allclose(restored, expected, rtol=1e-5, atol=1e-6)


def test_reverse_of_some_outputs_is_a_part_of_all(rng):
    layer = ReversibleDense(2)
    latent = layer(rng.normal(size=(4, 6)).astype("float32"))
    randomise(layer, rng)

    some = to_numpy(layer(latent, reverse=True, outputs=np.array([5, 1])))

    every = to_numpy(layer(latent, reverse=True))
    np.testing.assert_allclose(some, every[:, [5, 1]], rtol=1e-6)


def test_empty_width_is_refused():
    with pytest.raises(ValueError, match="units is 0; give a whole number"):
        ReversibleDense(0)


def test_abundance_scaler_follows_its_formula():
    layer = AbundanceScaler(1e-20)
    abundances = np.array([[0.0, 1e-20, 1e-10, 1.0]], "float32")

    scaled = to_numpy(layer(abundances))

    # Half a decade below the floor is kept, no more.
    np.testing.assert_allclose(scaled, [[-0.025, 0, 0.5, 1]], atol=1e-6)
    restored = to_numpy(layer(scaled - [[1, 0, 0, 0]], reverse=True))
    np.testing.assert_allclose(restored, [[10**-20.5, 1e-20, 1e-10, 1]], rtol=1e-4)


def test_affine_scaler_goes_there_and_back(rng):
    layer = AffineScaler(3, log=True)
    layer.set_scales(np.array([1.0, 2, 3]), np.array([0.5, 1, 2]))
    values = 10 ** rng.normal(size=(5, 3)).astype("float32")

    scaled = to_numpy(layer(values))

    expected = (np.log10(values) - [1, 2, 3]) / [0.5, 1, 2]
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer(scaled, reverse=True)), values, rtol=1e-4)


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match="not zero"):
        AffineScaler(2).set_scales(np.zeros(2), np.array([1.0, 0]))


@pytest.mark.parametrize("layer_class", [AnnealedDropout, LatentNoise])
def test_noise_acts_in_training_alone(layer_class):
    layer = layer_class(0.5, seed=1)
    ones = np.ones((200, 50), "float32")

    np.testing.assert_array_equal(to_numpy(layer(ones)), ones)
    noisy = to_numpy(layer(ones, training=True))

    assert noisy.std() > 0.3
    assert abs(noisy.mean() - 1) < 0.05


def test_dropout_masks_neither_rows_nor_features_alike():
    """Each is made of a number for its row and one for its feature."""
    layer = AnnealedDropout(0.5, seed=4)
    kept = ops.convert_to_numpy(layer(ops.ones((600, 400)), training=True)) > 0

    for mask in (kept, kept.T):
        sign = 2.0 * mask[:200] - 1
        likeness = sign @ sign.T / mask.shape[1]
        off_diagonal = likeness[~np.eye(200, dtype=bool)]
        # Independent signs: a spread of 1 / sqrt(n), and no pair far beyond it.
        assert off_diagonal.std() == pytest.approx(mask.shape[1] ** -0.5, rel=0.05)
        assert np.abs(off_diagonal).max() < 6 * mask.shape[1] ** -0.5


def test_dropout_drops_its_rate():
    layer = AnnealedDropout(0.3, seed=1)
    dropped = to_numpy(layer(np.ones((400, 100), "float32"), training=True))

    assert abs((dropped == 0).mean() - 0.3) < 0.02
    np.testing.assert_allclose(dropped[dropped > 0], 1 / 0.7, rtol=1e-5)


def test_compiled_steps_see_a_new_strength(rng):
    noise = LatentNoise(1.0, seed=1)
    model = keras.Sequential([keras.Input((4,)), noise, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 0.0
    x = np.zeros((256, 4), "float32")
    y = np.zeros((256, 1), "float32")
    noisy = model.fit(x, y, verbose=0).history["loss"][0]

    noise.strength.assign(0.0)
    quiet = model.fit(x, y, verbose=0).history["loss"][0]

    assert noisy > 1e-3
    assert quiet < 1e-12


def reference_rollout(recurrence, initial, parameters, bounds=None):
    """Roll the cell in NumPy, step by step; it relaxes if it has a rate."""
    weights = {w.path.split("/", 1)[1]: to_numpy(w) for w in recurrence.weights}
    named = {tuple(k.split("/")[-2:]): v for k, v in weights.items()}
    state, states = initial, []
    for step in np.moveaxis(parameters, 1, 0):
        hidden = step @ named["drive", "kernel"] + named["drive", "bias"]
        hidden = np.tanh(hidden + state @ named["first", "kernel"])
        hidden = np.tanh(hidden @ named["inner_0", "kernel"] + named["inner_0", "bias"])
        change = hidden @ named["last", "kernel"] + named["last", "bias"]
        if ("rate", "kernel") in named:
            logit = hidden @ named["rate", "kernel"] + named["rate", "bias"]
            change = (10 * np.tanh(0.4 * change) - state) / (1 + np.exp(-logit))
        state = state + change
        state = state if bounds is None else np.clip(state, *bounds)
        states.append(state)
    return np.stack(states, 1)


def test_the_recurrence_is_a_residual_rollout(rng):
    recurrence = Recurrence(ResidualCell(3, (8, 6), "tanh", name="cell"), name="r")
    initial = rng.normal(size=(2, 3)).astype("float32")
    parameters = rng.normal(size=(2, 7, 4)).astype("float32")
    untouched = to_numpy(recurrence(initial, parameters)[0])
    np.testing.assert_allclose(untouched, np.repeat(initial[:, None], 7, 1), atol=1e-6)
    randomise(recurrence, rng)

    states = to_numpy(recurrence(initial, parameters)[0])

    expected = reference_rollout(recurrence, initial, parameters)
    np.testing.assert_allclose(states, expected, rtol=1e-4, atol=1e-5)


def test_rates_are_told_what_they_depend_on():
    units, offset, scale = (
        ("K", "Habing", "cm^-3", "mag"),
        [1.0, 0, 3, 0],
        [0.5, 2, 1, 1],
    )
    layer = RateFeatures(units, offset, scale)
    temperature, field, extinction = 20.0, 30.0, 2.0
    logs = np.log10([temperature, field, 1e4, extinction])
    given = np.append((logs - offset) / scale, [0.3, 0.1]).astype("f4")

    made = ops.convert_to_numpy(layer(given[None]))[0]

    switches = np.tanh(np.log10(temperature / np.array([17, 22, 30, 50, 100])) / 0.06)
    left = field * np.exp(-np.array([0.7, 1.8, 3.0]) * extinction)
    expected = [*given, 15 / temperature - 1, *switches, extinction / 4 - 0.5]
    expected += [*(np.log10(left + 1e-4) / 2)]
    np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-5)
    assert layer.count == len(made) - len(given)


def test_rates_of_parameters_that_cannot_be_stay_finite():
    layer = RateFeatures(("K", "Habing", "mag"), [0, 0, 0], [1, 1, 1])
    logs = np.stack(np.meshgrid(*3 * [[-25.0, 0, 25]]), -1).reshape(-1, 3)
    assert np.abs(ops.convert_to_numpy(layer(logs.astype("f4")))[:, 3:]).max() < 20


def test_other_units_have_no_rates():
    layer = RateFeatures(("cm^-3",), [0.0], [1.0])
    assert layer.count == 0
    assert layer(np.ones((2, 1), "f4")).shape == (2, 1)


def test_a_relaxing_cell_goes_to_an_equilibrium_at_a_rate(rng):
    cell = ResidualCell(3, (8, 6), "tanh", relaxing=True, name="cell")
    recurrence = Recurrence(cell, name="r")
    initial = rng.normal(size=(2, 3)).astype("float32")
    parameters = rng.normal(size=(2, 7, 4)).astype("float32")
    untrained = to_numpy(recurrence(initial, parameters)[0])
    left = (1 - 1 / (1 + np.exp(3.0))) ** np.arange(1, 8)  # the middle, 5 % a step
    np.testing.assert_allclose(
        untrained, initial[:, None] * left[:, None], rtol=1e-4, atol=1e-6
    )
    randomise(recurrence, rng)

    states = to_numpy(recurrence(initial, parameters)[0])

    expected = reference_rollout(recurrence, initial, parameters)
    assert np.abs(expected - untrained).max() > 0.1
    np.testing.assert_allclose(states, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relaxing", [False, True])
def test_bounds_hold_the_state_at_every_step(relaxing, rng):
    bounds = np.array([[-0.4, -0.3, -0.2], [0.2, 0.3, 0.4]])
    cell = ResidualCell(
        3, (8, 6), "tanh", relaxing=relaxing, bounds=bounds, name="cell"
    )
    recurrence = Recurrence(cell, name="r")
    initial = rng.normal(size=(5, 3)).astype("float32")
    parameters = rng.normal(size=(5, 7, 4)).astype("float32")
    recurrence(initial, parameters)
    randomise(recurrence, rng)

    states = to_numpy(recurrence(initial, parameters)[0])

    expected = reference_rollout(recurrence, initial, parameters, bounds)
    np.testing.assert_allclose(states, expected, rtol=1e-4, atol=1e-5)
    for edge in bounds.astype("f4"):
        assert (states == edge).any()


def test_mixed_precision_leaves_the_state_in_float32(rng):
    cell = ResidualCell(3, (8, 6), "tanh", "mixed_bfloat16", name="cell")
    recurrence = Recurrence(cell, name="r")
    initial = rng.normal(size=(2, 3)).astype("float32")
    parameters = rng.normal(size=(2, 7, 4)).astype("float32")
    untouched = to_numpy(recurrence(initial, parameters)[0])
    np.testing.assert_array_equal(untouched, np.repeat(initial[:, None], 7, 1))
    randomise(recurrence, rng)

    states = to_numpy(recurrence(initial, parameters)[0])

    expected = reference_rollout(recurrence, initial, parameters)
    assert states.dtype == "float32"
    assert {layer.compute_dtype for layer in (recurrence.drive, cell.first)} == {
        "bfloat16"
    }
    assert 1e-6 < np.abs(states - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize(
    "layer",
    [
        ReversibleDense(3, name="x"),
        AnnealedDropout(0.2, seed=1, name="x"),
        LatentNoise(0.2, seed=1, name="x"),
        AbundanceScaler(1e-12, name="x"),
        AffineScaler(4, log=True, name="x"),
        ResidualCell(3, (5, 4), "tanh", name="x"),
        ResidualCell(2, relaxing=True, bounds=[[-1, -2], [1, 2]], name="x"),
        Trust(2, 3, 4, 1, references=5, reliability_threshold=0.2, name="x"),
        Recurrence(ResidualCell(3, (5,), name="cell"), name="x"),
        ConsensusCell([ResidualCell(3, (5,), name=name) for name in "ab"], name="x"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_configuration_survives_serialisation(layer):
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)

    assert type(copy) is type(layer)
    assert keras.saving.serialize_keras_object(copy) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnnealedDropout(1.0), "rate is 1.0; give"),
        (lambda: LatentNoise(-1.0), "rate is -1.0; give"),
        (lambda: ResidualCell(3, ()), r"hidden is \(\); give"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
