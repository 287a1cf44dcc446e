"""Expected errors, error bars and risks against NumPy, and through a surrogate."""

import numpy as np
import pytest
from keras import ops
from surrogates import emulate_with_risks, make_surrogate, make_trust, to_numpy
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

import astrokeras
from astrokeras.layers.error_regression import interpolate
from astrokeras.layers.nearest import nearest, spread_out
from astrokeras.layers.trust_model import CARRIED, NORMAL
from astrokeras.models.status import RISKS, Status
from astrokeras.models.trust_assessment import TrustAssessment, measure_risks

L, P, S, E = 3, len(PARAMETERS), len(SPECIES), 3
TOLERANCE = 0.2
JUDGED = {
    "return_sigma": True,
    "return_expected_error": True,
    "return_reliable": True,
}


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


def status_of(layer, given):
    return TrustAssessment(given["expected"], measure_risks(layer, **given)).status


def test_nearest_is_the_smallest_of_all_distances(rng):
    references = rng.normal(size=(20, 4)).astype("f4")
    points = rng.normal(size=(33, 4)).astype("f4")
    points[2] = references[5]

    found = to_numpy(nearest(ops.convert_to_tensor(points), references))

    apart = np.linalg.norm(points[:, None] - references, axis=-1)
    np.testing.assert_allclose(found[:, 0], apart.min(-1), rtol=1e-5)
    assert found[2, 0] == 0


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
    lengths = rng.uniform(50, 500, (2, 5)).astype("f4")
    elapsed = np.cumsum(lengths, axis=1)
    spread = rng.uniform(0, 0.3, (2, 5)).astype("f4")

    features, far, _ = map(to_numpy, layer.features(positions, lengths, spread))

    far_setting, far_state = np.moveaxis(far, -1, 0)
    assert features.shape == (2, 5, 8 + 2 * P)
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


@pytest.mark.parametrize("random_features", [0, 5])
def test_a_rollout_in_two_parts_carries_four_numbers(rng, random_features):
    layer = make_trust(rng, random_features=random_features)
    latents = rng.normal(size=(2, 5, L)).astype("f4")
    scaled = rng.normal(size=(2, 5, P)).astype("f4")
    years = rng.uniform(50, 500, (2, 5)).astype("f4")
    spread = rng.uniform(0, 0.3, (2, 5)).astype("f4")
    given = latents, scaled, years, spread
    whole = list(map(to_numpy, layer(*given)))

    *first, carried = layer(*(each[:, :2] for each in given))
    *second, last = layer(*(each[:, 2:] for each in given), carried=carried)

    assert carried.shape == (2, len(CARRIED)) == (2, 4)
    for all_of_it, one, two in zip(whole, first, second, strict=False):
        parts = np.concatenate([to_numpy(one), to_numpy(two)], axis=1)
        np.testing.assert_allclose(parts, all_of_it, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(last), whole[-1], rtol=1e-5)


def test_the_expected_error_is_log_linear_within_what_was_seen(rng):
    layer = make_trust(rng)
    features = rng.normal(0, 20, (4, 30, 8 + 2 * P)).astype("f4")

    found = to_numpy(layer.expected_error(features))

    raw = np.exp((features * layer.value("coefficients").astype("f8")).sum(-1))
    np.testing.assert_allclose(found, np.clip(raw, 0.01, 0.5), rtol=1e-4)
    assert (raw < 0.01).any()
    assert (raw > 0.5).any()
    assert ((raw > 0.01) & (raw < 0.5)).any()


def test_the_expected_error_is_a_corrected_sum_of_features_and_waves(rng):
    layer = make_trust(rng, random_features=5)
    positions = rng.normal(size=(2, 4, L + P)).astype("f4")
    years = rng.uniform(50, 500, (2, 4)).astype("f4")

    features = to_numpy(layer.features(positions, years, 0 * years)[0])
    found = to_numpy(layer.expected_error(features))

    count = 8 + 2 * P
    np.testing.assert_allclose(features[..., count], np.log(years), rtol=1e-5)
    np.testing.assert_allclose(features[..., count + 1 :], positions[..., :L])
    angles = features @ layer.value("frequencies") + layer.value("phases")
    sums = np.concatenate([features, np.sqrt(2) * np.cos(angles)], axis=-1)
    wanted = np.interp(sums @ layer.value("coefficients"), *layer.value("knots"))
    np.testing.assert_allclose(found, np.exp(wanted), rtol=1e-4)
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize("random_features", [0, 5])
def test_what_is_not_a_number_has_no_expected_error(rng, random_features):
    layer = make_trust(rng, random_features=random_features)
    features = np.zeros((3, layer.numbers["coefficients"].shape[0] - random_features))
    features[1, 2] = np.nan

    found = to_numpy(layer.expected_error(features.astype("f4")))

    assert np.isnan(found).tolist() == [False, True, False]


