"""Turbulent tracks and the temperatures of gas, against formulas written apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

from astrokeras.chemistry.stoichiometry import element_totals, stoichiometric_matrix
from astrokeras.config import ConfigError, compose_tracks
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.trajectories import gas
from astrokeras.trajectories.draws import running_mean, wander
from astrokeras.trajectories.make import make_tracks
from astrokeras.trajectories.turbulent import (
    Region,
    excess_heat,
    log_density,
    shock_mach,
    simulate,
)

pytestmark = pytest.mark.neutral


def compose(*overrides):
    return compose_tracks("turbulent", [f"tracks.{one}" for one in overrides])


def many(tracers, *overrides):
    """Return settings for more tracers of a simulation than a file may number."""
    return replace(compose(*overrides), tracers=tracers)


def make(path, *overrides):
    make_tracks(compose(*overrides), path)
    with TracerStore(path, need_abundances=False) as store:
        return store, store.read(slice(None))


def region(mach=6.0, compressive=0.5, size=0.1):
    return Region(1000.0, mach, compressive, size, 1.0, 1.0)


def test_the_file(tmp_path):
    store, tracks = make(tmp_path / "t.h5", "simulations=12", "tracers=3", "steps=20")

    assert store.parameters == (
        *("Density", "Radfield", "Av", "gasTemp", "zeta", "dustTemp"),
    )
    assert store.units[4:] == ("1.3e-17 s^-1", "K")
    np.testing.assert_array_equal(tracks.simulation, np.repeat(1000 + np.arange(12), 3))
    np.testing.assert_array_equal(tracks.tracer[3:6], [100100, 100101, 100102])
    np.testing.assert_array_equal(tracks.time[5], 500.0 * np.arange(21))
    assert json.loads(store.attributes["recipe"])["mach"] == [2, 12]
    assert not store.has_split


def test_values_stay_within_the_limits(tmp_path):
    _, tracks = make(tmp_path / "t.h5", "limits.Density=[1e2,1e4]", "limits.Av=[1,5]")

    low = [1e2, 1e-4, 1, 5, 0.1, 5]
    high = [1e4, 1e3, 5, 800, 100, 100]
    found = tracks.physical.reshape(-1, 6)
    np.testing.assert_allclose(np.maximum(found.min(0), low), found.min(0), rtol=1e-6)
    np.testing.assert_allclose(np.minimum(found.max(0), high), found.max(0), rtol=1e-6)
    assert found[:, 0].min() == 1e2
    assert found[:, 0].max() == 1e4


def test_a_simulation_depends_on_seed_and_number_alone(tmp_path):
    few = make(tmp_path / "1.h5", "simulations=3", "tracers=5")[1]
    many = make(tmp_path / "2.h5", "simulations=4", "tracers=5")[1]
    later = make(tmp_path / "3.h5", "simulations=1", "tracers=5", "first=1002")[1]
    other = make(tmp_path / "4.h5", "simulations=3", "tracers=5", "seed=1")[1]

    np.testing.assert_array_equal(few.physical, many.physical[:15])
    np.testing.assert_array_equal(few.physical[10:], later.physical)
    np.testing.assert_array_equal(few.tracer[10:], later.tracer)
    assert (few.physical != other.physical).mean() > 0.9


@pytest.mark.parametrize("shocks", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("step", [100.0, 5000.0])
def test_density_has_the_variance_and_mean_of_turbulence(shocks, step, rng):
    """Federrath et al. 2010: ln(1 + b^2 M^2), and half of it for the mass."""
    config = many(4000, "steps=40", f"shocks={shocks}", f"step={step}")

    logs, shocked = log_density(config, region(), rng)

    expected = np.log(1 + 0.5**2 * 6**2)
    assert (shocked > 0).any() == (shocks > 0)
    for moment in (logs[:, 0], logs[:, -1]):
        np.testing.assert_allclose(moment.var(), expected, rtol=0.08)
        np.testing.assert_allclose(moment.mean(), expected / 2, atol=0.08)


def test_a_turnover_time_is_the_memory(rng):
    """Size over twice the velocity: 0.1 pc / (2 * 6 * 0.188 km/s) = 43.4 kyr."""
    config = many(4000, "steps=101", "shocks=0", "step=434")

    logs, _ = log_density(config, region(), rng)

    x = 2.0  # after one turnover
    alike = np.corrcoef(logs[:, 0], logs[:, 100])[0, 1]
    np.testing.assert_allclose(alike, (1 + x) * np.exp(-x), atol=0.05)


def test_a_shock_compresses_by_its_mach_number_squared(rng):
    config = many(5000, "steps=50", "shocks=1", "step=100")
    endless = region(size=2.0)  # Nothing else happens within the track.

    logs, shocks = log_density(config, endless, rng)

    rows, steps = np.nonzero(shocks[:, 1:])
    assert len(rows) > 20
    jumps = np.diff(logs)[rows, steps]
    np.testing.assert_allclose(np.exp(jumps), shocks[rows, steps + 1] ** 2, rtol=0.05)


def test_shocks_have_a_power_law_of_mach_numbers():
    config = compose("weakest=1.5", "steepness=2")
    quantiles = (np.arange(100_000) + 0.5) / 100_000

    mach = shock_mach(config, region(mach=6.0), quantiles)

    assert (mach.min(), mach.max()) == pytest.approx((1.5, 6.0), rel=1e-3)
    above = (3.0**-2 - 6.0**-2) / (1.5**-2 - 6.0**-2)
    np.testing.assert_allclose((mach > 3).mean(), above, rtol=1e-3)
    assert (shock_mach(config, region(mach=1.4), quantiles) == 1).all()


def test_shocked_gas_is_hot_and_cools_by_e_in_a_cooling_time():
    shocks = np.zeros((2, 6))
    shocks[0, 1] = 3.0
    cooling = np.full((2, 6), 200.0)

    excess = excess_heat(shocks, 100.0, cooling)

    # Rankine and Hugoniot of index 5/3 at Mach 3: 44 * 12 / 144.
    time = np.linspace(0, 100, 100_001)
    first = np.mean((44 * 12 / 144 - 1) * np.exp(-time / 200))
    expected = np.zeros((2, 6))
    expected[0, 1:] = first * np.exp(-0.5 * np.arange(5))
    np.testing.assert_allclose(excess, expected, rtol=1e-4)
    assert (excess_heat(shocks, 100.0, 0 * cooling) == 0).all()


def test_hot_gas_is_in_pressure_balance():
    """The shock's pressure is there at once, whatever the gas has cooled to."""
    hot = simulate(compose("cooling=1e5"), np.random.default_rng(3))
    cold = simulate(compose("cooling=0"), np.random.default_rng(3))

    warm = hot[..., 3] > 1.5 * cold[..., 3]
    assert warm.sum() > 50
    assert cold[..., 3].max() < 400  # so that no temperature is limited
    product = hot[..., 0] * hot[..., 3] / (cold[..., 0] * cold[..., 3])
    np.testing.assert_allclose(product[hot[..., 3] < 800], 1.0, rtol=1e-6)


