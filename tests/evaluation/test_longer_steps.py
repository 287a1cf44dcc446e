"""Errors at longer time steps, of a surrogate with a known error a step."""

from functools import partial

import numpy as np
import pytest
from standin import PARAMETERS, StandIn, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.evaluation.context import EvaluationContext, Rollout
from astrokeras.evaluation.rollout_variants import (
    STRIDES,
    MeanError,
    allows_longer_steps,
    roll_out_strided,
    step_doubling_errors,
)


class Timed(StandIn):
    """Knows the solution, which time alone decides, and errs by so much a step."""

    def get_config(self):
        return super().get_config() | {"dt_range": [100.0, 850.0]}

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


def make_context(store, surrogate):
    limits = surrogate.metadata
    columns = np.arange(len(PARAMETERS))
    return EvaluationContext(store, store.rows(), columns, surrogate, limits, 5)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_an_error_a_step_is_found_at_every_length(store, stride):
    surrogate = Timed(error=0.01)
    context, test = make_context(store, surrogate), MeanError()
    rollout = Rollout(partial(roll_out_strided, context, stride), [test])
    for block in context.blocks():
        rollout.update(block)
    found = test.result()

    steps = [np.arange(1, 20 // stride + 1)] * 11 + [np.arange(1, 18 // stride + 1)]
    assert found["dex"] == pytest.approx(0.01 * np.concatenate(steps).mean(), rel=1e-3)
    final = 0.01 * (11 * (20 // stride) + 18 // stride) / 12
    assert found["dex_final"] == pytest.approx(final, rel=1e-3)
    assert (found["years"], found["tracers"]) == (100 * stride, 12)
    assert {shape[2:] for shape, _ in surrogate.batches} == {(3, 4)}


def test_steps_that_were_not_trained_are_left_out(store):
    context = make_context(store, Timed())
    first = next(context.blocks())

    lengths = [s for s in STRIDES if roll_out_strided(context, s, first)]
    assert lengths == [2, 4, 8]  # 1600 yr were not trained


def test_step_doubling_compares_two_steps_with_one(store):
    found = step_doubling_errors(make_context(store, Timed(error=0.01)))

    assert {key: one["years"] for key, one in found.items()} == {
        "1": 100,
        "2": 200,
        "4": 400,
    }
    for one in found.values():
        assert one["dex"] == pytest.approx(0.01, rel=1e-3)


def test_longer_steps_need_a_range_of_trained_steps():
    longer = [Timed(), StandIn()]
    limits = [one.metadata for one in longer]

    assert [allows_longer_steps(one) for one in limits] == [True, False]
