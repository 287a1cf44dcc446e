"""Means over intervals."""

import numpy as np
import pytest

from astrokeras.data.tracers.timestep_features import (
    average,
    coarsen,
    feature_count,
    is_linear,
)
from astrokeras.errors import InputError


def test_densities_alone_have_a_linear_mean():
    names = ("density", "n_H", "Av", "Density", "zeta")
    units = ("", "H nuclei cm^-3", "mag", "g", "s^-1")

    assert is_linear(names, units).tolist() == [True, True, False, True, False]
    assert [feature_count(5, use_timestep) for use_timestep in (False, True)] == [5, 16]


def test_the_mean_is_that_of_a_loop_and_weighted_by_time(rng):
    logs = rng.normal(2, 1, (4, 7, 3))
    years = rng.uniform(1, 9, (4, 7))
    years[1, 3:] = 0  # pieces that do not count
    offset, scale = np.array([1.0, -2.0, 0.5]), np.array([0.7, 1.5, 3.0])
    linear = np.array([True, False, True])
    mean = average((logs - offset) / scale, years, linear, scale)

    for row in range(4):
        for column in range(3):
            total = weight = 0.0
            for value, length in zip(logs[row, :, column], years[row], strict=True):
                total += length * (10**value if linear[column] else value)
                weight += length
            expected = total / weight
            expected = np.log10(expected) if linear[column] else expected
            found = mean[row, column] * scale[column] + offset[column]
            assert found == pytest.approx(expected, rel=1e-9)


def test_several_steps_become_one(rng):
    physical = 10 ** rng.uniform(0, 3, (2, 7, 2))
    time = np.pad(np.cumsum(rng.uniform(1, 5, (2, 7)), axis=1), ((0, 0), (1, 0)))
    coarse = coarsen(physical, time, 3, np.array([True, False]))

    assert coarse.shape == (2, 2, 3, 2)
    for i in range(2):
        for j in range(2):
            steps = slice(3 * j, 3 * j + 3)
            weight = np.diff(time[i])[steps]
            linear = np.average(physical[i, steps, 0], weights=weight)
            logs = np.average(np.log10(physical[i, steps, 1]), weights=weight)
            expected = [linear, 10**logs], physical[i, 3 * j], physical[i, 3 * j + 2]
            np.testing.assert_allclose(coarse[i, j], expected, rtol=1e-6)


def test_states_may_stay_at_uneven_distances(rng):
    physical = 10 ** rng.uniform(0, 3, (2, 7, 2))
    time = np.pad(np.cumsum(rng.uniform(1, 5, (2, 7)), axis=1), ((0, 0), (1, 0)))
    linear = np.array([True, False])
    uneven = coarsen(physical, time, [1, 2, 5], linear)

    np.testing.assert_allclose(uneven[:, 0], physical[:, 1:2].repeat(3, 1), rtol=1e-6)
    later = coarsen(physical[:, 2:], time[:, 2:], 3, linear)
    np.testing.assert_array_equal(uneven[:, 1], later[:, 0])
    for states in ([0], [0, 0, 2], [-1, 3], [0, 8]):
        with pytest.raises(InputError, match="ascending numbers from 0 to 7"):
            coarsen(physical, time, states, linear)
