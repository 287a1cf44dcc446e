"""Names in, names out: `static`, and rollouts as xarray's datasets."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from surrogates import make_surrogate, make_trust
from tiny import PARAMETERS, SPECIES, make_tracers

from astrokeras.data.tracers.block import to_dataset
from astrokeras.errors import InputError
from astrokeras.models.static_gas import held_values, times_between

TRACERS = make_tracers().take(np.arange(2))
X, PHYSICAL, TIME = (
    TRACERS.abundances[:, 0],
    TRACERS.physical[:, :4],
    TRACERS.time[:, :5],
)
# Arguments of one compiled program for all tests.
SAME = {"state_indices": [1, -1], "return_expected_error": True}
HELD = {"Density": 20.0, "Radfield": 15.0, "Av": 12.0}


@pytest.fixture(scope="module")
def surrogate():
    rng = np.random.default_rng(0)
    plain = make_surrogate(rng, use_timestep=True, dt_range=(50.0, 200.0))
    return plain.replace(trust=make_trust(rng))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class TestTimes:
    @pytest.mark.parametrize("dt_range", [(92.9, 2970.0), (500.0, 16000.0), (1, 1e5)])
    @pytest.mark.parametrize("times", [[1e6], [0, 600, 1800, 1e5], [3000, 3600]])
    def test_intervals_lie_within_the_trained_ones(self, dt_range, times):
        years, states = times_between(times, dt_range)

        steps = np.diff(years)
        assert steps.min() >= dt_range[0] * (1 - 6e-4)
        assert steps.max() <= dt_range[1] * (1 + 6e-4)
        assert years[0] == 0
        np.testing.assert_array_equal(years[states], times)
        # Long intervals only where the gas is old.
        assert (steps <= np.maximum(1.25 * dt_range[0], 0.7 * years[1:])).all()

    def test_one_trained_interval_is_repeated(self):
        years, states = times_between([200.0, 1000.0], (100.0, 100.0))

        np.testing.assert_allclose(years, 100.0 * np.arange(11))
        assert states.tolist() == [2, 10]

    @pytest.mark.parametrize(
        ("time", "message"),
        [
            (130.0, "130 yr from 0 to 130 yr, to which no number of the trained"),
            ([100, 50], "positive and increasing"),
            (0.0, "positive and increasing"),
            (np.nan, "positive and increasing"),
            (1e12, "only 1e.10 of the trained intervals"),
        ],
    )
    def test_other_times_are_refused(self, time, message):
        with pytest.raises(InputError, match=message):
            times_between(time, (100.0, 100.0))


class TestHeldValues:
    def test_assumed_parameters_may_be_missing(self, surrogate):
        names = ("gasTemp", "dustTemp", "zeta", "Av", "NH2", "NCO")
        limits = replace(
            surrogate.metadata,
            parameters=names,
            units=("K", "K", "1.3e-17 s^-1", "mag", "cm^-2", "cm^-2"),
            parameter_ranges=dict.fromkeys(names, (1.0, 2.0)),
        )
        found = held_values(limits, {"GasTemp": [15.0, 20.0], "Av": 3})
        assert {name: x.tolist() for name, x in found.items()} == {
            "gasTemp": [15.0, 20.0],
            "Av": 3.0,
            "dustTemp": [15.0, 20.0],
            "zeta": 1.0,
        }
        assert held_values(limits, {"gasTemp": 15, "Av": 3, "zeta": 7})["zeta"] == 7.0

    def test_others_are_refused_by_name(self, surrogate):
        missing = {"Density": 20.0, "Radfeld": 15.0}
        with pytest.raises(
            InputError, match=r"lacks Radfield, Av and also has Radfeld; did you mean"
        ):
            surrogate.static(**missing)
        with pytest.raises(InputError, match=r"lacks Av; this surrogate has"):
            surrogate.static(Density=20.0, Radfield=15.0)
        with pytest.raises(InputError, match=r"Av has shape \(1, 2\)"):
            surrogate.static(**HELD | {"Av": [[1.0, 2.0]]})


def test_named_inputs_give_what_arrays_give(surrogate):
    expected = surrogate.emulate(X, PHYSICAL, TIME, **SAME)
    initial = pd.DataFrame(X, columns=list(SPECIES)).iloc[:, ::-1]
    physical = {name: PHYSICAL[..., i] for i, name in enumerate(PARAMETERS)}
    backwards = dict(reversed(physical.items()))

    found = surrogate.emulate(initial, backwards, TIME, **SAME)

    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)
    with pytest.raises(InputError, match=r"it lacks #H2O[;.]"):
        surrogate.emulate(initial.drop(columns="#H2O"), PHYSICAL, TIME)


def test_static_gas_is_gas_at_constant_parameters(surrogate):
    times = [100.0, 200.0]
    years, states = times_between(times, (50.0, 200.0))
    held = np.array([[20.0, 15.0, 12.0], [20.0, 15.0, 18.0]])
    physical = np.repeat(held[:, None], len(years) - 1, axis=1)
    options = SAME | {"state_indices": states}
    expected, _ = surrogate.emulate("tiny", physical, years, **options)

    found = surrogate.static(
        time=times, return_expected_error=True, **HELD | {"Av": [12.0, 18.0]}
    )

    assert len(years) == 5
    assert found[0].shape == (2, 2, len(SPECIES))
    np.testing.assert_array_equal(found[0], expected)


class TestXarray:
    @pytest.fixture(autouse=True)
    def needs_xarray(self):
        pytest.importorskip("xarray")

    def test_a_dataset_holds_what_arrays_hold(self, surrogate, tmp_path):
        import xarray

        pytest.importorskip("h5netcdf")
        names = ("abundances", "sigma", "expected_error", "reliable", "status")
        wanted = {f"return_{name}": True for name in names[1:]}
        x = surrogate.emulate(X, PHYSICAL, TIME, **SAME | wanted)
        emulated = surrogate.emulate(
            X, PHYSICAL, TIME, output="xarray", **SAME | {"return_sigma": True}
        )
        emulated.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")

        with xarray.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as dataset:
            assert dict(dataset.sizes) == {"tracer": 2, "time": 2, "species": 10}
            np.testing.assert_array_equal(dataset.time, TIME[0, [1, -1]])
            assert dataset.time.units == "yr"
            for name, values in zip(names, x, strict=True):
                np.testing.assert_array_equal(dataset[name], values)
                assert dataset[name].dtype == values.dtype
            assert dataset.parameters == "Density [cm^-3], Radfield [Habing], Av [mag]"
            assert dataset.source.startswith("astrokeras ")
            assert dataset.status.flag_meanings.split()[0] == "parameter"

    def test_static_gas_has_the_requested_times_alone(self, surrogate):
        dataset = surrogate.static(
            time=[100.0, 200.0], output="xarray", **HELD | {"Av": [12.0, 18.0]}
        )
        assert dataset.time.values.tolist() == [100.0, 200.0]
        assert "sigma" not in dataset

    def test_times_that_differ_are_a_coordinate_of_each_tracer(self):
        time = TIME * [[1.0], [1.1]]
        values = {"x": (PHYSICAL[:, :, 0], {})}
        dataset = to_dataset(values, time[:, 1:], SPECIES, {})

        np.testing.assert_array_equal(dataset.years, time[:, 1:])
        assert dataset.time.values.tolist() == [0, 1, 2, 3]

    def test_an_uncalibrated_surrogate_has_its_status_alone(self, surrogate):
        plain = surrogate.replace(trust=None)
        run = {"name": "mine", "dataset": {"citation": "Me 2026"}}
        provenance = {"configuration": run}
        plain.metadata = replace(plain.metadata, provenance=provenance)
        options = {"species": ["CO", "$H2O"], "state_indices": [0]}
        dataset = plain.emulate(X, PHYSICAL, TIME, output="xarray", **options)

        assert set(dataset.data_vars) == {"abundances", "status"}
        assert (dataset.surrogate, dataset.citation) == ("mine", "Me 2026")
        assert dataset.species.values.tolist() == ["CO", "$H2O"]
        np.testing.assert_allclose(
            dataset.abundances.sel(species="$H2O")[:, 0], X[:, 7] + X[:, 8]
        )


def test_a_missing_xarray_is_one_line(surrogate, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(InputError, match=r"pip install 'astrokeras\[xarray\]'"):
        surrogate.emulate(X, PHYSICAL, TIME, output="xarray")
    with pytest.raises(InputError, match=r"output is 'arrays_'; .* did you mean"):
        surrogate.emulate(X, PHYSICAL, TIME, output="arrays_")
