"""Errors by family, interval and age, against sums over states written apart."""

import numpy as np
import pytest

from astrokeras.data.tracers.block import empty_tracers
from astrokeras.evaluation.context import Prediction
from astrokeras.evaluation.error_groups import ErrorGroupTest

pytestmark = pytest.mark.neutral

N, STATES, S = 5, 7, 4
FAMILIES = ["walk", "box", "walk", "box", "shock"]
LENGTH = [7, 7, 3, 5, 2]


@pytest.fixture
def solved(rng):
    tracers = empty_tracers(N, STATES, S, 2)
    tracers.rows[:] = np.arange(N)
    tracers.abundances[:] = 10 ** rng.uniform(-16, -4, tracers.abundances.shape)
    tracers.time[:] = 50 + np.pad(
        10 ** rng.uniform(1, 5, (N, STATES - 1)), ((0, 0), (1, 0))
    ).cumsum(1)
    tracers.length[:] = LENGTH
    for n, length in enumerate(LENGTH):
        tracers.abundances[n, length:] = np.nan
        tracers.time[n, length:] = np.nan
    return tracers


def grouped(solved, families, reliable, rng):
    test = ErrorGroupTest(families, reliable is not None)
    predicted = solved.abundances * 10 ** rng.normal(0, 0.3, solved.abundances.shape)
    for rows in (slice(0, 2), slice(2, None)):
        told = None if reliable is None else reliable[rows]
        part = solved.take(np.arange(N)[rows])
        test.update(part, Prediction(np.nan_to_num(predicted[rows]), reliable=told))
    return predicted, test.result()


def test_groups_are_those_of_a_loop_over_states(solved, rng):
    reliable = rng.random((N, STATES)) < 0.5

    predicted, found = grouped(solved, FAMILIES, reliable, rng)

    states = {"family": {}, "interval": {}, "age": {}}
    for n in range(N):
        for t in range(1, LENGTH[n]):
            interval = solved.time[n, t] - solved.time[n, t - 1]
            age = solved.time[n, t] - solved.time[n, 0]
            keys = (
                FAMILIES[n],
                *(f"{10 ** int(np.log10(y)):g}" for y in (interval, age)),
            )
            for kind, key in zip(states, keys, strict=True):
                states[kind].setdefault(key, []).append((n, t))
    for kind, groups in states.items():
        names = [name.split(" ")[0] for name in found[kind]]
        assert sorted(names) == sorted(groups)
        for name, group in zip(names, found[kind].values(), strict=True):
            at = tuple(np.transpose(groups[name]))
            x = solved.abundances[at].astype("f8")
            error = np.abs(np.log10(predicted[at]) - np.log10(x))
            assert group.states == len(x)
            assert group.dex == pytest.approx(error.mean(), rel=1e-4)
            assert group.dex_seen == pytest.approx(error[x >= 1e-12].mean(), rel=1e-4)
            assert group.reliable == pytest.approx(reliable[at].mean())
            if reliable[at].any():
                kept = error[reliable[at]].mean()
                assert group.reliable_dex == pytest.approx(kept, rel=1e-4)
            else:
                assert group.reliable_dex is None
    assert found["interval"].keys() >= {"10 to 100 yr", "10000 to 100000 yr"}


def test_without_families_and_calibration_there_is_less(solved, rng):
    _, found = grouped(solved, None, None, rng)

    assert list(found) == ["interval", "age"]
    groups = [group for kind in found.values() for group in kind.values()]
    assert {group.reliable for group in groups} == {None}
    assert {group.reliable_dex for group in groups} == {None}
