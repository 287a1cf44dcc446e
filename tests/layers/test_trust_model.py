"""Expected errors, error bars and trust against NumPy, and through a surrogate."""

import numpy as np
import pytest
from surrogates import make_surrogate, make_trust, to_numpy
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

import astrokeras
from astrokeras.layers import trust_model as module
from astrokeras.layers.trust_model import (
    NORMAL,
    RISKS,
    feature_count,
    nearest,
    spread_out,
)
from astrokeras.models.ensemble import Ensemble
from astrokeras.models.trust_assessment import TrustAssessment

L, P, S, E = 3, len(PARAMETERS), len(SPECIES), 3
TOLERANCE = 0.2


def fine(count=2, steps=5):
    """What `risks` is given of rollouts that nothing speaks against."""
    ones = np.ones((count, steps))
    return {
        "expected": 0.5 * TOLERANCE * ones,
        "far_setting": 1.0 * ones,
        "far_state": 3.0 * ones,
        "outside": 0.05 * ones,
        "totals": np.full((count, E), 10.0) ** [-1.5, -2.95, -3.7],
        "reconstruction": np.full(count, 0.2),
        "late": 0.0 * ones,
        "unrepaired": 1e-6 * ones,
    }


def trust_of(layer, given):
    return TrustAssessment(given["expected"], layer.risks(**given)).trust


def test_nearest_is_the_smallest_of_all_distances(rng, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)  # several blocks, the last one shorter
    references = rng.normal(size=(20, 4)).astype("f4")
    points = rng.normal(size=(3, 11, 4)).astype("f4")
    points[1, 2] = references[5]

    found = nearest(points, references)

    apart = np.linalg.norm(points[:, :, None] - references, axis=-1)
    np.testing.assert_allclose(found, apart.min(-1), atol=2e-3)
    assert found[1, 2] == pytest.approx(0, abs=2e-3)


def test_each_reference_is_the_farthest_from_those_before(rng):
    points = rng.normal(size=(40, 3)).astype("f4")

    chosen = spread_out(points, 9)

    assert len(set(chosen)) == 9
    for i in range(1, 9):
        apart = np.linalg.norm(points[:, None] - points[chosen[:i]], axis=-1).min(1)
        assert chosen[i] == apart.argmax()
    few = spread_out(points[:4], 9)
    assert sorted(few[:4]) == [0, 1, 2, 3]
    assert few == [*few[:4], *few[:4], few[0]]


def test_features_are_those_of_a_loop_over_states(rng):
    layer = make_trust(rng)
    positions = rng.normal(size=(2, 5, L + P)).astype("f4")
    elapsed = np.cumsum(rng.uniform(50, 500, (2, 5)), axis=1)
    spread = rng.uniform(0, 0.3, (2, 5))

    features, far_setting, far_state = layer.features(positions, elapsed, spread)

    assert features.shape == (2, 5, feature_count(P))
    states, settings = layer.value("states"), layer.value("settings")
    for n in range(2):
        far, weighted, before = np.zeros(2), 0.0, 0.0
        for t, years in enumerate(elapsed[n]):
            place = positions[n, t]
            by_setting = np.linalg.norm(settings - place[L:], axis=1).min()
            by_all = np.linalg.norm(states - place, axis=1).min()
            far = np.maximum(far, [by_setting, by_all])
            weighted, before = weighted + by_all * (years - before), years
            amounts = [by_setting, far[0], by_all, far[1], weighted / years]
            expected = [
                1.0,
                np.log(years),
                *np.log(np.array([*amounts, spread[n, t]]) + 0.01),
                *(2 * place[L:]),
                *(2 * place[L:]) ** 2,
            ]
            np.testing.assert_allclose(features[n, t], expected, atol=2e-3)
            found = far_setting[n, t], far_state[n, t]
            np.testing.assert_allclose(found, far, atol=1e-3)


def test_the_expected_error_is_log_linear_within_what_was_seen(rng):
    layer = make_trust(rng)
    features = rng.normal(0, 20, (4, 30, feature_count(P)))

    found = layer.expected_error(features)

    raw = np.exp((features * layer.value("coefficients").astype("f8")).sum(-1))
    np.testing.assert_allclose(found, np.clip(raw, 0.01, 0.5), rtol=1e-6)
    assert (raw < 0.01).any()
    assert (raw > 0.5).any()
    assert ((raw > 0.01) & (raw < 0.5)).any()


