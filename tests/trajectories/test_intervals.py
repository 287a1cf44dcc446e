"""Intervals within a range of lengths, and parts of longer ones."""

import numpy as np
import pytest

from astrokeras.errors import InputError
from astrokeras.trajectories.intervals import (
    count_parts,
    round_up,
    split_intervals,
    times_between,
)


class TestTimes:
    @pytest.mark.parametrize("dt_range", [(92.9, 2970.0), (500.0, 16000.0), (1, 1e5)])
    @pytest.mark.parametrize("times", [[1e6], [0, 600, 1800, 1e5], [3000, 3600]])
    def test_intervals_lie_within_the_trained_ones(self, dt_range, times):
        years, states = times_between(times, dt_range)

        steps = np.diff(years)
        assert steps.min() >= dt_range[0] * (1 - 6e-4)
        assert steps.max() <= dt_range[1] * (1 + 6e-4)
        assert years[0] == 0
        np.testing.assert_array_equal(years[states], times)
        # Long intervals only where the gas is old.
        assert (steps <= np.maximum(1.25 * dt_range[0], 0.7 * years[1:])).all()

    def test_one_trained_interval_is_repeated(self):
        years, states = times_between([200.0, 1000.0], (100.0, 100.0))

        np.testing.assert_allclose(years, 100.0 * np.arange(11))
        assert states.tolist() == [2, 10]

    @pytest.mark.parametrize(
        ("time", "message"),
        [
            (130.0, "130 yr from 0 to 130 yr, to which no number of the trained"),
            ([100, 50], "positive and increasing"),
            (0.0, "positive and increasing"),
            (np.nan, "positive and increasing"),
            (1e12, "only 1e.10 of the trained intervals"),
        ],
    )
    def test_other_times_are_refused(self, time, message):
        with pytest.raises(InputError, match=message):
            times_between(time, (100.0, 100.0))


class TestParts:
    def test_they_lie_within_the_range_and_are_few(self):
        low, high = 50.0, 200.0
        years = 10 ** np.random.default_rng(0).uniform(1, 5, 2000)

        parts = count_parts(years, (low, high))

        np.testing.assert_array_equal(parts == 0, years < low * (1 - 1e-3))
        length = years[parts > 0] / parts[parts > 0]
        assert length.min() >= low * 0.999
        assert length.max() <= high * 1.001
        assert (years[parts > 1] / (parts[parts > 1] - 1) > high).all()

    def test_a_fixed_interval_has_multiples_alone(self):
        years = np.array([100.0, 130.0, 200.05, 99.0, 1e4, np.nan, 1e9])
        assert count_parts(years, (100, 100)).tolist() == [1, 0, 2, 0, 100, 0, 0]

    def test_few_shapes_are_compiled(self):
        sizes = {round_up(count) for count in range(1, 1025)}
        assert len(sizes) == 8 + 4 * 7
        assert all(count <= round_up(count) < 1.25 * count for count in range(1, 1025))


class TestSplitting:
    def test_constant_parameters_are_held_in_all_parts(self):
        rng = np.random.default_rng(0)
        physical = rng.uniform(1, 2, (2, 2, 3)).astype("f4")
        time = np.array([[0, 650, 800], [10, 20, 640.0]])
        parts = np.array([[4, 1], [1, 4]])

        split, years, states = split_intervals(physical, time, parts, np.zeros(3))

        np.testing.assert_array_equal(split[0], physical[0, [0, 0, 0, 0, 1]])
        np.testing.assert_array_equal(split[1], physical[1, [0, 1, 1, 1, 1]])
        np.testing.assert_allclose(years[0], [0, 162.5, 325, 487.5, 650, 800])
        np.testing.assert_allclose(years[1], [10, 20, 175, 330, 485, 640])
        assert states.tolist() == [[0, 4, 5], [0, 1, 5]]

    def test_shorter_tracks_continue(self):
        time = np.array([[0.0, 100.0], [0.0, 900.0]])
        parts = np.array([[1], [9]])
        physical = np.ones((2, 1, 1))

        split, years, states = split_intervals(physical, time, parts, np.zeros(1))

        assert split.shape == (2, 10, 1)
        np.testing.assert_allclose(years, [100.0 * np.arange(11)] * 2)
        assert states.tolist() == [[0, 1], [0, 9]]

    def test_parameters_that_vary_keep_their_mean_and_ends(self):
        rng = np.random.default_rng(0)
        parts = rng.integers(1, 9, (3, 4))
        time = np.cumsum(rng.uniform(1, 2, (3, 5)), axis=1)
        physical = (10 ** rng.uniform(-1, 1, (3, 4, 3, 2))).astype("f4")

        split, _, states = split_intervals(
            physical, time, parts, np.array([True, False])
        )

        for row, step in np.ndindex(3, 4):
            own = split[row, states[row, step] : states[row, step + 1]].astype("f8")
            mean, first, last = physical[row, step]
            assert len(own) == parts[row, step]
            np.testing.assert_allclose(own[:, 0, 0].mean(), mean[0], rtol=1e-5)
            logarithm = np.log(own[:, 0, 1]).mean()
            np.testing.assert_allclose(np.exp(logarithm), mean[1], rtol=1e-5)
            np.testing.assert_allclose(own[0, 1], first, rtol=1e-6)
            np.testing.assert_allclose(own[-1, 2], last, rtol=1e-6)
            np.testing.assert_allclose(own[:-1, 2], own[1:, 1], rtol=1e-6)

    def test_an_exponential_is_split_exactly(self):
        edges = np.geomspace(1e3, 1e6, 7)
        middle = np.sqrt(edges[1:] * edges[:-1])
        means = [middle.mean(), np.exp(np.log(middle).mean())]
        given = np.stack([means, [1e3] * 2, [1e6] * 2])[None, None]

        split, *_ = split_intervals(
            given, np.array([[0.0, 6.0]]), np.array([[6]]), np.array([True, False])
        )

        for column in range(2):
            expected = np.stack([middle, edges[:-1], edges[1:]], axis=-1)
            np.testing.assert_allclose(split[0, :, :, column], expected, rtol=1e-9)
