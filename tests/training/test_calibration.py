"""Error bars and reliability of a trained surrogate, and how they are fitted."""

import time

import h5py
import numpy as np
import pytest
from tiny import SPECIES, STEP, make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import compose
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.errors import InputError
from astrokeras.training.calibration import calibrate
from astrokeras.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIMULATIONS = 20
# A tiny surrogate errs by 0.35 dex: so that what it expects of itself is fine here.
SETTINGS = ("calibration=0.5", "reliability_threshold=3", "emulator.stride=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrate")
    write_tracers(path / "tiny.h5", make_tracers(SIMULATIONS))
    return path


@pytest.fixture(scope="module")
def run(folder):
    return train(compose(overrides(folder, *SETTINGS)))


@pytest.fixture(scope="module")
def surrogate(run):
    return astrokeras.load(run.path)


@pytest.fixture(scope="module")
def given():
    """Tracers of the training."""
    tracers = make_tracers(SIMULATIONS)
    rows = np.flatnonzero(tracers.split == 0)[:8]
    return tracers.abundances[rows, 0], tracers.physical[rows], STEP


def judged(surrogate, given, **options):
    """Return abundances, error bars, expected errors and reliability."""
    return surrogate.emulate(
        *given,
        return_sigma=True,
        return_expected_error=True,
        return_reliable=True,
        **options,
    )


def test_training_never_saw_the_calibration_simulations(folder, run):
    tracers = make_tracers(SIMULATIONS)
    states = np.maximum(tracers.abundances.reshape(40, -1).astype("f8"), 1e-20)
    scaled = 1 + np.log10(states) / 20
    with TracerStore(folder / "tiny.h5") as store:
        kept = calibration_rows(store, 0.5)
    (cache,) = (folder / "runs" / ".cache").glob("tiny-*.h5")
    with h5py.File(cache) as file:
        seen = {name: file[name]["abundances"][:] for name in ("train", "validation")}

    assert len(kept) == 4
    rows = {name: np.flatnonzero(tracers.split == i) for i, name in enumerate(seen)}
    rows["validation"] = np.setdiff1d(rows["validation"], kept)
    for name, held in seen.items():
        apart = np.abs(held.reshape(len(held), 1, -1) - scaled).max(-1)
        assert apart.min(1).max() < 1e-6
        assert sorted(apart.argmin(1)) == rows[name].tolist()


def test_error_bars_and_reliability_have_the_shapes_asked_for(surrogate, given):
    whole, sigma, expected, reliable = judged(surrogate, given)

    assert whole.shape == sigma.shape == (8, 13, len(SPECIES))
    assert expected.shape == reliable.shape == (8, 13)
    assert {whole.dtype, sigma.dtype, expected.dtype} == {np.dtype("f4")}
    assert reliable.dtype == bool
    assert (sigma[:, 0] == 0).all()
    assert (sigma[:, 1:] > 0).all()
    assert (expected[:, 0] == 0).all()
    assert (expected[:, 1:] > 0).all()
    asked = {
        "return_sigma": sigma,
        "return_expected_error": expected,
        "return_reliable": reliable,
    }
    for option, wanted in asked.items():
        found = surrogate.emulate(*given, **{option: True})[1]
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(surrogate.emulate(*given), whole, rtol=1e-5)


def test_asking_for_less_gives_parts_of_the_whole(surrogate, given):
    whole, sigma, *states = judged(surrogate, given)

    some = judged(
        surrogate, given, species=["CO", "$H2O"], state_indices=[-1, 0], batch_size=3
    )

    co, surface, bulk = (SPECIES.index(name) for name in ("CO", "#H2O", "@H2O"))
    ice = whole[..., surface] + whole[..., bulk]
    share = whole[..., surface] / ice
    # Both parts of the ice are wrong together.
    width = share * sigma[..., surface] + (1 - share) * sigma[..., bulk]
    expected = (
        np.stack([whole[..., co], ice], axis=-1),
        np.stack([sigma[..., co], width], axis=-1),
        *states,
    )
    for ours, theirs in zip(some, expected, strict=True):
        np.testing.assert_allclose(ours, theirs[:, [-1, 0]], rtol=1e-4)


