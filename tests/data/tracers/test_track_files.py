"""Files of tracks: physics and times, no abundances and no species."""

import json

import h5py
import numpy as np
import pytest
from standin import SPECIES, StandIn, solve
from standin import write_tracers as write_given
from tiny import make_tracers, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.prediction.predict import predict


@pytest.fixture
def tracks(tmp_path):
    return write_tracers(tmp_path / "tracks.h5", species=())


def test_tracks_are_written_and_read_without_species(tracks):
    expected = make_tracers()

    with h5py.File(tracks) as file:
        assert not {"abundances", "species"} & set(file)
    with TracerStore(tracks, need_abundances=False) as store:
        assert (store.species, store.has_abundances, store.solved) == ((), False, False)
        read = store.read(np.array([7, 2]))

    assert read.abundances.shape == (2, 0, 0)
    for name in ("physical", "time", "tracer", "simulation"):
        np.testing.assert_array_equal(
            getattr(read, name), getattr(expected, name)[[7, 2]]
        )


def test_tracks_are_checked_like_tracers(tracks):
    with h5py.File(tracks, "r+") as file:
        file["physical"][3, 4, 1] = -1

    with TracerStore(tracks, need_abundances=False) as store:
        with pytest.raises(InputError, match=r"tracer 103, state 4: Radfield is -1"):
            list(store.blocks())


def test_who_needs_abundances_hears_how_they_are_made(tracks):
    with pytest.raises(InputError, match=r"only tracks; .*`astrokeras data generate`"):
        TracerStore(tracks)


def test_species_are_missing_only_where_abundances_are(tmp_path):
    path = write_tracers(tmp_path / "tiny.h5")
    with h5py.File(path, "r+") as file:
        del file["species"]

    with pytest.raises(InputError, match="dataset species missing; write the file"):
        TracerStore(path, need_abundances=False)


def test_inspect(cli, tracks):
    shown = cli("data", "inspect", tracks)
    found = json.loads(cli("data", "inspect", tracks, "--json").stdout)

    assert shown.exit_code == 0, shown.stderr
    assert "20 tracers of 10 simulations, 13 states, no species" in shown.stdout
    assert "`astrokeras data generate`" in shown.stdout.replace("\n", " ")
    assert (found["species"], found["abundances"], found["elements"]) == (0, None, {})
    assert found["starts"] == [{"time": 0.0, "tracers": 20, "at_floor": None}]
    physical = make_tracers().physical
    for index, one in enumerate(found["parameters"]):
        assert one["low"] == physical[..., index].min()


def test_sample_and_split(cli, tmp_path):
    tracers = make_tracers()
    tracers.split[:] = 255
    path = write_tracers(tmp_path / "tracks.h5", tracers, species=())

    assert cli("data", "split", path).exit_code == 0
    done = cli("data", "sample", path, tmp_path / "few.h5", "--per-simulation", 1)

    assert done.exit_code == 0, done.stderr
    with TracerStore(tmp_path / "few.h5", need_abundances=False) as store:
        assert (store.tracers, store.species, store.has_split) == (10, (), True)
        rows = np.searchsorted(tracers.tracer, store.tracer)
        np.testing.assert_array_equal(
            store.read(slice(None)).physical, tracers.physical[rows]
        )


def test_predict_takes_the_species_of_the_surrogate(tmp_path):
    given = write_given(tmp_path / "given.h5", species=())
    out = tmp_path / "out.h5"

    predict(StandIn(), tmp_path / "given.h5", out, initial="poor", batch_size=5)

    physical = np.nan_to_num(given.physical, nan=1.0)
    expected = solve(np.full((12, len(SPECIES)), 1e-7), physical)
    expected[-1, 7:] = np.nan
    with TracerStore(out) as store:
        assert store.species == tuple(SPECIES)
        assert store.attributes["elements"] == list(StandIn().get_config()["elements"])
        found = store.read(slice(None))
    np.testing.assert_allclose(found.abundances, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.physical, given.physical)


def test_predict_needs_a_start(tmp_path):
    write_given(tmp_path / "given.h5", species=())

    with pytest.raises(InputError, match=r"no state 0 .* give .* --initial"):
        predict(StandIn(), tmp_path / "given.h5", tmp_path / "out.h5")

    assert not list(tmp_path.glob("out*"))
