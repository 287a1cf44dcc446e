"""Closed loops and later starts of a surrogate with known errors."""

from functools import partial

import numpy as np
import pytest
from standin import PARAMETERS, StandIn, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.evaluation.context import EvaluationContext, Rollout
from astrokeras.evaluation.rollout_variants import (
    MeanError,
    roll_out_closed_loop,
    roll_out_later,
)

ERROR = 0.01  # dex a step


@pytest.fixture
def store(tmp_path):
    """Tracers of 8 steps, the last of which ends after 6."""
    write_tracers(tmp_path / "t.h5")
    with TracerStore(tmp_path / "t.h5") as store:
        yield store


def make_context(store, surrogate, size=5):
    limits = surrogate.metadata
    columns = np.arange(len(PARAMETERS))
    return EvaluationContext(store, store.rows(), columns, surrogate, limits, size)


def mean_error(context, run):
    test = MeanError()
    rollout = Rollout(run, [test])
    for block in context.blocks():
        rollout.update(block)
    return test.result()


def closed_loop(context, block):
    return block, roll_out_closed_loop(context, block)


def test_errors_of_the_closed_loop_add_up(store):
    context = make_context(store, StandIn(error=ERROR))
    found = mean_error(context, partial(closed_loop, context))

    steps = [np.arange(1, 9)] * 11 + [np.arange(1, 7)]
    expected = ERROR * np.concatenate(steps).mean()
    assert found["dex"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("share", "first"), [(0.25, 2), (0.5, 4), (0.75, 6)])
def test_errors_of_later_starts_are_those_of_the_remaining_steps(store, share, first):
    context = make_context(store, StandIn(error=ERROR))
    found = mean_error(context, partial(roll_out_later, context, share))

    lasting = [last - first for last in [8] * 11 + [6] if last > first]
    errors = np.concatenate([np.arange(1, n + 1) for n in lasting])
    assert found["dex"] == pytest.approx(ERROR * errors.mean(), rel=1e-3)
    assert found["dex_final"] == pytest.approx(ERROR * np.mean(lasting), rel=1e-3)
    assert found["tracers"] == len(lasting)


def test_the_closed_loop_is_one_step_after_the_other(store):
    surrogate = StandIn()
    context = make_context(store, surrogate)
    mean_error(context, partial(closed_loop, context))

    assert surrogate.batches == [5] * 2 * 8 + [2] * 8  # three blocks of eight steps