def test_the_correction_goes_through_its_knots_and_is_constant_beyond():
    knots = np.array([[-3.0, -1, -1, 2], [1.0, 4, 4, 5]], "f4")
    places = np.linspace(-5, 4, 60, dtype="f4")

    found = to_numpy(interpolate(*map(ops.convert_to_tensor, (places, knots))))

    np.testing.assert_allclose(found, np.interp(places, *knots), rtol=1e-5)


def test_sigma_is_a_multiple_of_the_expected_error_for_each_species(rng):
    layer = make_trust(rng)
    expected = rng.uniform(0.01, 0.5, (2, 5))

    sigma = layer.sigma(expected)

    widths = expected[..., None] * layer.value("half_width")
    np.testing.assert_allclose(NORMAL * sigma, widths, rtol=1e-6)
    assert (sigma.shape, sigma.dtype) == ((2, 5, S), np.float32)


def test_what_nothing_speaks_against_has_status_0(rng):
    layer = make_trust(rng)

    status = status_of(layer, fine())

    assert (status.shape, status.dtype) == ((2, 6), np.uint8)
    assert not status.any()
    # State 0 is given: its totals and its reconstruction alone can be wrong.
    risks = measure_risks(layer, **fine())[:, 0]
    np.testing.assert_allclose(risks.max(-1), 0.2 / 0.3, rtol=1e-5)


# By how much each of `RISKS` is raised in which argument, the risk it makes, its bit.
RAISED = {
    "expected_error": ("expected", 1.1 * TOLERANCE, 1.1, Status.ERROR),
    "parameters": ("far_setting", 3.0, 1.5, Status.UNLIKE),
    "states": ("far_state", 6.0, 1.5, Status.UNLIKE),
    "parameter_ranges": ("outside", 0.15, 1.5, Status.PARAMETER),
    "totals": ("totals", 10.0 ** (-1 + 0.03), 1.5, Status.UNLIKE),
    "reconstruction": ("reconstruction", 0.6, 2.0, Status.UNLIKE),
    "t_max": ("late", 1.25, 1.25, Status.TIME),
    "conservation": ("unrepaired", 3e-5, 3.0, Status.TOTALS),
}


@pytest.mark.parametrize("name", RISKS)
def test_each_risk_alone_is_enough(rng, name):
    layer, given = make_trust(rng), fine()
    argument, value, risk, bit = RAISED[name]
    whole = argument in ("totals", "reconstruction")  # of state 0 and so of all
    where = {"totals": 0, "reconstruction": ...}.get(argument, slice(2, None))
    given[argument][1, where] = value

    found = measure_risks(layer, **given)
    status = status_of(layer, given)

    first = 0 if whole else 3  # the third interval leads to state 3
    assert not status[0].any()
    assert not status[1, :first].any()
    assert (status[1, first:] == bit).all()
    np.testing.assert_allclose(
        found[1, first:, list(RISKS).index(name)], risk, rtol=1e-4
    )


def test_totals_below_the_trained_ones_are_as_bad_as_those_above(rng):
    layer, given = make_trust(rng), fine()
    given["totals"][1, 2] = 10.0 ** (-4 - 0.05)

    assert measure_risks(layer, **given)[
        1, 0, list(RISKS).index("totals")
    ] == pytest.approx(2.5)


@pytest.mark.parametrize("off", [np.nan, np.inf])
def test_what_is_not_a_number_is_an_infinite_risk(rng, off):
    layer, given = make_trust(rng), fine()
    given["unrepaired"][1, 2] = off

    assert measure_risks(layer, **given)[1, 3].max() == np.inf
    assert status_of(layer, given)[1, 3] == Status.TOTALS


def test_a_risk_that_is_not_a_number_is_flagged(rng):
    layer, given = make_trust(rng), fine()
    given["expected"][1, 2] = np.nan

    assert status_of(layer, given)[1].tolist() == [0, 0, 0, Status.ERROR, 0, 0]


