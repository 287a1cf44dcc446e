"""Cells that share one state: in use the mean of all, in training each its own."""

import numpy as np
import pytest
from surrogates import randomise, to_numpy

from astrokeras.layers.consensus_cell import ConsensusCell
from astrokeras.layers.recurrence import Recurrence
from astrokeras.layers.residual_cell import ResidualCell

COUNT, ROWS, STEPS = 3, 6, 4


@pytest.fixture
def recurrence(rng):
    members = [ResidualCell(3, (8, 6), "tanh", name=f"m{k}") for k in range(COUNT)]
    layer = Recurrence(ConsensusCell(members, name="cell"), name="r")
    layer.build((None, 3), (None, None, 5))
    randomise(layer, rng)
    return layer


@pytest.fixture
def given(rng):
    initial = rng.normal(size=(ROWS, 3)).astype("f4")
    return initial, rng.normal(size=(ROWS, STEPS, 5)).astype("f4")


def step(recurrence, k, state, features):
    """Return the next state of member k, in NumPy."""
    first, inner, inner_bias, last, last_bias = map(
        to_numpy, recurrence.members[k].weights
    )
    kernel, bias = map(to_numpy, recurrence.drive.weights)
    drive = (features @ kernel + bias)[:, 8 * k : 8 * (k + 1)]
    hidden = np.tanh(drive + state @ first)
    hidden = np.tanh(hidden @ inner + inner_bias)
    return state + hidden @ last + last_bias


def test_the_next_state_is_the_mean_of_the_members(recurrence, given):
    state, features = given
    states, spreads = [], []
    for t in range(STEPS):
        nexts = [step(recurrence, k, state, features[:, t]) for k in range(COUNT)]
        state = np.mean(nexts, axis=0)
        states.append(state)
        spreads.append(np.sqrt(np.square(nexts - state).mean(axis=(0, 2))))

    rolled, spread = map(to_numpy, recurrence(*given))

    np.testing.assert_allclose(rolled, np.stack(states, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spread, np.stack(spreads, 1), rtol=1e-4, atol=1e-5)
    assert spread.min() > 0.01


def test_in_training_each_member_rolls_out_its_own_rows(recurrence, given):
    expected = []
    for k in range(COUNT):
        rows = slice(k * ROWS // COUNT, (k + 1) * ROWS // COUNT)
        state, states = given[0][rows], []
        for t in range(STEPS):
            state = step(recurrence, k, state, given[1][rows, t])
            states.append(state)
        expected.append(np.stack(states, 1))

    rolled, spread = map(to_numpy, recurrence(*given, training=True))

    np.testing.assert_allclose(rolled, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert not spread.any()
