"""Every gradient is finite on real states, and is that of what is computed."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
from gradients import check_slopes, gradient
from keras import ops
from surrogates import make_surrogate
from tiny import make_tracers

import astrokeras
import astrokeras.layers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.layers.annealed_noise import AnnealedDropout, LatentNoise
from astrokeras.layers.consensus_cell import ConsensusCell
from astrokeras.layers.conservation import Conservation
from astrokeras.layers.exposure_features import ExposureFeatures
from astrokeras.layers.rate_features import RateFeatures
from astrokeras.layers.recurrence import Recurrence
from astrokeras.layers.residual_cell import ResidualCell
from astrokeras.layers.reversible_dense import ReversibleDense
from astrokeras.layers.scalers import AbundanceScaler, AffineScaler
from astrokeras.losses import DexLoss, ReferenceLoss

# H2, CO, H2O, C and an electron, which has no atoms.
MATRIX = np.array([[2, 0, 0], [0, 1, 1], [2, 0, 1], [0, 1, 0], [0, 0, 0]], "float32")
LOGS = np.array([[-0.31, -4.1, -6.2, -4.6, -7.0], [-0.4, -5.0, -4.2, -4.3, -9.0]])
LOGS = LOGS.astype("float32")
TOTALS = np.log10(10.0 ** LOGS[:1] @ MATRIX)
TOTALS = TOTALS + np.array([[0.01, 0.03, -0.02], [-0.01, 0.02, 0.04]], "float32")
WITHOUT_GRADIENT = {"Trust"}  # NumPy: it judges, and is not called


def ten_to(logs):
    return ops.power(10.0, logs)


def weighed(values):
    """Weigh outputs, so that no two of them cancel."""
    return ops.multiply(values, np.cos(np.arange(values.shape[-1], dtype="float32")))


def randomised(layer, *shapes):
    """Return a built layer with random weights."""
    layer.build(*shapes)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    return layer


def make_cases():
    """Return, by layer, functions of rows, and a point where they are smooth."""
    rng = np.random.default_rng(2)
    scaler = AffineScaler(5, log=True)
    scaler.set_scales(np.arange(5), np.arange(1, 6))
    rates = RateFeatures(("K", "Habing", "mag"), [1, 0, 0], [0.5, 1, 1])
    gas = {"parameters": ("Density", "gasTemp"), "units": ("cm^-3", "K"), "step": 1.0}
    exposures = ExposureFeatures(**gas, offset=[4, 1], scale=[1, 1])
    dense = randomised(ReversibleDense(4), (None, 5))
    cell = ResidualCell(3, (6,), "gelu", relaxing=True, bounds=[[-2] * 3, [2] * 3])
    cell = randomised(cell, (None, 6))
    pair = ConsensusCell([ResidualCell(3, (6,), "gelu") for _ in range(2)])
    pair = randomised(pair, (None, 12))
    rolled = randomised(Recurrence(ResidualCell(3, (6, 5), "silu")), (2, 3), (2, 4, 2))
    conserve = Conservation(MATRIX, steps=12)
    drive = rng.normal(size=(1, 6)).astype("float32")
    drives = np.concatenate([drive, -drive], axis=-1)
    features = rng.normal(size=(1, 4, 2)).astype("float32")
    states = rng.normal(size=(2, 3))

    def roll(initial):
        steps = ops.tile(features, (ops.shape(initial)[0], 1, 1))
        return rolled(initial, steps)[0]

    def conserved(logs):
        return ops.log10(conserve(ten_to(logs), 10.0 ** TOTALS[:1]))

    def towards(totals):
        given = ops.tile(10.0 ** LOGS[:1], (ops.shape(totals)[0], 1))
        return ops.log10(conserve(given, ten_to(totals)))

    return {
        "AbundanceScaler": (lambda u: AbundanceScaler()(ten_to(u)), LOGS),
        "AbundanceScaler back": (
            lambda u: ops.log10(AbundanceScaler()(u, reverse=True)),
            0.05 * LOGS + 1,
        ),
        "AffineScaler": (lambda u: scaler(ten_to(u)), LOGS),
        "AffineScaler back": (
            lambda u: ops.log10(scaler(u, reverse=True)),
            LOGS / 10,
        ),
        "RateFeatures": (rates, rng.uniform(0.1, 0.5, (2, 3))),
        "ExposureFeatures": (exposures, rng.uniform(0.1, 0.5, (2, 7))),
        "ReversibleDense": (dense, LOGS),
        "ReversibleDense back": (lambda u: dense(u, reverse=True), LOGS[:, :4]),
        "ResidualCell": (
            lambda u: cell(ops.tile(drive, (ops.shape(u)[0], 1)), [u])[0],
            states / 4,
        ),
        "ConsensusCell": (
            lambda u: pair(ops.tile(drives, (ops.shape(u)[0], 1)), [u])[0],
            states / 4,
        ),
        "Recurrence": (roll, states),
        "AnnealedDropout": (AnnealedDropout(0.3, seed=1), states),
        "LatentNoise": (LatentNoise(0.3, seed=1), states),
        "Conservation": (conserved, LOGS),
        "Conservation of totals": (towards, TOTALS),
    }


CASES = make_cases()


def test_every_layer_is_among_the_cases():
    found = set()
    for module in pkgutil.iter_modules(astrokeras.layers.__path__):
        loaded = importlib.import_module(f"astrokeras.layers.{module.name}")
        found |= {
            name
            for name, value in vars(loaded).items()
            if isinstance(value, type) and issubclass(value, keras.layers.Layer)
        }
    public = {name for name in found if not name.startswith("_")}
    assert public - WITHOUT_GRADIENT == {name.split()[0] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_that_of_differences(name, rng):
    function, point = CASES[name]

    check_slopes(lambda u: weighed(function(u)), point, rng, step=0.004)


@pytest.mark.parametrize(
    "total", [0.0, 1e-38, 1e-30, 1e-20, 3e-20], ids=lambda total: f"total={total:g}"
)
@pytest.mark.parametrize("of", ["abundances", "totals"])
def test_conservation_of_an_absent_element_has_a_gradient(of, total):
    """Also one of molecules without atoms, and where nothing holds an element."""
    layer = Conservation(MATRIX)
    least = max(total, 1e-20)
    abundances = np.array([[0.3, least, least, 1e-4, 1e-7], [0.5, 0, 0, 1e-4, 0]])
    totals = np.array([[1.0, 1e-4, total], [1.0, total, total]])
    given = abundances.astype("float32"), totals.astype("float32")

    if of == "abundances":
        found = gradient(lambda x: ops.log10(layer(x, given[1])), given[0])
    else:
        found = gradient(lambda t: ops.log10(layer(given[0], t)), given[1])
    restored = ops.stop_gradient(layer(*given))
    off = gradient(lambda t: layer.residual(restored, t), given[1])

    assert np.isfinite(found).all()
    assert np.isfinite(off).all()


def test_scalers_have_a_gradient_at_zero_the_floor_and_one():
    ends = np.array([[0.0, 1e-30, 3e-21, 1e-20, 1.0]], "float32")

    assert np.isfinite(gradient(AbundanceScaler(), ends)).all()


def test_rates_have_a_gradient_wherever_a_parameter_may_be():
    layer = RateFeatures(("K", "mag"), [0, 0], [1, 1])
    logs = np.stack(np.meshgrid([-60.0, 0, 60], [-60.0, 0, 2, 60]), -1).reshape(-1, 2)

    assert np.isfinite(gradient(layer, logs)).all()


def test_cells_have_a_gradient_at_their_bounds_and_at_rest():
    cell = ResidualCell(3, (6,), relaxing=True, bounds=[[-1] * 3, [1] * 3])
    cell.build((None, 6))
    states = np.array([[-1.0, 0, 1], [0, 0, 0], [5, -5, 1]], "float32")

    assert np.isfinite(gradient(lambda z: cell(np.zeros((3, 6)), [z])[0], states)).all()


@pytest.mark.parametrize(
    "loss",
    [DexLoss(MATRIX, tail=1.0, conservation=1.0), ReferenceLoss(MATRIX)],
    ids=lambda loss: loss.name,
)
def test_losses_have_a_gradient(loss, rng):
    truth = np.array([[0.0, 0.5, 1, 0, 0.3], [0, 0, 0, 0, 0]], "float32")

    def lost(prediction):
        rows = ops.shape(prediction)[0] // 2
        return loss.call(ops.tile(ops.convert_to_tensor(truth), (rows, 1)), prediction)

    for offset in (0.0, -0.025, 0.025):
        found = gradient(lost, truth + offset)
        assert np.isfinite(found).all()
    near = truth + rng.uniform(0.01, 0.02, truth.shape).astype("float32")
    check_slopes(lost, near, rng, step=1e-3)


def test_a_rollout_that_stands_still_has_a_gradient(rng):
    surrogate = make_surrogate(rng).replace(residual_decay_length=0.25)
    cell = surrogate.emulator.recurrence.cell
    cell.last.kernel.assign(np.zeros(cell.last.kernel.shape))  # nothing changes
    cell.last.bias.assign(np.zeros(cell.last.bias.shape))
    tracers = make_tracers(1, 2, 4)
    given = tracers.physical, np.diff(tracers.time).astype("float32")

    def states(initial):
        return ops.log10(surrogate((initial, *given)))

    found = gradient(states, tracers.abundances[:, 0])

    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0


def test_the_spread_of_members_that_agree_has_a_gradient(rng):
    twins = ConsensusCell([ResidualCell(3, (6,), "gelu") for _ in range(2)])
    twins = randomised(twins, (None, 12))
    twins.members[1].set_weights(twins.members[0].get_weights())
    drive = rng.normal(size=(4, 6)).astype("float32")
    drives = np.concatenate([drive, drive], axis=-1)
    drives[2:, 6:] += 1

    def spread(states):
        return twins(drives, [states])[0][:, -1]

    states = rng.normal(size=(4, 3)).astype("float32")
    found = gradient(spread, states)

    assert np.isfinite(found).all()
    assert np.abs(found[2:]).max() > 0
    np.testing.assert_array_equal(ops.convert_to_numpy(spread(states))[:2], 0)


def test_the_preset_has_the_gradient_of_its_rollout(sample_path, rng):
    """Of initial abundances, some at the floor, in logarithms."""
    surrogate = astrokeras.load("grav")
    with TracerStore(sample_path) as store:
        tracers = store.read(store.rows("test")[:1])
    logs = np.log10(np.maximum(tracers.abundances[:, 0], 1e-20))
    physical, years = tracers.physical[:, :2], np.diff(tracers.time)[:, :2]

    def states(logs):
        rows = (ops.shape(logs)[0], 1)
        given = ops.tile(physical, (*rows, 1)), ops.tile(years, rows)
        return weighed(ops.log10(surrogate((ten_to(logs), *given))))

    check_slopes(states, logs, rng, step=0.03, directions=8)