def test_sigma_is_a_multiple_of_the_expected_error_for_each_species(rng):
    layer = make_trust(rng)
    expected = rng.uniform(0.01, 0.5, (2, 5))

    sigma = layer.sigma(expected)

    widths = expected[..., None] * layer.value("half_width")
    np.testing.assert_allclose(NORMAL * sigma, widths, rtol=1e-6)
    assert (sigma.shape, sigma.dtype) == ((2, 5, S), np.float32)


def test_what_nothing_speaks_against_is_trusted(rng):
    trust = trust_of(make_trust(rng), fine())

    assert trust.shape == (2, 6)
    assert (trust[:, 1:] > 0.5).all()
    # State 0 is given: its totals and its reconstruction alone can be wrong.
    np.testing.assert_allclose(trust[:, 0], 1 / (1 + 0.2 / 0.3), rtol=1e-5)


# By how much each of `RISKS` is raised in which argument, and the risk it makes.
RAISED = {
    "expected_error": ("expected", 1.1 * TOLERANCE, 1.1),
    "parameters": ("far_setting", 3.0, 1.5),
    "states": ("far_state", 6.0, 1.5),
    "parameter_ranges": ("outside", 0.15, 1.5),
    "totals": ("totals", 10.0 ** (-1 + 0.03), 1.5),
    "reconstruction": ("reconstruction", 0.6, 2.0),
    "t_max": ("late", 1.25, 1.25),
    "conservation": ("unrepaired", 3e-5, 3.0),
}


@pytest.mark.parametrize("name", RISKS)
def test_each_risk_alone_is_enough(rng, name):
    layer, given = make_trust(rng), fine()
    argument, value, risk = RAISED[name]
    whole = argument in ("totals", "reconstruction")  # of state 0 and so of all
    where = {"totals": 0, "reconstruction": ...}.get(argument, slice(2, None))
    given[argument][1, where] = value

    found = layer.risks(**given)
    trust = trust_of(layer, given)

    first = 0 if whole else 3  # the third interval leads to state 3
    assert (trust[0] > 0.5).all()
    assert (trust[1, :first] > 0.5).all()
    assert (trust[1, first:] < 0.5).all()
    np.testing.assert_allclose(found[1, first:, RISKS.index(name)], risk, rtol=1e-4)


def test_totals_below_the_trained_ones_are_as_bad_as_those_above(rng):
    layer, given = make_trust(rng), fine()
    given["totals"][1, 2] = 10.0 ** (-4 - 0.05)

    assert layer.risks(**given)[1, 0, RISKS.index("totals")] == pytest.approx(2.5)


@pytest.mark.parametrize("off", [np.nan, np.inf])
def test_what_is_not_a_number_is_not_trusted_at_all(rng, off):
    layer, given = make_trust(rng), fine()
    given["unrepaired"][1, 2] = off

    assert trust_of(layer, given)[1, 3] == 0


