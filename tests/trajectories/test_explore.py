"""Exploring tracks: their times, ranges and relations, by formulas written apart."""

from dataclasses import replace

import numpy as np
import pytest

from astrokeras.config import compose_tracks
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.trajectories.explore import (
    FAMILIES,
    PARAMETERS,
    draw_intervals,
    molecular_columns,
    simulate,
    typical_extinction,
)
from astrokeras.trajectories.make import make_tracks

N_H = 1 / 5.348e-22  # cm^-2 per mag


def compose(*overrides):
    return compose_tracks("explore", [f"tracks.{one}" for one in overrides])


def make(path, *overrides):
    make_tracks(compose(*overrides), path)
    with TracerStore(path, need_abundances=False) as store:
        return store, store.read(slice(None)), store.families()


def tracks_of(family, count=20, *overrides):
    """Return tracks of one family: their columns by name, each (count, T)."""
    config = compose(f"families=[{family}]", *overrides)
    made = [simulate(config, np.random.default_rng(k)) for k in range(count)]
    assert {one.family for one in made} == {family}
    columns = np.stack([one.physical for one in made], axis=-1)
    return dict(zip(PARAMETERS, columns.transpose(1, 2, 0), strict=True))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "t.h5"
    return make(path, "simulations=100")


def test_the_file(many):
    store, tracks, families = many

    assert store.parameters == PARAMETERS
    assert store.units[5:] == ("1.3e-17 s^-1", "cm^-2", "cm^-2")
    np.testing.assert_array_equal(tracks.tracer, 20000 + np.arange(100))
    np.testing.assert_array_equal(tracks.simulation, tracks.tracer)
    assert set(families) == set(FAMILIES)
    shares = np.array([families.count(name) for name in FAMILIES]) / 100
    expected = [0.24, 0.12, 0.12, 0.1, 0.07, 0.07, 0.05, 0.23]
    np.testing.assert_allclose(shares, expected, atol=0.12)


def test_values_stay_within_the_limits_and_reach_into_all_of_them(many):
    _, tracks, _ = many

    low = np.float32([10, 0.01, 0.03, 10, 10, 0.1])
    high = np.float32([1e9, 1e3, 1e3, 2000, 300, 100])
    found = tracks.physical.reshape(-1, 8)[:, :6]
    assert (found.min(0) >= low).all()
    assert (found.max(0) <= high).all()
    reached = np.log(found.max(0) / found.min(0)) / np.log(high / low)
    assert (reached > 0.85).all()


def test_times_are_those_of_clouds(many):
    _, tracks, _ = many
    steps = np.diff(tracks.time)

    assert steps.min() >= 10
    assert steps.max() <= 5e6
    assert tracks.time[:, -1].min() >= 2e3
    assert tracks.time[:, -1].max() <= 1e7 * (1 + 1e-9)
    assert steps[:, 1:].max() / steps[:, 1:].min() > 1e4


def test_half_of_the_tracks_begin_with_a_quiet_phase():
    config, rng = compose(), np.random.default_rng(0)

    drawn = [draw_intervals(config, rng) for _ in range(300)]

    quiet = np.array([one for _, one in drawn])
    counts = np.array([len(lengths) for lengths, _ in drawn])
    np.testing.assert_array_equal(counts, np.where(quiet > 0, 59, 60))
    np.testing.assert_allclose((quiet > 0).mean(), 0.55, atol=0.08)
    assert quiet[quiet > 0].min() >= 1e3
    assert quiet.max() > 1e6


def test_gas_rests_in_the_quiet_phase():
    gas = tracks_of("shock", 20, "quiet=1", "duration=[1e4,1e7]")

    assert (gas["Density"][:, 0] <= gas["Density"][:, 1:].max(1)).all()
    assert np.log10(gas["Density"][:, 1] / gas["Density"][:, 0]).mean() > 0.3
    assert np.median(gas["gasTemp"][:, 0]) < 40 < np.median(gas["gasTemp"].max(1))
    np.testing.assert_array_equal(gas["Radfield"][:, 0], gas["Radfield"][:, 1])