def test_wandering_keeps_its_variance(rng):
    values = wander(rng, (20_000, 30), 0.9)

    np.testing.assert_allclose(values.var(0), 1, rtol=0.06)
    assert wander(rng, (4, 1), 0.9).shape == (4, 1)


def test_running_mean_follows_with_the_memory():
    step = np.zeros((1, 50))
    step[:, 1:] = 1.0

    np.testing.assert_allclose(
        running_mean(step, 0.9)[0], 1 - 0.9 ** np.arange(50), atol=1e-12
    )


def test_dust_is_as_warm_as_hocuk_says():
    """T = (11 + 5.7 tanh(0.61 - log10 Av)) chi^(1/5.9), chi in Draine's field."""
    found = gas.dust_temperature(
        np.array([1.7, 1.7, 170.0]), np.array([1.0, 30.0, 1.0])
    )

    np.testing.assert_allclose(found, [14.101, 7.0105, 30.78], rtol=1e-3)


def test_dark_gas_is_as_cold_as_observed():
    """About 10 K in shielded gas of 1e4 to 1e5, dust's own temperature beyond."""
    density = np.array([1e4, 1e5, 1e8])
    dust = np.array([8.0, 8.0, 8.0])

    found = gas.gas_temperature(density, 1.0, 10.0, 1.0, dust)

    assert (found[:2] > 8).all()
    assert (found[:2] < 13).all()
    np.testing.assert_allclose(found[2], 8.0, rtol=0.01)


