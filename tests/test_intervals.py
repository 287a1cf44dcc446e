"""Means over intervals, and the figures by length of interval."""

import numpy as np
import pytest
from standin import PARAMETERS, StandIn, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.timestep_features import (
    average,
    coarsen,
    feature_count,
    is_linear,
)
from astrokeras.errors import InputError
from astrokeras.models.training_ranges import Limits
from astrokeras.workflows.intervals import judge_intervals
from astrokeras.workflows.judge import Judge


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
        with pytest.raises(InputError, match="states 0 to 7, ascending"):
            coarsen(physical, time, states, linear)


class Timed(StandIn):
    """Knows the solution, which time alone decides, and errs by so much a step."""

    def get_config(self):
        return super().get_config() | {"step": [100.0, 850.0]}

    def emulate(self, initial, physical, time, state_indices=None, batch_size=256):
        self.batches.append((physical.shape, np.diff(time)))
        steps = np.arange(physical.shape[1] + 1)[:, None]
        return grow(initial, time) * np.float32(10.0) ** (self.error * steps)


def grow(initial, time):
    passed = (time - time[:, :1])[:, :, None]
    return (initial[:, None] * 10.0 ** (passed / 1e4)).astype("float32")


@pytest.fixture
def store(tmp_path):
    """Tracers of 20 steps, the last of which ends after 18."""
    write_tracers(tmp_path / "t.h5", states=21)
    with TracerStore(tmp_path / "t.h5") as plain:
        tracers = plain.read(plain.rows())
    truth = grow(tracers.abundances[:, 0], tracers.time)
    write_tracers(tmp_path / "t.h5", states=21, abundances=truth)
    with TracerStore(tmp_path / "t.h5") as store:
        yield store


def judge(store, surrogate):
    limits = Limits.from_metadata(surrogate.get_config())
    columns = np.arange(len(PARAMETERS))
    return judge_intervals(Judge(store, store.rows(), columns, surrogate, limits, 5))


def test_an_error_a_step_is_found_on_every_length(store):
    surrogate = Timed(error=0.01)
    found = judge(store, surrogate)

    rollouts = found["intervals"]
    assert list(rollouts) == ["2", "4", "8"]  # 1600 yr were not trained
    for stride in (2, 4, 8):
        steps = [np.arange(1, 20 // stride + 1)] * 11 + [np.arange(1, 18 // stride + 1)]
        one = rollouts[str(stride)]
        assert one["dex"] == pytest.approx(
            0.01 * np.concatenate(steps).mean(), rel=1e-3
        )
        assert (one["years"], one["tracers"]) == (100 * stride, 12)
    assert list(found["semigroup"]) == ["1", "2", "4"]
    for one in found["semigroup"].values():
        assert one["dex"] == pytest.approx(0.01, rel=1e-3)
    assert {shape[2:] for shape, _ in surrogate.batches} == {(3, 4), (4,)}


def test_who_takes_one_interval_is_not_asked(store):
    assert judge(store, StandIn()) == {}
