"""The one split: by simulation, seeded, stored once."""

import h5py
import numpy as np
import pytest
from tiny import make_tracers, write_tracers

from astrokeras.config import SplitConfig
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import (
    assign_split,
    calibration_rows,
    make_split,
    split_file,
)
from astrokeras.data.tracers.subset import sample_tracers, sampling_order
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


def test_no_simulation_is_cut_in_two(rng):
    simulation = rng.integers(0, 40, 300)

    split = make_split(simulation, SplitConfig())

    for one in np.unique(simulation):
        assert len(np.unique(split[simulation == one])) == 1
    counts = [len(np.unique(simulation[split == code])) for code in range(3)]
    assert counts == [28, 6, 6]


def test_the_algorithm_is_the_documented_one(rng):
    simulation = rng.integers(0, 40, 300) * 7
    ids = np.unique(simulation)
    order = np.random.default_rng(5).permutation(ids)

    split = assign_split(simulation, validation=0.1, test=0.3, seed=5)

    assert set(simulation[split == 2]) == set(order[:12])
    assert set(simulation[split == 1]) == set(order[12:16])


def test_the_same_seed_gives_the_same_split():
    groups = np.arange(50)
    first, again, other = (assign_split(groups, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_order_of_tracers_does_not_matter(rng):
    simulation = rng.integers(0, 20, 100)
    shuffle = rng.permutation(100)
    np.testing.assert_array_equal(
        assign_split(simulation)[shuffle], assign_split(simulation[shuffle])
    )


@pytest.mark.parametrize(
    ("simulation", "found"),
    [
        (np.full(30, NO_SIMULATION), "no simulations"),
        (np.zeros(30, int), "one simulation"),
        (np.repeat([NO_SIMULATION, 3, 4], 10), "tracers without simulation"),
    ],
)
def test_without_simulations_a_split_by_tracer_must_be_asked_for(simulation, found):
    with pytest.raises(InputError, match=rf"f\.h5: holds {found}.*split.by=tracer"):
        make_split(simulation, SplitConfig(), "f.h5")

    split = make_split(simulation, SplitConfig(by="tracer"))
    assert np.bincount(split).tolist() == [22, 4, 4]


def test_too_few_simulations_for_the_fractions():
    with pytest.raises(InputError, match="3 simulations are too few for a test"):
        make_split(np.arange(3), SplitConfig())


def test_everything_may_be_test():
    assert (assign_split(np.arange(5), validation=0, test=1) == 2).all()


def test_fractions_beyond_one_leave_no_training():
    with pytest.raises(InputError, match="train"):
        assign_split(np.arange(20), validation=0.6, test=0.6)


@pytest.fixture
def unsplit(tmp_path):
    tracers = make_tracers()
    tracers.split[:] = 255
    return write_tracers(tmp_path / "unsplit.h5", tracers)


def test_a_split_is_stored_with_how_it_was_made(unsplit):
    split = split_file(unsplit, SplitConfig(seed=3))

    with TracerStore(unsplit) as store:
        np.testing.assert_array_equal(store.split, split)
        assert store.attributes["split_by"] == "simulation"
        assert store.attributes["split_seed"] == 3
        assert store.attributes["split_test"] == 0.15
    assert [path.name for path in unsplit.parent.iterdir()] == ["unsplit.h5"]


def test_a_file_is_split_once(unsplit):
    first = split_file(unsplit)
    with pytest.raises(InputError, match=r"has a split already.*--force"):
        split_file(unsplit, SplitConfig(seed=9))
    with TracerStore(unsplit) as store:
        np.testing.assert_array_equal(store.split, first)

    again = split_file(unsplit, SplitConfig(seed=9), force=True)
    assert (again != first).any()


@pytest.fixture
def validated(tmp_path):
    """An open file with eight simulations of validation, three tracers each, mixed."""
    tracers = make_tracers(simulations=40, per_simulation=3)
    mixed = np.random.default_rng(3).permutation(len(tracers.simulation))
    for name in ("simulation", "split", "tracer"):
        setattr(tracers, name, getattr(tracers, name)[mixed])
    with TracerStore(write_tracers(tmp_path / "mixed.h5", tracers)) as store:
        yield store


@pytest.mark.parametrize(("share", "count"), [(0.25, 2), (0.5, 4), (0.9, 7), (1, 7)])
def test_calibration_takes_whole_simulations_and_leaves_one(validated, share, count):
    rows = calibration_rows(validated, share)

    assert (validated.split[rows] == 1).all()
    assert (np.diff(rows) > 0).all()
    chosen = np.unique(validated.simulation[rows])
    assert len(chosen) == count
    assert np.isin(validated.simulation, chosen).sum() == len(rows) == 3 * count
    np.testing.assert_array_equal(calibration_rows(validated, share), rows)


@pytest.mark.parametrize(("share", "simulations"), [(0, 8), (0.05, 8), (0.9, 1)])
def test_a_small_share_or_one_simulation_gives_none(validated, share, simulations):
    kept = np.unique(validated.simulation[validated.split == 1])[:simulations]
    validated.split[~np.isin(validated.simulation, kept)] = 0

    rows = calibration_rows(validated, share)

    assert rows.shape == (0,)
    assert np.issubdtype(rows.dtype, np.integer)


def test_calibration_takes_other_simulations_than_the_first(validated):
    """A choice by number would follow the order in which they were made."""
    ids = np.unique(validated.simulation[validated.split == 1])

    chosen = np.unique(validated.simulation[calibration_rows(validated, 0.5)])

    assert set(chosen) not in (set(ids[:4]), set(ids[4:]))


def test_without_simulations_calibration_takes_tracers(validated):
    validated.simulation[:] = NO_SIMULATION

    rows = calibration_rows(validated, 0.5)

    assert len(rows) == 12
    assert (validated.split[rows] == 1).all()


def test_a_sample_inherits_the_split(tmp_path):
    path = write_tracers(tmp_path / "full.h5")
    rows = sample_tracers(path, tmp_path / "few.h5", per_simulation=1)

    with TracerStore(path) as full, TracerStore(tmp_path / "few.h5") as few:
        assert few.tracers == len(np.unique(full.simulation))
        np.testing.assert_array_equal(few.simulation, np.unique(full.simulation))
        expected, read = full.read(rows), few.read(slice(None))
        for name in ("abundances", "physical", "time", "tracer", "split"):
            np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
        assert few.units == full.units
        assert few.attributes["source"] == full.attributes["source"]


def test_a_sample_has_splits_in_proportion(rng):
    simulation = np.repeat(np.arange(100), 3)
    split = assign_split(simulation)

    order = sampling_order(simulation, split)

    assert sorted(order) == list(range(300))
    # However many fit: 70, 15 and 15 of a hundred, each simulation once.
    for count in (20, 60, 100):
        chosen = order[:count]
        assert len(np.unique(simulation[chosen])) == count
        shares = np.bincount(split[chosen]) / count
        np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=1.01 / count)


def test_a_sample_keeps_to_its_size(tmp_path):
    tracers = make_tracers(simulations=150, per_simulation=2, states=60)
    path = write_tracers(tmp_path / "full.h5", tracers)
    size = path.stat().st_size
    limit = 0.6 * size / 1e6

    rows = sample_tracers(path, tmp_path / "few.h5", max_mb=limit)

    written = (tmp_path / "few.h5").stat().st_size
    assert written <= limit * 1e6
    assert 100 <= len(rows) < 300


def test_a_sample_of_fewer_states_has_mean_parameters(tmp_path):
    tracers = make_tracers(3)
    tracers.length[1] = 8
    for name in ("abundances", "physical", "time"):
        getattr(tracers, name)[1, 8 - (name == "physical") :] = np.nan
    path = write_tracers(tmp_path / "all.h5", tracers)

    sample_tracers(path, tmp_path / "few.h5", every=3)

    with TracerStore(tmp_path / "few.h5") as store:
        few = store.read(slice(None))
        assert (store.states, store.attributes["sample_every"]) == (5, 3)
    assert few.length.tolist() == [5, 3, 5, 5, 5, 5]
    np.testing.assert_array_equal(few.abundances, tracers.abundances[:, ::3])
    kept = few.time[0] - few.time[0, 0]
    np.testing.assert_array_equal(kept, tracers.time[0, ::3] - tracers.time[0, 0])
    pieces = tracers.physical[0].astype(float).reshape(4, 3, -1)
    density, field = pieces[..., 0].mean(1), np.exp(np.log(pieces[..., 1]).mean(1))
    np.testing.assert_allclose(few.physical[0, :, 0], density, rtol=1e-6)
    np.testing.assert_allclose(few.physical[0, :, 1], field, rtol=1e-6)
    with pytest.raises(
        InputError, match="has 8 states; choose a smaller number than every 8th"
    ):
        sample_tracers(path, tmp_path / "none.h5", every=8)


def test_a_sample_without_room(tmp_path):
    path = write_tracers(tmp_path / "full.h5")
    with pytest.raises(InputError, match=r"no tracer fits into 0\.01 MB"):
        sample_tracers(path, tmp_path / "few.h5", max_mb=0.01)
    assert not (tmp_path / "few.h5").exists()


def test_a_sample_does_not_replace_its_source(tmp_path):
    path = write_tracers(tmp_path / "full.h5")
    with pytest.raises(InputError, match="choose another name"):
        sample_tracers(path, path)


def test_the_sample_that_ships(sample_path):
    with TracerStore(sample_path) as store:
        simulation, split, first = (
            store.simulation,
            store.split,
            store.file["time"][:, 0],
        )
        assert store.attributes["split_by"] == "simulation"
    assert sample_path.stat().st_size <= 20e6
    for one in np.unique(simulation):
        assert len(np.unique(split[simulation == one])) == 1
    assert (np.bincount(split) >= 15).all()
    # Both kinds of starts: from the initial abundances, and a step after.
    assert 10 < (first == 0).sum() < len(first) - 10


def test_the_sample_inherits_the_split_of_the_raw_files(sample_path, raw_folder):
    ids = []
    for name in ("grav_raw.h5", "grav_raw_2.h5"):
        with h5py.File(raw_folder / name) as file:
            columns = [column.decode().strip() for column in file["df/axis0"][:]]
            values = file["df/block0_values"][::298, columns.index("Simulation")]
            ids.append(values.astype(int))
    ids = np.concatenate(ids)
    split = dict(zip(ids, assign_split(ids), strict=True))

    with TracerStore(sample_path) as store:
        expected = [split[one] for one in store.simulation]
        np.testing.assert_array_equal(store.split, expected)


def test_a_split_by_number_goes_by_the_last_digit():
    simulation = np.array([7, 17, 8, 1_000_008, 0, 123, 8])
    split = make_split(simulation, SplitConfig(by="number"))
    assert split.tolist() == [1, 1, 2, 2, 0, 0, 2]
    with pytest.raises(InputError, match="tracers without simulation"):
        make_split(np.array([7, -1]), SplitConfig(by="number"), "x.h5")