def test_a_track_depends_on_seed_and_number_alone(tmp_path, many):
    _, tracks, families = many
    few = make(tmp_path / "1.h5", "simulations=2", "first=20003")
    other = make(tmp_path / "2.h5", "simulations=2", "first=20003", "seed=1")

    np.testing.assert_array_equal(few[1].physical, tracks.physical[3:5])
    np.testing.assert_array_equal(few[1].time, tracks.time[3:5])
    assert few[2] == families[3:5]
    assert (few[1].physical != other[1].physical).mean() > 0.8


def test_each_family_does_what_it_says():
    still = ("quiet=0",)
    dex = {
        family: np.log10(one["Density"][:, -1] / one["Density"][:, 0])
        for family in ("collapse", "expansion", "static")
        for one in [tracks_of(family, 10, *still)]
    }
    assert np.median(dex["collapse"]) > 1.5
    assert np.median(dex["expansion"]) < -1
    assert not dex["static"].any()
    assert tracks_of("warmup", 10, *still)["dustTemp"].max(1).mean() > 60
    assert np.median(tracks_of("shock", 10, *still)["gasTemp"].max(1)) > 100
    light = tracks_of("irradiation", 10, *still)
    changes = [abs(np.log10(x[:, -1] / x[:, 0])) for x in light.values()]
    assert np.median(changes[1]) > 0.7  # of the field


def test_a_box_draws_all_parameters_apart():
    box = tracks_of("box", 300, "quiet=0", "steps=2")
    logs = np.log10([values[:, 0] for values in box.values()])
    columns = np.log10([box[name][:, 0] / box["Av"][:, 0] for name in ("NH2", "NCO")])

    alike = np.corrcoef(np.concatenate([logs[:3], logs[4:6], columns]))
    assert abs(alike - np.eye(7)).max() < 0.25
    dense = box["Density"] > 1e6
    assert (box["gasTemp"] == box["dustTemp"])[dense].mean() > 0.7
    assert (box["gasTemp"] == box["dustTemp"])[~dense].mean() < 0.3


def test_extinction_follows_density_as_in_clouds_and_cores():
    found = typical_extinction(np.array([10.0, 1e3, 1e7]))

    first = 0.05 * np.exp(1.6 * np.array([10.0, 1e3]) ** 0.12)
    np.testing.assert_allclose(found, [*first, 100 * first[1]])


def test_columns_are_molecular_behind_the_atomic_one():
    """N(H) of ln(1 + 0.59 chi / n2 / 2) / 1.9e-21 stays atomic; C+ has no CO."""
    given = np.array([100.0, 100.0]), np.array([17.0, 17.0]), np.array([0.3, 3.0])

    h2, co = molecular_columns(*given, np.ones(2))

    atomic = np.log(1 + 0.59 * 10 / 2) / 1.9e-21
    np.testing.assert_allclose(h2[0], 5e-6 * 0.3 * N_H, rtol=1e-3)
    np.testing.assert_allclose(h2[1], 0.5 * (3 * N_H - atomic), rtol=1e-3)
    assert co[0] < 1e-7 * 0.3 * N_H
    dark = molecular_columns(np.array(1e5), np.array(1.0), np.array(30.0), np.ones(2))
    np.testing.assert_allclose(dark[1], 1.4e-4 * 30 * N_H, rtol=1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("families=[walk,jet]", r"tracks\.families is .*jet.*; give names among walk"),
        ("families=[]", r"tracks\.families is \[\]"),
        ("shares.box=0", r"tracks\.shares: those of box are all 0"),
    ],
)
def test_wrong_families_are_refused(tmp_path, override, message):
    config = compose("families=[box]", override)

    with pytest.raises(InputError, match=message):
        make_tracks(replace(config, simulations=1), tmp_path / "t.h5")
    assert not list(tmp_path.iterdir())


def test_command(cli, tmp_path):
    out = tmp_path / "t.h5"

    done = cli("data", "tracks", "explore", out, "simulations=2", "steps=9")

    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == (
        f"{out}: 2 tracks of 2 simulations from number 20000 on, 9 steps"
    )
    assert cli("data", "inspect", out).exit_code == 0
