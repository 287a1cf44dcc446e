"""`astrokeras data propose`: what it expects, what it chooses, what it writes."""

import json
from itertools import combinations

import h5py
import numpy as np
import pytest
from surrogates import make_surrogate, make_trust
from tiny import PARAMETERS, SPECIES, STEP, make_tracers, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.generation import candidate_ranking
from astrokeras.generation import propose as module
from astrokeras.generation.candidate_ranking import (
    LENGTH,
    NOISE,
    ConditionedGaussianProcess,
    Reservoir,
    choose_trajectories,
)
from astrokeras.generation.propose import propose
from astrokeras.generation.rollout_summary import (
    POSITIONS,
    RolloutSummary,
    summarise_rollouts,
)
from astrokeras.layers.trust_model import NORMAL

ALL = np.arange(len(PARAMETERS))


@pytest.fixture(scope="module")
def surrogate():
    """One whose rollouts are compiled once for all tests."""
    return make_calibrated()


def make_calibrated():
    """Return one to which some states of the tiny tracers are reliable."""
    rng = np.random.default_rng(0)
    surrogate = make_surrogate(rng).replace(trust=make_trust(rng))
    totals = make_tracers().abundances[0, 0].astype("f8") @ surrogate.stoichiometry
    coefficients = np.zeros(8 + 2 * len(PARAMETERS))
    coefficients[[0, 1, 4, 5]] = -6.2, 0.6, 0.4, 0.2
    surrogate.trust.assign(
        totals=[np.log10(totals) - 0.03, np.log10(totals) + 0.03],
        largest=[8.0, 8.0, 1e3],
        coefficients=coefficients,
    )
    return surrogate


@pytest.fixture
def tracks(tmp_path):
    """Trajectories that nobody split, the last of which ends early."""
    return write_tracks(tmp_path / "tracks.h5")


def write_tracks(path, species=(), **changes):
    tracers = make_tracers()
    tracers.split[:] = 255
    tracers.length[-1] = 9
    tracers.physical[-1, 8:] = np.nan
    tracers.time[-1, 9:] = tracers.abundances[-1, 9:] = np.nan
    for name, values in changes.items():
        getattr(tracers, name)[:] = values
    return write_tracers(path, tracers, species)


def expected_by_hand(surrogate):
    """Expected errors (n, T) and reliable states (n, T) of the tiny tracers."""
    tracers = make_tracers()
    _, sigma, reliable = surrogate.emulate(
        tracers.abundances[:, 0],
        tracers.physical,
        STEP,
        return_sigma=True,
        return_reliable=True,
    )
    widths = surrogate.trust.value("half_width")
    expected = NORMAL * sigma[:, 1:, 0] / widths[0]
    return expected, reliable[:, 1:]


def random_positions(rng, count=40, positions=3, dimensions=4):
    return rng.normal(size=(count, positions, dimensions)).astype("f4")


def variances(positions, solved):
    """Variances given what is solved, by the textbook's formula, (n,)."""

    def kernel(one, other):
        apart = np.linalg.norm(one[:, None] - other, axis=(2, 3))
        r = np.sqrt(3) * apart / np.sqrt(4 * positions.shape[1]) / LENGTH
        return (1 + r) * np.exp(-r)

    if not len(solved):
        return np.ones(len(positions))
    noisy = kernel(solved, solved) + NOISE * np.eye(len(solved))
    across = kernel(positions, solved)
    return 1 - np.einsum("ij,ji->i", across, np.linalg.solve(noisy, across.T))


def worth(positions, solved, weights, chosen):
    """What a choice gains, all at once."""
    before = variances(positions, solved)
    after = variances(positions, np.concatenate([solved, positions[chosen]]))
    return (weights * (1 - after / before)).sum()


