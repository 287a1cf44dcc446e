"""Resampling of tracer files, against exact integrals and interpolation by NumPy."""

from itertools import pairwise

import numpy as np
import pytest
from tiny import write_tracers

from astrokeras.data.importers.resampling import (
    average_parameters,
    parse_times,
    resample_tracers,
)
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.subset import write_rows
from astrokeras.data.tracers.timestep_features import coarsen
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral
LINEAR = np.array([True, False])


@pytest.fixture
def file(tmp_path):
    return write_tracers(tmp_path / "in.h5")


def read(path):
    with TracerStore(path, need_abundances=False) as store:
        return store.read(slice(None)), store


def test_means_are_those_of_coarsen_and_of_fine_sums():
    rng = np.random.default_rng(0)
    own = np.cumsum(rng.uniform(1, 30, 9))
    physical = 10 ** rng.uniform(1, 5, (8, 2))

    kept = average_parameters(physical, own, own[[0, 3, 8]], LINEAR)
    expected = coarsen(physical[None], own[None], [0, 3, 8], LINEAR)[0, :, 0]
    np.testing.assert_allclose(kept, expected, rtol=1e-6)

    time = np.sort(rng.uniform(own[0], own[-1], 5))
    found = average_parameters(physical, own, time, LINEAR)
    for row, (begin, end) in enumerate(pairwise(time)):
        middle = begin + (end - begin) * (np.arange(200_000) + 0.5) / 200_000
        p = physical[np.searchsorted(own, middle) - 1]
        arithmetic, geometric = p.mean(0), 10 ** np.log10(p).mean(0)
        expected = np.where(LINEAR, arithmetic, geometric)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_long_intervals_are_split_and_states_kept(tmp_path, file):
    given, store = read(file)
    longest = np.diff(given.time[0])[0]

    done = resample_tracers(file, tmp_path / "out.h5", max_dt=longest / 2.5)

    new, other = read(done.path)
    assert done.tracers == len(given)
    assert (np.nanmax(np.diff(new.time), axis=1) <= longest / 2.5 * 1.001).all()
    assert (other.species, other.units) == (store.species, store.units)
    for row in range(len(given)):
        length = given.length[row]
        assert new.length[row] == 3 * (length - 1) + 1
        part = slice(0, new.length[row], 3)
        x = given.abundances[row, :length]
        np.testing.assert_array_equal(new.abundances[row, part], x)
        logs = np.log10(np.maximum(x, 1e-20)).astype("f8")
        third = (2 * logs[:-1] + logs[1:]) / 3
        got = np.log10(new.abundances[row, 1 : new.length[row] : 3])
        np.testing.assert_allclose(got, third, atol=1e-4)
        p = np.repeat(given.physical[row, : length - 1], 3, axis=0)
        np.testing.assert_array_equal(new.physical[row, : 3 * (length - 1)], p)
    np.testing.assert_array_equal(new.split, given.split)
    seen = np.log10(np.maximum(given.abundances, 1e-12))
    largest = np.nanmax(np.abs(np.diff(seen, axis=1)))
    assert done.largest_change == pytest.approx(largest, rel=1e-5)


def test_equal_steps_and_given_times(tmp_path, file):
    given, _ = read(file)
    row = int(given.length.argmax())
    last = given.time[row, given.length[row] - 1]

    resample_tracers(file, tmp_path / "steps.h5", steps=4)
    middle = (given.time[row, 0] + last) / 2
    done = resample_tracers(file, tmp_path / "times.h5", times=[middle, last, 2 * last])

    steps, _ = read(tmp_path / "steps.h5")
    np.testing.assert_allclose(
        steps.time[row, :5], np.linspace(given.time[row, 0], last, 5)
    )
    times, _ = read(done.path)
    np.testing.assert_allclose(times.time[0, :2], [middle, last])
    assert done.tracers + done.left_out == len(given)


def test_arguments_that_are_refused(tmp_path, file):
    for words, message in (
        ({}, "one of times, steps and max_dt"),
        ({"steps": 2, "max_dt": 1.0}, "one of times"),
        ({"max_dt": 0.0}, "positive"),
        ({"max_dt": 1e-9}, "more than 1000000 states"),
        ({"times": [2.0, 1.0]}, "increasing"),
        ({"times": [-2.0, -1.0]}, "no tracer has two of these times"),
    ):
        with pytest.raises(InputError, match=message):
            resample_tracers(file, tmp_path / "out.h5", **words)
    assert not list(tmp_path.glob("out*"))
    assert parse_times("0:10:2.5") == [0, 2.5, 5, 7.5, 10]
    assert parse_times("1,1e3") == [1, 1e3]
    for text in ("a", "0:1", "0:1:0", "0:1e9:1"):
        with pytest.raises(InputError, match="START:STOP:STEP"):
            parse_times(text)


def test_the_start_of_unsolved_tracers_is_not_invented(tmp_path, file):
    path = tmp_path / "start.h5"
    with TracerStore(file) as store:
        write_rows(store, store.rows(), path, {}, abundances="start")
    given, _ = read(path)

    resample_tracers(path, tmp_path / "out.h5", steps=5)

    new, _ = read(tmp_path / "out.h5")
    np.testing.assert_array_equal(new.abundances, given.abundances)
    with pytest.raises(InputError, match="begin with its first time"):
        resample_tracers(path, tmp_path / "late.h5", times=[100.0, 200.0])
