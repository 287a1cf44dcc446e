"""UCLCHEM's standard models, against figures of UCLCHEM 3.5.5 and formulas."""

import numpy as np
import pytest

from astrokeras.config import compose_tracks
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.trajectories.make import make_tracks
from astrokeras.trajectories.standard import free_fall, shock_profile

NAMES = ["static4", "static5", "freefall", "hotcore", "cshock"]


def compose(*overrides):
    return compose_tracks("standard", [f"tracks.{one}" for one in overrides])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return time and parameters of each model by its name."""
    path = tmp_path_factory.mktemp("standard") / "t.h5"
    make_tracks(compose(), path)
    with TracerStore(path, need_abundances=False) as store:
        tracks = store.read(slice(None))
        assert store.families() == NAMES
        assert tracks.tracer.tolist() == [900, 901, 902, 903, 904]
        parameters = store.parameters
    return {
        name: (tracks.time[i], dict(zip(parameters, tracks.physical[i].T, strict=True)))
        for i, name in enumerate(NAMES)
    }


def test_intervals_can_be_solved(models):
    for time, _ in models.values():
        assert np.diff(time).min() >= 10
    assert [models[name][0][-1] for name in NAMES] == pytest.approx(
        [5e6, 5e6, 6e6, 7e6, 7e6]
    )


def test_static_clouds_rest(models):
    """Av = 1 + n 0.1 pc / 1.6e21 cm^-2; half of the column shields."""
    for name, density in (("static4", 1e4), ("static5", 1e5)):
        _, gas = models[name]
        column = density * 0.1 * 3.086e18
        for parameter, value in (
            ("Density", density),
            ("gasTemp", 10),
            ("dustTemp", 10),
            ("Av", 1 + column / 1.6e21),
            ("NH2", 0.25 * column),
            ("NCO", 0.5e-5 * column),
            ("Radfield", 1),
            ("zeta", 1),
        ):
            np.testing.assert_allclose(gas[parameter], value, rtol=1e-6)


def test_gas_falls_as_the_equation_of_rawlings_says():
    years, density = free_fall(1e2, 1e6)
    chosen = np.arange(100, len(years) - 100, 500)

    speed = np.gradient(density, years * 3.16e7)[chosen]

    n = density[chosen]
    expected = (n**4 / 1e2) ** 0.33 * np.sqrt(8.4e-30 * 1e2 * ((n / 1e2) ** 0.33 - 1))
    np.testing.assert_allclose(speed, expected, rtol=1e-3)


def test_a_hot_core_warms_up_after_its_collapse(models):
    time, gas = models["hotcore"]
    age = time[60:] - time[60]
    assert age[0] == 0
    assert time[60] == pytest.approx(6e6)
    assert (gas["gasTemp"][:60] == 10).all()
    assert (np.diff(gas["Density"][:60]) > -1).all()
    np.testing.assert_allclose(gas["Density"][60:], 1e6, rtol=1e-5)

    ends = np.minimum(10 + 7.847e-3 * age**0.8395, 300)
    assert (gas["gasTemp"][60:] >= ends[:-1] * (1 - 1e-6)).all()
    assert (gas["gasTemp"][60:] <= ends[1:] * (1 + 1e-6)).all()
    np.testing.assert_array_equal(gas["gasTemp"], gas["dustTemp"])


def test_a_shock_slows_down_to_the_speed_that_uclchem_iterates_to():
    density, temperature = shock_profile(compose(), np.array([0.0, 1e6]))

    alfven, speed, end = 1e-6 / np.sqrt(4 * np.pi * 1.67262164e-24) / 1e5, 20.0, 2.0
    for _ in range(200):
        end = np.sqrt(alfven**2 * speed**2 / (alfven**2 + 2 * end * (speed - end)))
    np.testing.assert_allclose(density, [1e4, 1e4 * speed / end], rtol=1e-6)
    np.testing.assert_allclose(temperature, 10, rtol=1e-3)


def test_models_are_those_that_uclchem_runs():
    """Rows of output of UCLCHEM 3.5.5, whose free fall has the tolerance 1e-4."""
    years, density = free_fall(1e2, 1e6)
    fallen = np.interp([1.2e6, 3.1e6, 5.0e6], years, density)
    np.testing.assert_allclose(fallen, [112.1267, 224.6131, 5178.18], rtol=4e-3)

    times = np.array([70.31392, 316.41266, 937.51899, 1558.62532, 2168.01266])
    density, temperature = shock_profile(compose(), times)
    known = [10396.98, 15673.38, 30189.83, 39256.45, 44509.55]
    np.testing.assert_allclose(density, known, rtol=1e-4)
    known = [12.95066, 438.3879, 787.1275, 416.4685, 189.8616]
    np.testing.assert_allclose(temperature, known, rtol=1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("models=[jshock]", r"tracks\.models holds 'jshock'; give names among static4"),
        ("final_density=50", r"tracks\.final_density is 50; give a higher density"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, override, message):
    with pytest.raises(InputError, match=message):
        make_tracks(compose("models=[freefall]", override), tmp_path / "t.h5")
    assert not list(tmp_path.iterdir())


def test_a_star_of_another_mass_is_refused():
    with pytest.raises(InputError, match=r"star_mass is 12; allowed are: 1, 5, 10"):
        compose("star_mass=12")