class TestChoice:
    def choose(self, positions, weights, count, solved=None):
        return choose_trajectories(
            ConditionedGaussianProcess(solved).covariance(positions), weights, count
        )

    def test_each_is_the_best_beside_those_before(self, rng):
        positions, solved = random_positions(rng), random_positions(rng, 6)
        weights = rng.uniform(0.1, 2.0, 40)

        chosen = self.choose(positions, weights, 8, solved)

        assert len(set(chosen)) == 8
        for i, number in enumerate(chosen):
            gains = [
                worth(positions, solved, weights, [*chosen[:i], other])
                for other in range(40)
            ]
            assert number == int(np.argmax(gains))

    def test_it_is_nearly_the_best_of_all(self, rng):
        positions, none = (
            random_positions(rng, count=12),
            random_positions(rng, count=0),
        )
        weights = rng.uniform(0.1, 2.0, 12)

        found = worth(positions, none, weights, self.choose(positions, weights, 4))

        best = max(
            worth(positions, none, weights, list(four))
            for four in combinations(range(12), 4)
        )
        assert found >= 0.95 * best

    def test_copies_of_the_worst_are_chosen_once(self, rng):
        positions = random_positions(rng, count=20)
        positions[10:] = positions[10] + 1e-3 * rng.normal(
            size=(10, *positions.shape[1:])
        )
        weights = np.where(np.arange(20) < 10, 0.5, 1.0)

        chosen = self.choose(positions, weights, 8)

        assert sum(number >= 10 for number in chosen) == 1
        assert chosen[0] >= 10
        assert sorted(self.choose(positions, weights, 20)) == list(range(20))

    def test_among_equals_in_place_the_larger_error_comes_first(self, rng):
        positions = random_positions(rng, count=6)
        positions += 100 * np.arange(6)[:, None, None].astype(
            "f4"
        )  # far from each other
        weights = np.array([0.3, 0.9, 0.1, 0.8, 0.7, 0.2])

        assert self.choose(positions, weights, 6) == np.argsort(-weights).tolist()


def stream(expected, rows=None):
    count = len(expected)
    zeros = np.zeros((count, 1), "f4")
    rows = np.arange(count) if rows is None else rows
    return RolloutSummary(
        rows, rows, np.asarray(expected), zeros[:, 0], zeros[..., None]
    )


class TestKnown:
    def test_the_spread_is_that_of_a_gaussian_process(self, rng):
        positions, solved = random_positions(rng), random_positions(rng, 6)

        spread = ConditionedGaussianProcess(solved).deviation(positions)

        np.testing.assert_allclose(spread**2, variances(positions, solved), rtol=1e-6)
        assert (ConditionedGaussianProcess().deviation(positions) == 1).all()
        assert (
            ConditionedGaussianProcess(solved).deviation(solved).max() < 2 * NOISE**0.5
        )

    def test_errors_and_spreads_tell_what_is_to_be_gained(self, rng):
        paths = stream([0.5, 0.02, 0.5])
        paths.positions = random_positions(rng, 3)
        known = ConditionedGaussianProcess(paths.positions[2:])

        spread = known.deviation(paths.positions)
        gain = known.gain(paths)

        np.testing.assert_allclose(gain, np.sqrt(paths.expected * spread**3))
        assert gain[2] < 0.1 * gain.max()

    def test_of_many_solved_those_that_cover_all_are_kept(self, rng, monkeypatch):
        monkeypatch.setattr(candidate_ranking, "LARGEST", 4)
        solved = random_positions(rng, 3).repeat(5, axis=0)
        positions = random_positions(rng)

        thinned = ConditionedGaussianProcess(
            np.concatenate([solved, positions[:1]])
        ).deviation(positions)

        few = np.concatenate([solved[::5], positions[:1]])
        np.testing.assert_allclose(
            thinned, ConditionedGaussianProcess(few).deviation(positions)
        )


class TestReservoir:
    def test_few_are_all_kept_as_they_are(self, rng):
        expected = rng.uniform(0.1, 1.0, 30)
        reservoir = Reservoir(30)
        for first in range(0, 30, 7):
            part = np.arange(first, min(first + 7, 30))
            reservoir.add(stream(expected[part], part), expected[part])

        np.testing.assert_array_equal(reservoir.summary.rows, np.arange(30))
        np.testing.assert_allclose(reservoir.weights, expected)

    def test_blocks_make_no_difference(self, rng):
        expected, found = rng.lognormal(0, 1, 200), []
        for size in (200, 13):
            reservoir = Reservoir(20)
            for first in range(0, 200, size):
                part = np.arange(first, min(first + size, 200))
                reservoir.add(stream(expected[part], part), expected[part])
            assert len(reservoir.summary) == len(reservoir.priority) == 20
            found.append((reservoir.summary.rows, reservoir.weights))

        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_sums_over_what_is_kept_are_right_on_average(self, rng):
        expected = rng.lognormal(0, 1, 300)
        half = np.arange(300) < 100
        sums, worst = [], 0
        for seed in range(400):
            reservoir = Reservoir(40)
            reservoir.random = np.random.default_rng(seed)
            reservoir.add(stream(expected), expected)
            kept = reservoir.summary.rows
            sums.append([reservoir.weights.sum(), reservoir.weights[half[kept]].sum()])
            worst += expected.argmax() in kept

        truth = [expected.sum(), expected[half].sum()]
        np.testing.assert_allclose(np.mean(sums, axis=0), truth, rtol=0.02)
        assert worst == 400


