"""How error bars and trust are fitted: to synthetic errors and random surrogates."""

import numpy as np
import pytest
from surrogates import make_surrogate, to_numpy
from tiny import PARAMETERS, SPECIES, STEP, make_tracers, overrides, write_tracers

from astrokeras.config import compose
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.layers.trust_model import KNOTS, NORMAL, Trust
from astrokeras.models.metadata import COVERAGE
from astrokeras.training import calibration as module
from astrokeras.training.calibration import Calibration, calibrate

L, P, S = 3, len(PARAMETERS), len(SPECIES)
F = 8 + 2 + 1 + 2


def draw(rng, simulations, states=60):
    """States whose errors have a scale of their simulation besides that of features.

    Half of the features are of the simulation alone: few of them are soon learned by
    heart.
    """
    group = np.repeat(np.arange(simulations), states)
    count = len(group)
    features = rng.normal(size=(count, F))
    features[:, F // 2 :] = rng.normal(size=(simulations, F))[group, F // 2 :]
    features[:, 0] = 1.0
    scale = 0.05 * np.exp(0.5 * features[:, 1] - 0.3 * features[:, -1])
    scale *= np.exp(rng.normal(0, 0.4, simulations))[group]
    errors = np.abs(rng.normal(size=(count, S))) * scale[:, None] * np.linspace(1, 5, S)
    distances, restored = rng.uniform(1, 9, (count, 2)), rng.uniform(size=count)
    return Calibration(features, errors.astype("f4"), distances, restored, group)


def fit(found):
    trust = Trust(2, 1, S, 1, references=2, random_features=4)
    module._fit(trust, found)
    return trust


def expected_error(trust, found):
    return to_numpy(trust.expected_error(found.features.astype("f4")))


def test_intervals_cover_simulations_that_were_not_fitted(rng):
    covered, naive = [], []
    for _ in range(40):
        found, others = draw(rng, 12), draw(rng, 50)
        trust = fit(found)
        width = NORMAL * trust.sigma(expected_error(trust, others))
        covered.append((others.errors <= width).mean())
        scores = found.errors / expected_error(trust, found)[:, None]
        scale = np.quantile(scores, COVERAGE, axis=0)
        width = expected_error(trust, others)[:, None] * scale
        naive.append((others.errors <= width).mean())

    assert np.mean(covered) == pytest.approx(COVERAGE, abs=0.015)
    assert np.mean(naive) < COVERAGE - 0.03


def test_intervals_are_wide_where_errors_are_large(rng):
    found, others = draw(rng, 40), draw(rng, 100)
    trust = fit(found)

    sigma = trust.sigma(expected_error(trust, others))

    large = others.features[:, 1] > 0
    ratio = np.log(sigma[large].mean() / sigma[~large].mean())
    assert ratio > 0.5
    for held in (large, ~large):
        inside = (others.errors <= NORMAL * sigma)[held].mean(0)
        np.testing.assert_allclose(inside, COVERAGE, atol=0.04)
    # Each species has its own width, and one beside it that no state changes.
    np.testing.assert_allclose(
        trust.value("half_width") / trust.value("half_width")[0],
        np.linspace(1, 5, S),
        rtol=0.15,
    )
    np.testing.assert_allclose(
        trust.value("constant_width"), np.quantile(found.errors, 0.9, axis=0), rtol=0.15
    )


def test_what_good_states_reached_is_trusted(rng):
    found = draw(rng, 10)
    trust = fit(found)

    error = found.errors.mean(1)
    good = np.sort(error)[: len(error) // 2]
    held = found.distances[error <= good[-1]]
    *distances, restored = trust.value("largest")
    np.testing.assert_allclose((held <= distances).mean(0), 0.965, atol=0.005)
    assert (2 * found.restored <= restored).mean() == pytest.approx(0.99, abs=0.005)
    low, high = trust.value("error_range")
    assert error.min() < low < high < error.max()


def test_expected_errors_are_means_of_the_errors_where_they_are_expected(rng):
    """Also where the logarithm of the error is no linear function of features."""

    def bent(found):
        found.errors *= np.exp(np.abs(found.features[:, 1]))[:, None]
        return found

    found, others = bent(draw(rng, 60)), bent(draw(rng, 200))
    trust = fit(found)

    expected, error = expected_error(trust, others), others.errors.mean(1)

    octave = np.floor(np.log2(expected))
    held = [octave == k for k in np.unique(octave) if (octave == k).mean() > 0.05]
    assert len(held) > 2
    for states in held:
        ratio = error[states].mean() / expected[states].mean()
        assert ratio == pytest.approx(1, abs=0.2)


def test_the_correction_is_the_isotonic_regression_of_the_error(rng):
    predicted = rng.normal(size=4000)
    error = np.exp(np.sin(2 * predicted) + predicted) * rng.uniform(0, 2, 4000)

    places, values = module._correction(predicted, error)

    assert (np.diff(places) > 0).all()
    assert (np.diff(values) >= 0).all()
    # Where sin(2 x) + x falls, classes are joined; their mean is that of their states.
    order = np.argsort(predicted)
    ends = np.round(np.asarray(module.CLASSES) * 4000).astype(int)
    for value in np.unique(values):
        classes = np.flatnonzero(values == value)
        joined = error[order[ends[classes[0]] : ends[classes[-1] + 1]]]
        assert value == pytest.approx(np.log(joined.mean()))
    assert len(np.unique(values)) < len(values)
    few = module._correction(predicted[:3], error[:3])
    assert few.shape == (2, KNOTS)
    assert (np.diff(few) >= 0).all()


def test_ridge_is_least_squares_with_shrunk_slopes(rng):
    features = rng.normal(3, [1, 0.1, 5, 2], (50, 4))
    features[:, 0] = 1.0
    wanted = features @ [0.5, 3.0, -0.2, 0.0] + rng.normal(0, 0.1, 50)

    found = module._ridge(features, wanted)

    # The penalty as observations: slopes of standardised features would be zero.
    weight = np.sqrt(module.RIDGE) * features.std(0)
    rows = np.vstack([features, np.diag(weight)])
    aims = np.concatenate([wanted, np.zeros(4)])
    expected, *_ = np.linalg.lstsq(rows, aims, rcond=None)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ridge_leaves_what_never_moves_to_the_constant(rng):
    """As the spread of one emulator is, 0 of all states."""
    features = rng.normal(size=(5000, 12))
    features[:, 0], features[:, 2] = 1.0, np.log(0.01)
    wanted = 0.5 - 0.3 * features[:, 1]

    found = module._ridge(features, wanted)

    assert found[2] == 0
    np.testing.assert_allclose(found[:2], [0.5, -0.3], rtol=0.1)


@pytest.fixture
def source(tmp_path):
    return write_tracers(tmp_path / "tiny.h5", make_tracers(20))


def test_simulations_share_the_tracers_evenly(source):
    with TracerStore(source) as store:
        store.simulation = np.repeat([7, 8, 9], [28, 10, 2])
        rows = module._thin(np.arange(40), store, 9)
        again = module._thin(np.arange(40), store, 9)

        np.testing.assert_array_equal(rows, again)
        assert (np.diff(rows) > 0).all()
        counts = np.unique(store.simulation[rows], return_counts=True)[1]
        assert sorted(counts.tolist()) == [2, 3, 4]
        store.simulation = np.full(40, NO_SIMULATION)
        assert len(module._thin(np.arange(40), store, 9)) == 9


def test_references_are_training_states_in_units_of_their_spread(rng, source):
    surrogate = make_surrogate(rng)
    for layer in surrogate.emulator.autoencoder.dense:  # so that latents differ
        layer.kernel.assign(rng.normal(0, 2, layer.kernel.shape))
    trust = Trust(L, P, S, len(surrogate.elements), references=50)
    with TracerStore(source) as store:
        module._place(trust, surrogate, store)
    tracers = make_tracers(20)
    train = tracers.split == 0
    latents = surrogate.encode(tracers.abundances[train, 1:]).reshape(-1, L)
    logs = np.log10(tracers.physical[train]).reshape(-1, P)

    positions = to_numpy(trust.positions(latents, logs.astype("f4")))

    np.testing.assert_allclose(positions.mean(0), 0, atol=0.01)
    covariance = np.cov(positions.T)
    assert np.trace(covariance[:L, :L]) == pytest.approx(1, rel=0.01)
    np.testing.assert_allclose(covariance[L:, L:], np.eye(P) / 4, atol=0.01)
    for references, places in {
        "states": positions,
        "settings": positions[:, L:],
    }.items():
        chosen = trust.value(references)
        apart = np.linalg.norm(chosen[:, None] - places, axis=-1)
        assert apart.min(1).max() < 1e-3
        assert len(np.unique(apart.argmin(1))) == 50
    totals = np.log10(
        tracers.abundances[train, 0].astype("f8") @ surrogate.stoichiometry
    )
    np.testing.assert_allclose(
        trust.value("totals"), [totals.min(0), totals.max(0)], atol=1e-5
    )


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
@pytest.mark.filterwarnings("ignore::astrokeras.errors.UnreliableWarning")
@pytest.mark.parametrize("members", [1, 2])
def test_the_calibration_simulations_are_covered(rng, source, tmp_path, members):
    surrogate = make_surrogate(rng, members=members)
    config = compose(
        overrides(tmp_path, "calibration=0.5", "reliability_threshold=0.7")
    )

    calibrated = calibrate(surrogate, source, config)

    assert surrogate.trust is None
    assert calibrated.trust.reliability_threshold == 0.7
    with TracerStore(source) as store:
        rows = calibration_rows(store, 0.5)
    tracers = make_tracers(20)
    given = tracers.abundances[rows, 0], tracers.physical[rows], STEP
    found, sigma = calibrated.emulate(*given, return_sigma=True)
    truth = np.maximum(tracers.abundances[rows], 1e-20)
    error = np.abs(np.log10(found) - np.log10(truth))[:, 1:]
    assert (error <= NORMAL * sigma[:, 1:]).mean() > COVERAGE - 0.01
    assert np.median(sigma[:, 1:] / error.mean((0, 1))) < 3
