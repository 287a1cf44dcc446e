"""The baselines against plain NumPy on the whole of a small file."""

import numpy as np
import pytest

from astrokeras.data.tracers.reader import Tracers, TracerStore, TracerWriter
from astrokeras.evaluation import baselines
from astrokeras.evaluation.baselines import MeanTrajectory, NearestTracer

pytestmark = pytest.mark.neutral

STATES, SPECIES, PARAMETERS = 6, ("H2", "CO", "#H2O"), ("Density", "gasTemp")


def write(path, ragged, tracers=40):
    rng = np.random.default_rng(3)
    abundances = 10.0 ** rng.uniform(-21, 0, (tracers, STATES, 3))
    physical = 10.0 ** rng.normal(2, 1, (tracers, STATES - 1, 2))
    physical[:, 0, 1] = 10.0  # A column that does not vary.
    length = np.full(tracers, STATES)
    if ragged:
        length = rng.integers(2, STATES + 1, tracers)
    for i, states in enumerate(length):
        abundances[i, states:] = np.nan
        physical[i, states - 1 :] = np.nan
    split = rng.integers(0, 3, tracers).astype("u1")
    block = Tracers(
        rows=np.arange(tracers),
        abundances=abundances.astype("f4"),
        physical=physical.astype("f4"),
        time=np.arange(STATES) * np.ones((tracers, 1)),
        length=length,
        tracer=np.arange(tracers),
        simulation=np.arange(tracers),
        split=split,
    )
    with TracerWriter(
        path,
        species=SPECIES,
        parameters=PARAMETERS,
        units=("cm^-3", "K"),
        states=STATES,
        attributes={},
    ) as writer:
        writer.append(block)
    return block


def held(values, length):
    return np.stack(
        [
            v[np.minimum(np.arange(len(v)), n - 1)]
            for v, n in zip(values, length, strict=True)
        ]
    )


@pytest.fixture(params=[False, True], ids=["full", "ragged"])
def case(request, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "BLOCK", 7)
    monkeypatch.setattr(baselines, "QUERY_BYTES", 3 * 8 * 5 * 2)
    block = write(tmp_path / "tracers.h5", request.param)
    with TracerStore(tmp_path / "tracers.h5") as store:
        yield store, block


def test_mean_trajectory(case):
    store, block = case
    train = block.split == 0
    baseline = MeanTrajectory(store, store.rows("train"))

    prediction = baseline.predict(store.read(store.rows("test")))

    logs = np.log10(np.clip(block.abundances[train].astype(float), 1e-20, 1))
    expected = 10.0 ** np.nanmean(logs, 0)
    np.testing.assert_allclose(prediction[0, 1:], expected[1:], rtol=1e-5)
    np.testing.assert_array_equal(prediction[1], [prediction[1, 0], *prediction[0, 1:]])
    np.testing.assert_array_equal(
        prediction[:, 0], block.abundances[block.split == 2, 0]
    )


@pytest.mark.parametrize("split", ["test", "train"])
def test_nearest_tracer(case, split):
    store, block = case
    train, asked = store.rows("train"), store.rows(split)
    baseline = NearestTracer(store, train, asked)
    prediction = baseline.predict(store.read(asked))

    logs = np.log10(held(block.physical.astype(float), block.length - 1))
    deviation = logs[train].std(0)
    scaled = (logs - logs[train].mean(0)) / np.where(deviation > 0, deviation, 1)
    states = held(block.abundances, block.length)
    for i, row in enumerate(asked):
        steps = block.length[row] - 1
        away = ((scaled[train, :steps] - scaled[row, :steps]) ** 2).sum((1, 2))
        away[train == row] = np.inf
        assert baseline.nearest[i] == train[away.argmin()]
        np.testing.assert_array_equal(
            prediction[i, 1:], states[train[away.argmin()], 1:]
        )
    np.testing.assert_array_equal(prediction[:, 0], block.abundances[asked, 0])


def test_a_tracer_alone_has_no_neighbour(tmp_path):
    write(tmp_path / "tracers.h5", ragged=False, tracers=3)
    with TracerStore(tmp_path / "tracers.h5") as store:
        rows = np.array([1])
        prediction = NearestTracer(store, rows, rows).predict(store.read(rows))

    assert np.isnan(prediction[:, 1:]).all()


def test_a_state_that_no_training_tracer_reaches_repeats_the_last(tmp_path):
    block = write(tmp_path / "tracers.h5", ragged=True)
    short = np.flatnonzero(block.length <= 4)
    with TracerStore(tmp_path / "tracers.h5") as store:
        trajectory = MeanTrajectory(store, short).trajectory

    np.testing.assert_array_equal(trajectory[4:], trajectory[[3, 3]])