class TestRollouts:
    def follow(self, surrogate, path, size=32):
        with TracerStore(path, need_abundances=False) as store:
            given = module.read_given(store, slice(0, 20), start=start(surrogate))
        return summarise_rollouts(surrogate, given, ALL)

    def test_expected_errors_and_reliability_are_those_of_emulate(
        self, surrogate, tracks
    ):
        paths = self.follow(surrogate, tracks)

        expected, reliable = expected_by_hand(surrogate)
        assert 0.2 < reliable.mean() < 0.8
        valid = np.ones(expected.shape, bool)
        valid[-1, 8:] = False
        for found, states in ((paths.expected, expected), (paths.reliable, reliable)):
            np.testing.assert_allclose(found, states.mean(1, where=valid), rtol=1e-3)
        np.testing.assert_array_equal(paths.steps, [*[12] * 19, 8])

    def test_positions_are_spread_along_each_trajectory(self, surrogate, tracks):
        paths = self.follow(surrogate, tracks)

        trust, tracers = surrogate.trust, make_tracers()
        logs = np.log10(tracers.physical)
        setting = (logs - trust.value("centre")) @ trust.value("whitening")
        assert paths.positions.shape == (20, POSITIONS, 3 + len(PARAMETERS))
        late = setting[:-1, [1, 2, 4, 5, 7, 8, 10, 11]]
        np.testing.assert_allclose(
            paths.positions[:-1, :, 3:], late, rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            paths.positions[-1, :, 3:], setting[-1, :8], rtol=1e-4, atol=1e-4
        )

    def test_what_is_not_finite_is_as_bad_as_can_be(self, tracks):
        surrogate = make_calibrated()
        weight = surrogate.emulator.trainable_weights[-1]
        weight.assign(np.full(weight.shape, np.nan))

        paths = self.follow(surrogate, tracks)

        np.testing.assert_allclose(paths.expected, 0.5, rtol=1e-6)
        assert (paths.reliable == 0).all()
        assert np.isfinite(paths.positions).all()


def start(surrogate):
    return np.asarray(surrogate.get_config()["initial_conditions"]["tiny"])


def run(surrogate, tracks, count=5, **options):
    options = {"initial": "tiny", "warn": [].append} | options
    return propose(surrogate, tracks, tracks.parent / "out.h5", count, **options)


def test_the_chosen_are_written_as_they_were(surrogate, tracks):
    done = run(surrogate, tracks)

    tracers = make_tracers()
    with TracerStore(tracks, need_abundances=False) as store:
        pool = store.read(slice(None))
    with TracerStore(done.path, need_abundances=False) as store:
        assert (store.has_abundances, store.species) == (False, ())
        assert (store.parameters, store.units[1]) == (PARAMETERS, "Habing")
        assert (store.states, store.split.tolist()) == (13, [0] * 5)
        assert store.attributes["source"] == "tests"
        assert store.attributes["proposed_from"] == "tracks.h5"
        assert store.attributes["proposed_by"] == "surrogate"
        written = store.read(slice(None))
    rows = written.tracer - tracers.tracer[0]
    for name in ("physical", "time", "length", "simulation"):
        np.testing.assert_array_equal(getattr(written, name), getattr(pool, name)[rows])

    expected, reliable = expected_by_hand(surrogate)
    valid = np.ones(expected.shape, bool)
    valid[-1, 8:] = False
    each = expected.mean(1, where=valid)
    assert (done.chosen, done.pool, done.left_out) == (5, 20, 0)
    assert done.expected == pytest.approx(each[rows].mean(), rel=1e-3)
    assert done.expected_rest == pytest.approx(np.delete(each, rows).mean(), rel=1e-3)
    assert done.reliable == pytest.approx(reliable[valid].mean())
    whole = (reliable | ~valid).all(1)
    assert done.reliable_tracers == pytest.approx(whole.mean())


