"""Collapsing cores against equations of motion that are integrated apart."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from astrokeras.config import compose_tracks
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.trajectories.collapse import (
    SHELLS,
    Core,
    contraction,
    fall,
    free_fall_time,
    quiet_temperature,
    simulate,
    star_temperature,
    time_at,
)
from astrokeras.trajectories.make import make_tracks

pytestmark = pytest.mark.neutral

G, YEAR = 6.6743e-8, 3.15576e7
MASS = 1.4 * 1.6735e-24  # g per H nucleus
CORE = Core(
    density=1e5, compression=10.0, gravity=0.6, size=3.0, ambient=0.5, radfield=1.0
)


def compose(*overrides):
    return compose_tracks("collapse", [f"tracks.{one}" for one in overrides])


def make(path, *overrides):
    make_tracks(compose(*overrides), path)
    with TracerStore(path, need_abundances=False) as store:
        return store, store.read(slice(None))


def integrate(radius, mass, share, years):
    """Return radii of a shell that falls from rest around a mass, in cm."""
    done = solve_ivp(
        lambda _, y: [y[1], -share * G * mass / y[0] ** 2],
        (0, years[-1] * YEAR),
        [radius, 0.0],
        t_eval=years * YEAR,
        rtol=1e-10,
        atol=1.0,
        method="LSODA",
    )
    return done.y[0]


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_uniform_sphere_falls_in_its_free_fall_time(share):
    density, radius = 1e4, 3e17
    mass = 4 / 3 * np.pi * radius**3 * density * MASS
    end = float(free_fall_time(density, share))
    years = end * np.linspace(0, 0.999, 50)

    found = integrate(radius, mass, share, years)

    assert 4.3e5 < float(free_fall_time(1e4)) < 4.4e5  # years, as in textbooks
    np.testing.assert_allclose(contraction(years / end), found / radius, rtol=2e-4)
    assert found[-1] < 0.02 * radius


def test_a_uniform_sphere_stays_uniform():
    density, _ = fall(CORE, np.linspace(0, 3e4, 7), extent=1e-2)

    np.testing.assert_allclose(density[1:], density[:1].repeat(255, 0), rtol=1e-3)
    np.testing.assert_allclose(density[:, 0], CORE.density, rtol=1e-3)


def test_compression_takes_the_time_that_it_says():
    np.testing.assert_allclose(contraction(time_at(8.0)) ** -3, 8.0, rtol=1e-6)


@pytest.mark.parametrize("shell", [20, 100, 250])
def test_shells_move_and_thin_as_their_equation_of_motion_says(shell):
    """Density is mass over volume between two shells that are followed apart."""
    rest = CORE.density / CORE.compression
    sound = np.sqrt(1.380649e-16 * 10 / (2.33 * 1.6735e-24))
    size = CORE.size * sound / np.sqrt(4 * np.pi * G * MASS * rest)
    start = time_at(CORE.compression) * float(free_fall_time(rest, CORE.gravity))
    years = np.array([0.0, 1e4, 2e4, 2.5e4])

    edges = 2.0 * np.array([shell, shell + 1]) / SHELLS
    weight = 4 * np.pi * rest * size**3 * (edges - np.arctan(edges))  # H nuclei
    radii = [
        integrate(x * size, m * MASS, CORE.gravity, np.append(0, start + years))[1:]
        for x, m in zip(edges, weight, strict=True)
    ]
    volume = 4 / 3 * np.pi * (radii[1] ** 3 - radii[0] ** 3)

    density, _ = fall(CORE, years, extent=2.0)

    np.testing.assert_allclose(density[shell], np.diff(weight) / volume, rtol=0.01)


def test_the_column_is_that_of_all_that_lies_outside():
    """At rest, from 0 to 2 a: n0 a arctan 2."""
    core = CORE._replace(compression=1.0 + 1e-9)
    sound = np.sqrt(1.380649e-16 * 10 / (2.33 * 1.6735e-24))
    size = core.size * sound / np.sqrt(4 * np.pi * G * MASS * core.density)

    _, av = fall(core, np.array([0.0]), extent=2.0)

    expected = 0.5 + 5.348e-22 * core.density * size * np.arctan(2.0)
    np.testing.assert_allclose(av[0, 0], expected, rtol=0.01)
    last = core.density / 5 * size * 2 / SHELLS / 2  # half a shell
    np.testing.assert_allclose(av[-1, 0] - 0.5, 5.348e-22 * last, rtol=0.01)
    assert (np.diff(av[:, 0]) < 0).all()


def test_the_densest_gas_falls_no_further():
    density, av = fall(CORE, np.array([0.0, 5e4, 1e5]), extent=2.0, densest=1e8)

    assert density.max() < 1.001e8
    stopped = density[:, 2] > 0.999e8
    assert 10 < stopped.sum() < SHELLS
    ball = np.flatnonzero(stopped)
    assert (ball == np.arange(len(ball))).all()
    assert np.isfinite(av).all()


def test_the_temperature_is_that_of_the_sample(sample_path):
    with TracerStore(sample_path) as store:
        density, radfield, av, found = store.file["physical"][:, ::7].reshape(-1, 4).T

    error = np.log10(found / quiet_temperature(density, radfield, av))

    assert np.median(np.abs(error)) < np.log10(1.08)
    assert np.quantile(error, 0.1) > -np.log10(1.15)  # stars can only heat
    densest = density > 1e9
    np.testing.assert_allclose(np.median(error[densest]), 0, atol=0.03)


def test_a_star_adds_its_fourth_power():
    config = replace(compose("heated=1", "star=[40,40]"), tracers=2000)
    years = np.arange(0, 40_000, 100.0)

    star = star_temperature(config, years, np.random.default_rng(0))

    np.testing.assert_allclose((star[:, -1] > 0).mean(), 0.75, atol=0.03)
    np.testing.assert_allclose(np.median(star[star[:, -1] > 0, -1]), 40, rtol=0.02)
    assert (np.diff(star) >= 0).all()
    assert (star[:, 0] == 0).all()
    cold = star_temperature(
        replace(config, heated=0.0), years, np.random.default_rng(0)
    )
    assert not cold.any()


def test_heat_of_a_star_is_added_as_radiation_adds():
    config = replace(compose("star=[50,50]", "step=10000"), tracers=500)

    with_star, without = (
        simulate(replace(config, heated=share), np.random.default_rng(1))[:, -1, 3]
        for share in (1.0, 0.0)
    )

    added = (with_star**4 - without**4).clip(0) ** 0.25
    np.testing.assert_allclose(np.median(added[added > 1]), 50, rtol=0.05)


def test_parcels_begin_where_density_is_allowed():
    config = replace(compose("limits.Density=[1e5,1e9]", "drift=0"), tracers=500)

    first = simulate(config, np.random.default_rng(2))[:, 0, 0]

    assert (first == 1e5).mean() < 0.3


def test_tracks_are_of_the_regime_of_the_sample(tmp_path, sample_path):
    """Medians to half a decade, spreads to a half, the same limits and cadence."""
    store, made = make(tmp_path / "t.h5", "simulations=60")
    with TracerStore(sample_path) as sample:
        physical = sample.file["physical"][:, ::9].reshape(-1, 4)
        assert store.parameters == sample.parameters
        assert store.units == sample.units
        assert store.attributes["fixed"] == ["zeta = 1", "dustTemp = gasTemp"]
        np.testing.assert_allclose(np.diff(made.time), 92.9, rtol=1e-6)
        assert store.states == sample.states

    ours, theirs = np.log10(made.physical.reshape(-1, 4)), np.log10(physical)
    np.testing.assert_allclose(np.median(ours, 0), np.median(theirs, 0), atol=0.5)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.5)
    assert (made.physical.max((0, 1)) <= np.float32([1.3e9, 26, 4000, 130])).all()
    assert (made.physical.min((0, 1)) >= np.float32([1e4, 1e-4, 0.1, 10])).all()
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.25)


def test_simulations_are_none_of_the_shared_files(tmp_path):
    _, made = make(tmp_path / "t.h5", "simulations=2", "steps=5")
    _, again = make(tmp_path / "u.h5", "simulations=2", "steps=5")

    np.testing.assert_array_equal(made.simulation, np.repeat([1000, 1001], 6))
    np.testing.assert_array_equal(made.physical, again.physical)


@pytest.mark.parametrize("override", ["steps=1", "limits.Density=[1e8,1e9]"])
def test_extreme_settings_work(tmp_path, override):
    _, made = make(tmp_path / "t.h5", "simulations=3", override)
    assert np.isfinite(made.physical).all()


def test_command(cli, tmp_path):
    out = tmp_path / "t.h5"

    done = cli("data", "tracks", "collapse", out, "simulations=2", "tracers=3")

    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == (
        f"{out}: 6 tracks of 2 simulations from number 1000 on, 297 steps of 92.9 yr "
        "(27591.3 yr)"
    )