def test_gas_warms_with_what_heats_it():
    density = np.array(1e3)
    calm = gas.gas_temperature(density, 1.0, 2.0, 1.0, 12.0)

    assert gas.gas_temperature(density, 100.0, 2.0, 1.0, 12.0) > calm
    assert gas.gas_temperature(density, 1.0, 2.0, 30.0, 12.0) > calm
    assert gas.gas_temperature(density, 1.0, 0.2, 1.0, 12.0) > calm


def test_carbon_is_ionised_outside_and_in_co_inside():
    share = gas.ionised_carbon(1e4, 1.0, np.array([0.1, 1.0, 10.0, 5000.0]))

    assert (np.diff(share) <= 0).all()
    assert share[0] > 0.9
    assert share[2:].max() < 1e-5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "mach=[5,2]",
            r"tracks\.mach is \[5\.0, 2\.0\]; give two numbers, the smaller",
        ),
        ("mach=[5]", "give two numbers"),
        ("mach=[0.5,2]", r"must lie in \[1, 100\]"),
        ("limits.Av=[0,3]", r"tracks\.limits\.Av is \[0, 3\]; give two positive"),
        ("limits.Av=3", "give two positive numbers"),
        ("simulations=0", "tracks.simulations is 0"),
        ("speed=3", "speed"),
    ],
)
def test_wrong_settings_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        compose(override)


def test_limits_of_what_is_no_parameter_are_refused(tmp_path):
    config = replace(compose(), limits={"AV": [1, 2]})

    with pytest.raises(InputError, match=r"limits\.AV: .* Density, Radfield, Av"):
        make_tracks(config, tmp_path / "t.h5")
    assert not list(tmp_path.iterdir())


def test_command(cli, tmp_path):
    out = tmp_path / "t.h5"
    words = ("data", "tracks", "turbulent", out, "simulations=2", "tracks.steps=10")

    done, again = cli(*words), cli(*words)

    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == (
        f"{out}: 6 tracks of 2 simulations from number 1000 on, 10 steps of 500 yr "
        "(5000 yr)"
    )
    assert again.exit_code == 2
    assert "exists; give another name or --overwrite" in again.stderr
    assert cli(*words, "--overwrite").exit_code == 0
    assert cli("data", "inspect", out).exit_code == 0


def test_command_with_an_unknown_kind(cli, tmp_path):
    failed = cli("data", "tracks", "laminar", tmp_path / "t.h5")

    assert failed.exit_code == 2
    assert "laminar" in failed.stderr
    assert "turbulent" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_the_sample_that_ships():
    path = ROOT / "data" / "turbulent.h5"
    with TracerStore(path) as store, TracerStore(ROOT / "data" / "grav.h5") as grav:
        split = {code: store.simulation[store.split == code] for code in range(3)}
        assert store.parameters[4:] == ("zeta", "dustTemp")
        assert not set(store.simulation) & set(grav.simulation)
        matrix, _ = stoichiometric_matrix(store.species, store.elements)
        totals = [
            element_totals(block.abundances, matrix)
            for block in store.blocks(store.rows("test"))
        ]
    assert path.stat().st_size <= 8e6
    assert [len(one) for one in split.values()] == [49, 11, 11]
    assert len(set(np.concatenate([*split.values()]))) == 71
    for one in totals:
        np.testing.assert_allclose(one, one[:, :1].repeat(121, 1), rtol=3e-5)


def test_an_ionised_h2_heats_by_the_energy_that_is_asked_for():
    # Thin, shielded, cold gas: twice the heat is what twice the ionisation gives.
    given = (np.array([1e3, 1e4]), 1e-4, 30.0)

    twice = gas.gas_temperature(*given, 1.0, 10.0, 2 * gas.RAY_ENERGY)

    np.testing.assert_allclose(twice, gas.gas_temperature(*given, 2.0, 10.0), rtol=1e-6)
    erg = gas._H2_IONISED * 2 / 1.3e-17  # of one eV: two H nuclei make an H2
    assert erg == pytest.approx(1.602e-12, rel=2e-3)