def test_the_most_useful_come_first_whatever_the_batch(surrogate, tracks):
    found = []
    for count, size in ((5, 256), (5, 3), (2, 256)):
        run(surrogate, tracks, count, batch_size=size, overwrite=True)
        with TracerStore(tracks.parent / "out.h5", need_abundances=False) as store:
            found.append(store.tracer.tolist())

    assert found[0] == found[1]
    assert found[2] == found[0][:2]


def test_a_pool_larger_than_memory_is_drawn_from(surrogate, tracks, monkeypatch):
    monkeypatch.setattr(candidate_ranking, "LARGEST", 4)
    sizes = []

    class Watched(Reservoir):
        def add(self, paths, gain):
            super().add(paths, gain)
            sizes.append(len(self.summary))

    monkeypatch.setattr(candidate_ranking, "Reservoir", Watched)

    done = run(surrogate, tracks, 3, batch_size=5)

    assert sizes == [5, 6, 6, 6]
    with TracerStore(done.path, need_abundances=False) as store:
        assert len(set(store.tracer)) == 3
    assert (done.pool, done.chosen) == (20, 3)


def test_without_a_start_state_0_is_theirs_and_goes_along(surrogate, tmp_path):
    given = write_tracks(tmp_path / "solved.h5", SPECIES)
    with h5py.File(given, "r+") as file:
        file["abundances"][:, 0] *= np.float32(0.99)
        first = file["abundances"][:, 0]

    done = run(surrogate, given, initial=None)

    with TracerStore(done.path, need_abundances=False) as store:
        assert (store.species, store.solved) == (SPECIES, False)
        written = store.read(slice(None))
    np.testing.assert_array_equal(written.abundances[:, 0], first[written.tracer - 100])


def test_what_judges_a_surrogate_is_not_chosen_by_it(surrogate, tmp_path):
    given = write_tracers(tmp_path / "split.h5")  # 12 training tracers of 20

    done = run(surrogate, given, 12)

    assert (done.pool, done.left_out) == (12, 8)
    assert np.isnan(done.expected_rest)
    assert json.loads(json.dumps(done.to_json()))["expected_rest"] is None
    with TracerStore(done.path, need_abundances=False) as store:
        assert set(store.simulation) == {0, 1, 2, 5, 6, 7}


def test_what_is_solved_is_not_chosen_again(surrogate, tracks, tmp_path):
    tracers = make_tracers()  # simulations 3 and 8 validate, 4 and 9 test
    kept = np.flatnonzero(np.isin(tracers.tracer, [100, 103, 107, 116, 119]))
    solved = write_tracers(tmp_path / "solved.h5", tracers.take(kept))

    done = run(surrogate, tracks, 12, solved=[solved])

    # Tracers 100 and 103 are there, simulations 3, 8 and 9 are kept to judge.
    with TracerStore(done.path, need_abundances=False) as store:
        left = sorted(set(range(100, 120)) - set(store.tracer))
    assert left == [100, 103, 106, 107, 116, 117, 118, 119]
    with pytest.raises(InputError, match=r"12 trajectories .*\(8 are solved, or not"):
        run(surrogate, tracks, 13, solved=[solved], overwrite=True)
    with pytest.raises(InputError, match=r"holds 0 .*count is 1; give a larger file"):
        run(surrogate, tracks, 1, solved=[tracks], overwrite=True)


@pytest.mark.parametrize("start_there", [True, False])
def test_what_is_near_what_is_solved_comes_last(
    surrogate, tracks, tmp_path, start_there
):
    tracers = make_tracers().take(np.array([2, 5, 11]))
    tracers.simulation += 1000  # other tracers by their numbers, the same by nature
    tracers.split[:] = 0
    solved = write_tracers(tmp_path / "solved.h5", tracers)
    if not start_there:
        with h5py.File(solved, "r+") as file:
            del file["abundances"], file["species"]

    done = run(surrogate, tracks, 17, solved=[solved])

    with TracerStore(done.path, need_abundances=False) as store:
        assert {102, 105, 111}.isdisjoint(store.tracer)


