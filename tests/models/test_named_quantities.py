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
from astrokeras.models.named_quantities import held_values
from astrokeras.trajectories.intervals import times_between

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

    def test_a_misspelt_option_is_no_parameter(self, surrogate):
        with pytest.raises(InputError, match="has specis; did you mean 'species'"):
            surrogate.static(**HELD, specis=["CO"])

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
        time=times,
        return_expected_error=True,
        substep=True,
        **HELD | {"Av": [12.0, 18.0]},
    )

    assert len(years) == 5
    assert found[0].shape == (2, 2, len(SPECIES))
    np.testing.assert_array_equal(found[0], expected)


# Three parts of 500 years and one of 150: the compiled program has four intervals.
LONG = [0.0, 500.0, 650.0]
FINE, STATES = [0.0, 500 / 3, 1000 / 3, 500.0, 650.0], [3, 4]
WHOLE = {"return_sigma": True, "return_expected_error": True, "return_status": True}


class TestSubsteps:
    def by_hand(self, surrogate, parts, fine, states):
        physical = PHYSICAL[:, parts]
        return surrogate.emulate(X, physical, fine, state_indices=states, **WHOLE)

    def expected(self, surrogate):
        return self.by_hand(surrogate, [0, 0, 0, 1], FINE, STATES)

    def test_a_long_interval_is_its_parts(self, surrogate):
        found = surrogate.emulate(X, PHYSICAL[:, :2], LONG, substep=True, **WHOLE)

        expected = self.expected(surrogate)
        assert (expected[2] > 0).all()
        np.testing.assert_array_equal(found[0][:, 0], X)
        for values, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(values[:, 1:], wanted)

    def test_each_tracer_has_its_own_parts(self, surrogate):
        times = np.array([LONG, [0.0, 150.0, 650.0]])
        second = self.by_hand(
            surrogate, [0, 1, 1, 1], [0.0, 150.0, 950 / 3, 1450 / 3, 650.0], [1, 4]
        )

        found = surrogate.emulate(X, PHYSICAL[:, :2], times, substep=True, **WHOLE)

        for values, one, other in zip(
            found, self.expected(surrogate), second, strict=True
        ):
            np.testing.assert_allclose(values[0, 1:], one[0], rtol=1e-5)
            np.testing.assert_allclose(values[1, 1:], other[1], rtol=1e-5)

    def test_rejected_tracers_do_not_hinder_others(self, surrogate):
        times = np.array([LONG, [0.0, 10.0, 1500.0]])
        options = {"on_error": "flag", "substep": True, **WHOLE}

        found = surrogate.emulate(X, PHYSICAL[:, :2], times, **options)

        for values, wanted in zip(found, self.expected(surrogate), strict=True):
            np.testing.assert_array_equal(values[0, 1:], wanted[0])
        assert np.isnan(found[0][1]).all()
        assert (found[-1][1] == 2).all()

    def test_nothing_is_split_of_nothing(self, surrogate):
        found = surrogate.emulate(X[:0], PHYSICAL[:0, :2], LONG, substep=True)
        assert found.shape == (0, 3, len(SPECIES))

    def test_a_fallback_gets_the_requested_times(self, surrogate):
        given = []

        def solve(initial, physical, time):
            given.append((physical.shape, time.tolist()))
            return np.repeat(initial[:, None], 3, axis=1)

        found = surrogate.emulate(
            X, PHYSICAL[:, :2], LONG, substep=True, fallback=solve
        )

        assert given == [((2, 2, 3), [LONG] * 2)]
        np.testing.assert_array_equal(found, np.repeat(X[:, None], 3, axis=1))

    def test_covers_knows_them(self, surrogate):
        plain = surrogate.replace(trust=None, t_max=600.0)
        physical = PHYSICAL[:, :2]

        assert not plain.covers(X, physical, LONG).any()
        covered = plain.covers(X, physical, LONG, substep=True)
        assert covered.tolist() == [[True, False]] * 2

    @pytest.mark.parametrize(
        ("years", "options", "message"),
        [
            (650.0, {}, "650 yr for tracer 0; .* 200 yr, substep=True splits longer"),
            (10.0, {}, "10 yr .* knows no shorter ones, leave out states in between"),
            (10.0, {"substep": True}, "10 yr .* knows no shorter ones"),
            (-5.0, {"substep": True}, "-5 yr .* give times that increase"),
            (1e9, {"substep": True}, "1e.09 yr .* do not add up to it"),
            (650.0, {"substep": "yes"}, "substep is 'yes'; give True or False"),
        ],
    )
    def test_others_are_refused_with_the_reason(
        self, surrogate, years, options, message
    ):
        with pytest.raises(InputError, match=message):
            surrogate.emulate(X, PHYSICAL, years, **options)


CLOUD = {"initialdens": 20, "radfield": 15, "finaltime": 400}


class TestClouds:
    def test_a_track_has_the_parameters_of_the_surrogate(self, surrogate):
        physical, years = surrogate.uclchem_track(CLOUD | {"rout": 5.0})

        assert list(physical) == list(PARAMETERS)
        assert years[-1] == 400
        assert np.diff(years).min() >= 50 * 0.999
        av = 2 + 20 * 5 * 3.086e18 / 1.6e21
        for name, value in (("Density", 20), ("Radfield", 15), ("Av", av)):
            np.testing.assert_allclose(physical[name], np.full(len(years) - 1, value))

    def test_a_constant_of_training_is_not_overruled(self, surrogate):
        assert surrogate.uclchem_track(CLOUD | {"zeta": 1.0})
        with pytest.raises(
            InputError, match=r"zeta is 3, .* trained with zeta = 1 alo"
        ):
            surrogate.uclchem_track(CLOUD | {"zeta": 3})

    def test_a_parameter_of_another_kind_is_said(self, surrogate):
        kept = surrogate.metadata
        names = ("Density", "Radfield", "dstep")
        surrogate.metadata = replace(
            kept, parameters=names, parameter_ranges=dict.fromkeys(names, (1, 2))
        )
        try:
            with pytest.raises(InputError, match="takes dstep, which UCLCHEM's clouds"):
                surrogate.uclchem_track(CLOUD)
        finally:
            surrogate.metadata = kept


class TestByName:
    def test_species_and_total_ice(self, surrogate):
        x = TRACERS.abundances
        found = surrogate.select_species(x, ["CO", "$H2O"])

        at = [SPECIES.index(name) for name in ("CO", "#H2O", "@H2O")]
        expected = np.stack([x[..., at[0]], x[..., at[1]] + x[..., at[2]]], axis=-1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert surrogate.select_species(x[0, 0], "CO").shape == (1,)
        with pytest.raises(InputError, match=r"species 'co' .* did you mean 'CO'"):
            surrogate.select_species(x, ["co"])

    def test_element_totals_count_the_atoms(self, surrogate):
        x = TRACERS.abundances
        totals = surrogate.element_totals(x)

        assert list(totals) == list(surrogate.elements)
        carbon = sum(
            x[..., i].astype("f8") * name.count("C") for i, name in enumerate(SPECIES)
        )
        np.testing.assert_allclose(totals["C"], carbon, rtol=1e-6)
        frame = pd.DataFrame(x[0], columns=list(SPECIES)).iloc[:, ::-1]
        np.testing.assert_allclose(surrogate.element_totals(frame)["C"], carbon[0])
        with pytest.raises(InputError, match=r"shape \(2,\); the last axis must hold"):
            surrogate.element_totals([1e-4, 1e-5])


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