def test_parameters_outside_once_speak_against_all_later_states(rng):
    layer, given = make_trust(rng), fine()
    given["outside"][1, 2] = 0.15

    trust = trust_of(layer, given)

    assert (trust[1, :3] > 0.5).all()
    assert (trust[1, 3:] < 0.5).all()
    assert (np.diff(trust[:, 1:], axis=1) <= 0).all()


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
class TestThroughASurrogate:
    """The same of `emulate`, with numbers that nothing was fitted to."""

    @pytest.fixture
    def surrogate(self, rng):
        surrogate = make_surrogate(rng).replace(trust=make_trust(rng))
        initial = self.given()[0].astype("f8")
        totals = np.log10(initial[0] @ surrogate.stoichiometry)
        coefficients = np.zeros(feature_count(P))
        # An error that grows, with time and with the largest distances so far.
        coefficients[[0, 1, 3, 5]] = -4.6, 0.4, 0.2, 0.1
        surrogate.trust.assign(
            totals=[totals - 0.03, totals - 0.01],
            largest=[4.5, 5.5, 20.0],
            coefficients=coefficients,
        )
        return surrogate

    def given(self):
        tracers = make_tracers(simulations=3)
        return tracers.abundances[:, 0], tracers.physical, STEP

    def test_error_bars_and_trust_are_those_made_by_hand(self, surrogate):
        initial, physical, step = self.given()
        physical[1, 4:6, 1] = surrogate.parameter_ranges["Radfield"][1] * 10**0.5

        _, sigma, trust = surrogate.emulate(
            initial, physical, step, return_sigma=True, return_trust=True
        )

        layer, emulator = surrogate.trust, surrogate.emulator
        scaled = (1 + np.log10(initial.astype("f8")) / 20).astype("f4")
        logs = np.log10(physical)
        latents = to_numpy(emulator.rollout(emulator.encode(scaled), logs))
        inside = (latents - layer.value("latent_offset")) / layer.value("latent_scale")
        setting = (logs - layer.value("centre")) @ layer.value("whitening")
        elapsed = np.tile(step * np.arange(1.0, 13.0), (6, 1))
        features, far_setting, far_state = layer.features(
            np.concatenate([inside, setting], -1), elapsed, 0 * elapsed
        )
        expected = np.exp(features @ layer.value("coefficients"))
        expected = np.clip(expected, 0.01, 0.5)
        widths = expected[..., None] * layer.value("half_width")
        np.testing.assert_allclose(NORMAL * sigma[:, 1:], widths, rtol=1e-3)
        assert (sigma[:, 0] == 0).all()

        restored = np.log10(surrogate.reconstruct(initial) / initial)
        excess = np.zeros((6, 12))
        excess[1, 4:] = 0.5
        each = [
            expected / TOLERANCE,
            far_setting / 4.5,
            far_state / 5.5,
            excess / 0.1,
            0.5 + 0 * excess,  # totals, 0.01 dex above
            np.abs(restored).mean(-1, keepdims=True) / 20 + 0 * excess,
        ]
        assert {0, 1, 2, 3} <= set(np.argmax(each, axis=0).ravel().tolist())
        assert (np.diff(expected, axis=1) >= 0).all()
        np.testing.assert_allclose(trust[:, 1:], 1 / (1 + np.max(each, 0)), rtol=1e-3)
        start = np.max(each[-2:], 0)[:, 0]
        np.testing.assert_allclose(trust[:, 0], 1 / (1 + start), rtol=1e-3)

    def test_beyond_the_trained_duration_nothing_is_trusted(self, surrogate):
        initial, physical, step = self.given()
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        longer = np.concatenate([physical, physical[:, -1:]], axis=1)

        trust = surrogate.emulate(initial, longer, step, return_trust=True)[1]

        assert (trust[:, :-1] > 0.5).all()
        np.testing.assert_allclose(trust[:, -1], 1 / (1 + 13 / 12), rtol=1e-5)

    def test_totals_that_cannot_be_restored_are_flagged(self, surrogate):
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        surrogate.conservation.steps = 1  # too few for what an untrained decoder says
        states, trust = surrogate.emulate(*self.given(), return_trust=True)

        given = self.given()[0] @ surrogate.stoichiometry
        off = np.abs(states @ surrogate.stoichiometry / given[:, None] - 1).max(-1)
        assert (off[:, 1:] > 1e-4).all()
        assert (trust[:, 1:] < 0.1).all()
        free = surrogate.emulate(*self.given(), conserve=False, return_trust=True)[1]
        assert (free > 0.5).all()

    def test_moving_parameters_are_judged_by_their_extremes(self, surrogate):
        initial, physical, step = self.given()
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        moving = np.repeat(physical[:, :, None], 3, axis=2)
        moving[2, 5, 1, 1] = surrogate.parameter_ranges["Radfield"][1] * 10**0.3

        trust = surrogate.emulate(initial, moving, step, return_trust=True)[1]

        flagged = np.zeros(trust.shape, bool)
        flagged[2, 6:] = True
        np.testing.assert_array_equal(trust < 0.5, flagged)

    def test_trust_does_not_depend_on_the_states_asked_for(self, surrogate, rng):
        pair = [make_surrogate(rng).emulator for _ in range(2)]
        ensemble = surrogate.replace(
            emulator=Ensemble(pair, name="ensemble"), trust=make_trust(rng, latents=6)
        )
        given = self.given()
        options = {"return_sigma": True, "return_trust": True}
        whole = ensemble.emulate(*given, **options)

        some = ensemble.emulate(
            *given, state_indices=[-1, 0, 4], batch_size=4, **options
        )

        for ours, theirs in zip(some, whole, strict=True):
            np.testing.assert_allclose(ours, theirs[:, [-1, 0, 4]], rtol=1e-4)

    def test_all_numbers_are_in_the_file(self, surrogate, tmp_path):
        surrogate.save(tmp_path / "surrogate.keras")
        loaded = astrokeras.load(tmp_path / "surrogate.keras")

        assert loaded.trust.reliability_threshold == TOLERANCE
        for name in surrogate.trust.numbers:
            ours, theirs = (one.trust.value(name) for one in (loaded, surrogate))
            np.testing.assert_array_equal(ours, theirs, name)
        options = {"return_sigma": True, "return_trust": True}
        pairs = (one.emulate(*self.given(), **options) for one in (loaded, surrogate))
        for ours, theirs in zip(*pairs, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)