def test_state_0_alone_may_be_asked_for(surrogate, given):
    states, sigma, expected, reliable = judged(surrogate, given, state_indices=[0])

    np.testing.assert_allclose(states[:, 0], given[0], rtol=1e-6)
    assert (sigma == 0).all()
    assert (expected == 0).all()
    np.testing.assert_array_equal(reliable, judged(surrogate, given)[3][:, :1])


def test_a_file_keeps_them(surrogate, given, tmp_path):
    surrogate.save(tmp_path / "again.keras")
    again = astrokeras.load(tmp_path / "again.keras")

    pairs = zip(judged(again, given), judged(surrogate, given), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert again.trust.reliability_threshold == 3


def test_training_tracers_are_reliable(surrogate, given):
    assert judged(surrogate, given)[3].mean() > 0.8


def test_shuffled_abundances_are_not_reliable(surrogate, given, rng):
    initial, *rest = given
    shuffled = rng.permuted(initial, axis=1)

    assert not judged(surrogate, (shuffled, *rest))[3].any()


@pytest.mark.parametrize("beyond", ["below", "above"])
@pytest.mark.parametrize("parameter", [0, 1, 2])
def test_outside_the_box_nothing_is_reliable_from_there_on(
    surrogate, given, parameter, beyond
):
    initial, physical, step = given
    low, high = list(surrogate.parameter_ranges.values())[parameter]
    physical = physical.copy()
    edge = high * 10**0.25 if beyond == "above" else low / 10**0.25
    physical[:, 6, parameter] = edge

    *_, expected, reliable = judged(surrogate, (initial, physical, step))

    *_, before, reliable_before = judged(surrogate, given)
    np.testing.assert_allclose(expected[:, :7], before[:, :7], rtol=1e-4)
    np.testing.assert_array_equal(reliable[:, :7], reliable_before[:, :7])
    assert reliable[:, :7].any()
    assert not reliable[:, 7:].any()


class TestFallback:
    """A solver that takes the tracers with states that are not reliable."""

    @pytest.fixture
    def doubtful(self, surrogate, given):
        """Tracers, two of which leave the box at the end; and which are flagged."""
        initial, physical, step = given
        physical = physical.copy()
        physical[[2, 5], -1, 0] = surrogate.parameter_ranges["Density"][1] * 3
        time = np.tile(step * np.arange(13.0), (8, 1))
        flagged = ~judged(surrogate, (initial, physical, time))[3].all(1)
        assert flagged[[2, 5]].all()
        assert not flagged.all()
        return (initial, physical, time), flagged

    def solver(self, calls):
        def solve(initial, physical, time):
            calls.append((initial, physical, time))
            return np.full((*time.shape, len(SPECIES)), 1e-5)

        return solve

    def test_it_gets_the_flagged_tracers_and_replaces_them(self, surrogate, doubtful):
        given, flagged = doubtful
        plain, calls = judged(surrogate, given), []

        found = judged(surrogate, given, fallback=self.solver(calls))

        (call,) = calls
        for ours, theirs in zip(call, given, strict=True):
            np.testing.assert_allclose(ours, theirs[flagged], rtol=1e-6)
        for one, value in zip(found, (1e-5, 0, 0, 1), strict=True):
            np.testing.assert_allclose(one[flagged], value, rtol=1e-6)
        for ours, theirs in zip(found, plain, strict=True):
            np.testing.assert_array_equal(ours[~flagged], theirs[~flagged])

    def test_abundances_alone_come_back_if_no_more_is_asked_for(
        self, surrogate, doubtful
    ):
        given, flagged = doubtful
        options = {"species": ["CO", "$H2O"], "state_indices": [-1, 0]}

        found = surrogate.emulate(*given, fallback=self.solver([]), **options)

        assert found.shape == (8, 2, 2)
        np.testing.assert_allclose(found[flagged][..., 0], 1e-5, rtol=1e-6)
        np.testing.assert_allclose(found[flagged][..., 1], 2e-5, rtol=1e-6)

    def test_it_says_what_that_cost(self, surrogate, doubtful, capsys):
        given, flagged = doubtful
        solve = self.solver([])

        def slow(*inputs):
            time.sleep(0.05)
            return solve(*inputs)

        surrogate.emulate(*given, fallback=slow)
        (line,) = capsys.readouterr().err.splitlines()
        found, cost = surrogate.emulate(*given, fallback=slow, return_cost=True)

        assert not capsys.readouterr().err
        assert found.shape == (8, 13, len(SPECIES))
        back = int(flagged.sum())
        assert line.startswith(f"fallback: {back} of 8 tracers went back to the solver")
        assert (cost.tracers, cost.returned, cost.compiled) == (8, back, False)
        assert 0.05 <= cost.solver_seconds < 1
        alone = cost.solver_seconds / back * (8 - back)
        np.testing.assert_allclose(cost.solver_seconds_saved, alone)
        spent = cost.surrogate_seconds + cost.solver_seconds
        speedup = (alone + cost.solver_seconds) / spent
        np.testing.assert_allclose(cost.effective_speedup, speedup)
        # Without element totals, states are decoded by a program of its own.
        free = {"conserve": False, "return_cost": True}
        *_, other = surrogate.emulate(*given, fallback=slow, **free)
        assert other.compiled
        assert "compilation included" in str(other)

    def test_none_that_goes_back_costs_nothing(self, surrogate, doubtful, capsys):
        (initial, physical, times), flagged = doubtful
        good = [one[~flagged] for one in (initial, physical, times)]

        _, cost = surrogate.emulate(*good, fallback=self.solver([]), return_cost=True)
        surrogate.emulate(*good, fallback=self.solver([]))

        assert not capsys.readouterr().err
        assert (cost.returned, cost.solver_seconds) == (0, 0)
        assert np.isnan(cost.effective_speedup)

    def test_a_cost_needs_a_solver(self, surrogate, given):
        with pytest.raises(InputError, match="return_cost is True without a solver"):
            surrogate.emulate(*given, return_cost=True)

    def test_states_that_are_not_asked_for_send_nobody(self, surrogate, doubtful):
        given, _ = doubtful
        calls = []
        reliable = judged(surrogate, given)[3][:, 3]

        surrogate.emulate(*given, state_indices=[3], fallback=self.solver(calls))

        assert sum(len(initial) for initial, *_ in calls) == (~reliable).sum() < 2

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda x: x[:, 1:], r"shape \(\d, 12, 10\) for \d tracers; .*13, 10\)"),
            (lambda x: x * np.nan, "negative or not finite"),
            (lambda x: -x, "negative or not finite"),
        ],
        ids=["shape", "nan", "negative"],
    )
    def test_what_it_returns_is_checked(self, surrogate, doubtful, spoil, message):
        solve = self.solver([])
        with pytest.raises(InputError, match=message):
            surrogate.emulate(*doubtful[0], fallback=lambda *args: spoil(solve(*args)))


@pytest.mark.parametrize(
    "option", ["return_sigma", "return_expected_error", "return_reliable", "fallback"]
)
def test_who_is_not_calibrated_says_so(surrogate, given, option):
    plain = surrogate.replace(trust=None)
    with pytest.raises(InputError, match="this surrogate is not calibrated"):
        plain.emulate(*given, **{option: print if option == "fallback" else True})


def test_one_simulation_of_validation_is_left_to_it(tmp_path, capsys):
    source = write_tracers(tmp_path / "tiny.h5", make_tracers(5))
    config = compose(overrides(tmp_path, "calibration=0.5"))

    assert calibrate(None, source, config) is None
    assert "No simulations for calibration" in capsys.readouterr().err
