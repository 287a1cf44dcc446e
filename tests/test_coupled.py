"""Closed loops, later starts and long rollouts, of a surrogate with known errors."""

import numpy as np
import pytest
from standin import PARAMETERS, StandIn, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.models.training_ranges import Limits
from astrokeras.workflows.coupled import judge_coupled
from astrokeras.workflows.judge import Judge

ERROR = 0.01  # dex a step


@pytest.fixture
def store(tmp_path):
    """Tracers of 8 steps, the last of which ends after 6."""
    write_tracers(tmp_path / "t.h5")
    with TracerStore(tmp_path / "t.h5") as store:
        yield store


def judged(store, surrogate, size=5):
    limits = Limits.from_metadata(surrogate.get_config())
    columns = np.arange(len(PARAMETERS))
    return judge_coupled(Judge(store, store.rows(), columns, surrogate, limits, size))


def test_errors_of_the_loop_and_of_later_starts_are_those_of_their_steps(store):
    found = judged(store, StandIn(error=ERROR))

    steps = [np.arange(1, 9)] * 11 + [np.arange(1, 7)]
    expected = ERROR * np.concatenate(steps).mean()
    assert found["closed_loop"]["dex"] == pytest.approx(expected, rel=1e-3)
    for share, first in {"0.25": 2, "0.5": 4, "0.75": 6}.items():
        lasting = [last - first for last in [8] * 11 + [6] if last > first]
        errors = np.concatenate([np.arange(1, n + 1) for n in lasting])
        one = found["later_starts"][share]
        assert one["dex"] == pytest.approx(ERROR * errors.mean(), rel=1e-3)
        assert one["dex_final"] == pytest.approx(ERROR * np.mean(lasting), rel=1e-3)


def test_the_loop_is_one_step_after_the_other(store):
    surrogate = StandIn()
    judged(store, surrogate)

    assert surrogate.batches.count(5) >= 3 * 2 * 8  # three blocks, two loops


class Broken(StandIn):
    """Loses all atoms at step 100 of a rollout, and is not a number from 5000 on."""

    def emulate(self, initial, physical, time, state_indices=None, batch_size=256):
        length = physical.shape[1] + 1
        states = np.repeat(initial[:, None], length, axis=1)
        states[:, 100:] = 1e-20
        states[:, 5000:] = np.nan
        return states if state_indices is None else states[:, state_indices]


def test_long_rollouts_that_break_are_told(store):
    found = judged(store, Broken())["long"]

    assert found["steps"] == 10_000
    assert found["nonfinite"] == 12 * 50 * 11  # half of a hundred states, all species
    assert found["conservation_max"] == pytest.approx(1.0)