def test_parameters_outside_once_speak_against_all_later_states(rng):
    layer, given = make_trust(rng), fine()
    given["outside"][1, 2] = 0.15

    status = status_of(layer, given)

    assert not status[1, :3].any()
    assert (status[1, 3:] == Status.PARAMETER).all()
    risks = measure_risks(layer, **given)[:, 1:].max(-1)
    assert (np.diff(risks, axis=1) >= 0).all()


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
class TestThroughASurrogate:
    """The same of `emulate`, with numbers that nothing was fitted to."""

    @pytest.fixture
    def surrogate(self, rng):
        surrogate = make_surrogate(rng).replace(trust=make_trust(rng))
        initial = self.given()[0].astype("f8")
        totals = np.log10(initial[0] @ surrogate.stoichiometry)
        coefficients = np.zeros(8 + 2 * P)
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

    def test_error_bars_and_reliability_are_those_made_by_hand(self, surrogate):
        initial, physical, step = self.given()
        physical[1, 4:6, 1] = surrogate.parameter_ranges["Radfield"][1] * 10**0.5

        _, sigma, found, reliable, risks = emulate_with_risks(
            surrogate, initial, physical, step, **JUDGED
        )

        layer, emulator = surrogate.trust, surrogate.emulator
        scaled = (1 + np.log10(initial.astype("f8")) / 20).astype("f4")
        logs = np.log10(physical)
        latents = to_numpy(emulator.rollout(emulator.encode(scaled), logs)[0])
        inside = (latents - layer.value("latent_offset")) / layer.value("latent_scale")
        setting = (logs - layer.value("centre")) @ layer.value("whitening")
        years = np.full((6, 12), step, "f4")
        positions = np.concatenate([inside, setting], -1).astype("f4")
        found_there = layer.features(positions, years, 0 * years)
        features, far, _ = map(to_numpy, found_there)
        far_setting, far_state = np.moveaxis(far, -1, 0)
        expected = np.exp(features @ layer.value("coefficients"))
        expected = np.clip(expected, 0.01, 0.5)
        widths = expected[..., None] * layer.value("half_width")
        np.testing.assert_allclose(NORMAL * sigma[:, 1:], widths, rtol=1e-3)
        np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-3)
        assert (sigma[:, 0] == 0).all()
        assert (found[:, 0] == 0).all()

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
        worst, start = np.max(each, 0), np.max(each[-2:], 0)[:, :1]
        worst = np.concatenate([start, worst], axis=1)
        np.testing.assert_allclose(risks, worst, rtol=2e-3)
        clear = np.abs(worst - 1) > 2e-3  # not at the limit, where rounding decides
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(reliable[clear], worst[clear] < 1)
        assert 0.2 < reliable.mean() < 0.8

    def test_beyond_the_trained_duration_nothing_is_reliable(self, surrogate):
        initial, physical, step = self.given()
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        longer = np.concatenate([physical, physical[:, -1:]], axis=1)

        _, reliable, risks = emulate_with_risks(
            surrogate, initial, longer, step, return_reliable=True
        )

        assert reliable[:, :-1].all()
        assert not reliable[:, -1].any()
        np.testing.assert_allclose(risks[:, -1], 13 / 12, rtol=1e-5)

    def test_totals_that_cannot_be_restored_are_flagged(self, surrogate):
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        surrogate.conservation.steps = 1  # too few for what an untrained decoder says
        states, status, risks = emulate_with_risks(
            surrogate, *self.given(), return_status=True
        )

        given = self.given()[0] @ surrogate.stoichiometry
        off = np.abs(states @ surrogate.stoichiometry / given[:, None] - 1).max(-1)
        assert (off[:, 1:] > 1e-4).all()
        assert (risks[:, 1:] > 9).all()
        assert (status[:, 1:] == Status.TOTALS).all()
        free = surrogate.emulate(*self.given(), conserve=False, return_reliable=True)
        assert free[1].all()

    def test_moving_parameters_are_judged_by_their_extremes(self, surrogate):
        initial, physical, step = self.given()
        surrogate.trust.assign(error_range=[0.01, 0.02], largest=[1e3, 1e3, 1e3])
        moving = np.repeat(physical[:, :, None], 3, axis=2)
        moving[2, 5, 1, 1] = surrogate.parameter_ranges["Radfield"][1] * 10**0.3

        reliable = surrogate.emulate(initial, moving, step, return_reliable=True)[1]

        expected = np.ones(reliable.shape, bool)
        expected[2, 6:] = False
        np.testing.assert_array_equal(reliable, expected)

    def test_nothing_depends_on_the_states_asked_for(self, surrogate, rng):
        surrogate = surrogate.replace(emulator=make_surrogate(rng, members=2).emulator)
        given = self.given()
        options = JUDGED | {"return_status": True}
        whole = surrogate.emulate(*given, **options)

        some = surrogate.emulate(
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
        options = JUDGED | {"return_status": True}
        pairs = (one.emulate(*self.given(), **options) for one in (loaded, surrogate))
        for ours, theirs in zip(*pairs, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)