def test_numbers_of_other_simulations_are_other_tracers(surrogate, tracks, tmp_path):
    tracers = make_tracers()
    tracers.simulation += 1000
    solved = write_tracers(tmp_path / "other.h5", tracers)

    assert run(surrogate, tracks, solved=[solved]).pool == 20


def test_what_lies_outside_is_announced(surrogate, tmp_path):
    physical = make_tracers().physical
    physical[3, 4:, 1] *= 1e3
    given = write_tracks(tmp_path / "tracks.h5", physical=physical[:, :12])
    warned = []

    run(surrogate, given, warn=warned.append)

    assert any("Radfield" in line and "(1 of 20 tracers)" in line for line in warned)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 21}, r"holds 20 trajectories to choose from, count is 21; give 20"),
        ({"count": 0}, "count is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"initial": "rich"}, "'rich' is neither a file nor an initial condition"),
        ({"initial": None}, r"no state 0 to start from; .* with --initial"),
        ({"solved": ["none.h5"]}, r"none\.h5: no such file"),
    ],
    ids=["count", "none", "batch", "start", "no start", "solved"],
)
def test_wrong_arguments_are_refused(surrogate, tracks, options, message):
    with pytest.raises(InputError, match=message) as caught:
        run(surrogate, tracks, **options)

    assert "\n" not in str(caught.value)
    assert not list(tracks.parent.glob("out*"))


def test_who_is_not_calibrated_cannot_propose(rng, tracks):
    with pytest.raises(InputError, match=r"surrogate: is not calibrated.*calibration="):
        run(make_surrogate(rng), tracks)


def test_a_damaged_value_is_refused_before_rolling_out(surrogate, tracks):
    with h5py.File(tracks, "r+") as file:
        file["physical"][3, 4, 1] = -1

    with pytest.raises(InputError, match=r"tracer 103, state 4: Radfield is -1"):
        run(surrogate, tracks)
    assert not list(tracks.parent.glob("out*"))


class TestCommand:
    @pytest.fixture
    def model(self, surrogate, tmp_path):
        surrogate.save(tmp_path / "surrogate.keras")
        return tmp_path / "surrogate.keras"

    def test_it_tells_what_it_chose(self, cli, model, tracks, tmp_path):
        words = ("data", "propose", model, tracks, tmp_path / "out.h5")
        words += ("--count", 3, "--initial", "tiny")

        told = cli(*words)
        again = cli(*words, "--json", "--overwrite")

        assert told.exit_code == again.exit_code == 0, told.stderr + again.stderr
        found = json.loads(again.stdout)
        assert (found["chosen"], found["pool"]) == (3, 20)
        assert f"{found['expected']:.2g} dex, of the others" in told.stdout
        assert f"3 of 20 trajectories, expected error {found['expected']:.2g}" in (
            told.stdout
        )

    def test_it_replaces_nothing_unasked(self, cli, model, tracks, tmp_path):
        out = tmp_path / "out.h5"
        out.write_text("mine")
        words = (*("--count", 3), *("--initial", "tiny"))

        kept = cli("data", "propose", model, tracks, out, *words)
        replaced = [
            cli("data", "propose", model, tracks, given, "--overwrite", *words)
            for given in (tracks, model)
        ]

        assert "exists" in kept.stderr
        assert all("is the input itself" in result.stderr for result in replaced)
        for result in (kept, *replaced):
            assert result.exit_code == 2
            assert len(result.stderr.strip().splitlines()) == 1
        assert out.read_text() == "mine"

    def test_who_is_not_calibrated_is_refused_without_keras(
        self, cli, rng, tracks, tmp_path, monkeypatch
    ):
        make_surrogate(rng).save(tmp_path / "bare.keras")
        monkeypatch.setattr("astrokeras.runs.surrogate_reference.load", None)

        result = cli(
            "data", "propose", tmp_path / "bare.keras", tracks, "out.h5", "--count", 3
        )

        assert result.exit_code == 2
        assert "bare.keras: is not calibrated" in result.stderr
