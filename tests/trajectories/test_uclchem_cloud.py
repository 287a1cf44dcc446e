"""Tracks of UCLCHEM's clouds, against its equations integrated by SciPy."""

import numpy as np
import pytest

from astrokeras.errors import InputError
from astrokeras.trajectories.uclchem_cloud import CHEMISTRY, cloud_track

DT_RANGE = (10.0, 1e5)
PARSEC, YEAR = 3.086e18, 3.16e7  # cm and s, as in UCLCHEM


def density_of(initial, final, factor, times):
    """Return the densities of a free fall at some times, years, by SciPy."""
    integrate = pytest.importorskip("scipy.integrate")

    def growth(_, n):
        fall = (n**4 / initial) ** 0.33
        fall = fall * (8.4e-30 * initial * ((n / initial) ** 0.33 - 1)) ** 0.5
        return np.where(n < final, factor * fall, 0.0)

    solved = integrate.solve_ivp(
        growth,
        (0, times[-1] * YEAR),
        [1.001 * initial],
        "LSODA",
        t_eval=times * YEAR,
        rtol=1e-8,
        max_step=0.01 * times[-1] * YEAR,
    )
    return solved.y[0]


def test_a_static_cloud_has_its_parameters_throughout():
    params = {"initialDens": 2e4, "INITIALTEMP": 15, "rout": 0.3, "rin": 0.1}
    params |= {"baseav": 1.5, "zeta": 2, "radfield": 3, "finaltime": 1e6}

    track, years = cloud_track(params, DT_RANGE)

    column = 2e4 * 0.2 * PARSEC
    expected = {
        "Density": 2e4,
        "Radfield": 3,
        "Av": 1.5 + column / 1.6e21,
        "gasTemp": 15,
        "dustTemp": 15,
        "zeta": 2,
        "NH2": 0.5 * 0.5 * column,
        "NCO": 0.5e-5 * column,
    }
    assert years[0] == 0
    assert years[-1] == 1e6
    assert set(track) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(track[name], np.full(len(years) - 1, value))


def test_no_parameters_are_the_defaults_of_uclchem():
    track, years = cloud_track({}, DT_RANGE)
    assert years[-1] == 5e6
    assert track["Density"][0] == 100
    np.testing.assert_allclose(track["Av"], 2 + 100 * 0.05 * PARSEC / 1.6e21)
    assert (track["gasTemp"][0], track["zeta"][0], track["Radfield"][0]) == (10, 1, 1)


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_a_free_fall_is_that_of_the_equation(factor):
    params = {"initialdens": 1e4, "finaldens": 1e6, "freefall": True}
    params |= {"finaltime": 7e5 / factor, "freefallFactor": factor, "rout": 0.1}

    track, years = cloud_track(params, DT_RANGE)

    fine = np.linspace(0, years[-1], 40_001)
    density = density_of(1e4, 1e6, factor, fine)
    passed = np.concatenate(
        [[0], np.cumsum(np.diff(fine) * (density[1:] + density[:-1]) / 2)]
    )
    means = np.diff(np.interp(years, fine, passed)) / np.diff(years)
    np.testing.assert_allclose(track["Density"], means, rtol=2e-3)
    np.testing.assert_allclose(
        track["Av"], 2 + track["Density"] * 0.1 * PARSEC / 1.6e21, rtol=1e-6
    )
    assert track["Density"].max() == pytest.approx(1e6)
    assert np.diff(np.log10(track["Density"])).max() < 0.101


def test_a_free_fall_is_that_of_uclchem():
    """Rows of output of UCLCHEM 3.5.5 with these parameters."""
    params = {"initialdens": 1e6, "finaldens": 1e7, "freefall": True}
    params |= {"freefallfactor": 0.5, "finaltime": 8e4, "rout": 0.01, "rin": 0.002}

    track, years = cloud_track(params | {"baseav": 1.5}, (1.0, 200.0))

    middle = (years[1:] + years[:-1]) / 2
    times = np.array([2e3, 1e4, 4e4, 7e4])
    density, av = (np.interp(times, middle, track[name]) for name in ("Density", "Av"))
    np.testing.assert_allclose(
        density, [1.003e6, 1.0217e6, 1.2929e6, 2.3841e6], rtol=1e-3
    )
    np.testing.assert_allclose(av, [16.976, 17.265, 21.450, 38.287], rtol=1e-3)


def test_a_model_may_end_at_its_final_density():
    params = {"initialdens": 1e4, "finaldens": 1e6, "freefall": True}
    track, years = cloud_track(params | {"endAtFinalDensity": True}, DT_RANGE)

    density = density_of(1e4, 1e6, 1.0, years)
    assert density[-2] < 1e6
    assert density[-1] == pytest.approx(1e6, rel=1e-2)
    assert track["Density"][-1] < 1e6


def test_what_does_not_matter_is_taken():
    params = {"outputFile": "x.dat", "reltol": 1e-6, "outSpecies": ["CO"], "bm0": 2}
    usual = {name: value for name, value in CHEMISTRY.items() if value is not None}

    expected, _ = cloud_track({"finaltime": 1e4}, DT_RANGE)
    found, _ = cloud_track(params | usual | {"finaltime": 1e4, "alpha": {}}, DT_RANGE)

    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"initaldens": 1e4}, "'initaldens' is not .*; did you mean 'initialDens'"),
        ({"vorticity": 1}, "'vorticity' is not .*; give initialDens, finalDens"),
        ({1: 1}, "1 is not a parameter of UCLCHEM's clouds; give"),
        ({"fc": 1e-4}, "fc is 0.0001, which changes the chemistry; .* 0.000177: leave"),
        ({"desorb": False}, "desorb is False, which .* default, True: leave it out"),
        ({"cosmicRayAttenuation": True}, "cosmicRayAttenuation is True, which"),
        ({"alpha": {1: 2.0}}, r"alpha is \{1: 2.0\}, which changes .* default: leave"),
        ({"abundLoadFile": "a.csv"}, "give the abundances of the file as `initial`"),
        ({"points": 3}, "points is 3; a track is that of one parcel"),
        ({"shock_vel": 20}, "shock_vel belongs to UCLCHEM's model cshock or jshock;"),
        (
            {"temp_indx": 3},
            "temp_indx belongs to UCLCHEM's model hot_core; .* standard",
        ),
        ({"initialdens": "dense"}, "initialDens is 'dense'; give a finite number"),
        ({"initialtemp": 0}, "initialTemp is 0; give a positive number"),
        ({"freefall": 1}, "freefall is 1; give True or False"),
        ({"rin": 0.1}, "rout is 0.05 pc; give more than rin, 0.1 pc"),
        ({"endatfinaldensity": True}, "endAtFinalDensity is True without freefall"),
        ({"freefall": True, "finaldens": 100}, "finalDens is 100 .* initialDens, 100"),
        ({"zeta": 1, "Zeta": 1}, "zeta is given twice, as Zeta too"),
        ({"finaltime": 3}, "no number of the trained intervals of 10 to 100000 yr"),
        ([("zeta", 1)], "give a dictionary of UCLCHEM's parameters"),
    ],
)
def test_others_are_refused_by_name(params, message):
    with pytest.raises(InputError, match=message) as refused:
        cloud_track(params, DT_RANGE)
    assert "\n" not in str(refused.value)
