"""Masks, labels and units of arrays: honoured or refused, at every entry point."""

import datetime
from collections import namedtuple
from types import SimpleNamespace

import frames as raw
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.timestep_features import coarsen
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.models.batched_evolution import apply_fallback
from astrokeras.models.input_checks import (
    RejectedTracers,
    TracerInputs,
    check_abundances,
    check_time,
    shape_physical,
)
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.requested_outputs import EvolvedTracers, RequestedOutputs

UNITS = ("cm^-3", "Habing", "mag")
N, T, S, P = 4, 12, len(SPECIES), len(PARAMETERS)
TRACERS = make_tracers().take(np.arange(N))
X, PHYSICAL, TIME = TRACERS.abundances[:, 0], TRACERS.physical, TRACERS.time
LIMITS = SurrogateMetadata(
    SPECIES,
    PARAMETERS,
    UNITS,
    elements=("H",),
    stoichiometry=np.ones((S, 1)),
    dt_range=(STEP, STEP),
    t_max=1200.0,
    parameter_ranges=dict.fromkeys(PARAMETERS, (1e-9, 1e9)),
    species_ranges=np.tile([[1e-20], [1.0]], S),
)
SCALE = {"yr": 1.0, "kyr": 1e3, "Myr": 1e6}


class Unit:
    """A unit, which is no text."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


class Quantity(np.ndarray):
    """Numbers with a unit, in the manner of astropy."""

    def __new__(cls, values, unit):
        new = np.asarray(values, "float64").view(cls)
        new.unit = Unit(unit)
        return new

    @property
    def value(self):
        return np.asarray(self)

    def to(self, unit):
        if unit == self.unit.name:
            return self
        return Quantity(self.value * SCALE[self.unit.name] / SCALE[unit], unit)


class Pint:
    """Numbers with a unit, in the manner of Pint: arrays made of them lose it."""

    def __init__(self, values, units):
        self.magnitude, self.units = np.asarray(values, "float64"), Unit(units)

    def __array__(self, dtype=None, copy=None):
        return self.magnitude.astype(dtype or "float64")

    def to(self, units):
        found, wanted = SCALE[str(self.units)], SCALE[units]
        return Pint(self.magnitude * found / wanted, units)


class DataArray:
    """An array with labels, in the manner of xarray."""

    def __init__(self, data, dims, coords=None, attrs=None):
        self.data, self.dims, self.attrs = data, dims, attrs or {}
        labels = (coords or {}).items()
        self.coords = {k: SimpleNamespace(values=np.asarray(v)) for k, v in labels}

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.data, dtype)


class AstropyMasked:
    """A masked array, in the manner of astropy."""

    def __init__(self, values, mask):
        self.unmasked, self.mask = values, mask

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.unmasked, dtype)


def mask(values, index=(1,)):
    masked = np.ma.array(values, mask=np.zeros(np.shape(values), bool))
    masked[index] = np.ma.masked
    return masked


def frame(values, columns=SPECIES):
    return pd.DataFrame(values, columns=list(columns))


def swapped(values, columns=SPECIES):
    """Return the same values with their columns in the reverse order."""
    return frame(values, columns).iloc[:, ::-1]


def read_abundances(values):
    return check_abundances(LIMITS, values)


def read_physical(values):
    return shape_physical(LIMITS, values)


def read_time(values):
    return check_time(LIMITS, values, N, T, RejectedTracers(N, False))


def let_solve(values):
    """Return what emulate answers if a user's solver returns these values."""
    given = TracerInputs(X, PHYSICAL, TIME, np.zeros(N, "u1"))
    states, zeros = np.zeros((N, T + 1, S), "f4"), np.zeros((N, T + 1), "f4")
    evolved = EvolvedTracers(
        states, np.zeros((N, 0, 0)), zeros, np.full(zeros.shape, 4, "u1"), zeros > 0
    )
    wanted = RequestedOutputs(None, np.empty(0), None, conserve=False)
    apply_fallback(evolved, given, wanted, lambda *_: values, SPECIES)
    return evolved.abundances


def make(**change):
    return Tracers(**(vars(TRACERS) | change))


@pytest.fixture
def write(tmp_path):
    """Write tracers after some of their attributes were set; return what is read."""

    def write(extra=None, **change):
        tracers, path = make(), tmp_path / "x.h5"
        vars(tracers).update(change)
        with TracerWriter(
            path,
            species=SPECIES,
            parameters=PARAMETERS,
            units=UNITS,
            states=T + 1,
            attributes={},
            extra={"status": "u1"},
        ) as writer:
            writer.append(tracers, **(extra or {"status": np.zeros((N, T + 1), "u1")}))
        with TracerStore(path) as store:
            return store.read(slice(None))

    return write


class TestMasks:
    @pytest.mark.parametrize(
        ("read", "values"),
        [
            (read_abundances, X),
            (read_physical, PHYSICAL),
            (read_time, TIME),
            (let_solve, TRACERS.abundances),
            (lambda x: make(abundances=x), TRACERS.abundances),
            (lambda x: make(length=x), TRACERS.length),
            (lambda x: coarsen(x, TIME, 3, np.zeros(P, bool)), PHYSICAL),
            (lambda x: coarsen(PHYSICAL, x, 3, np.zeros(P, bool)), TIME),
            (lambda x: as_numbers("latents", x), np.ones((N, 3))),
        ],
    )
    def test_masked_values_are_refused_everywhere(self, read, values):
        kept = read(np.ma.array(values, mask=False))
        if isinstance(kept, np.ndarray):
            np.testing.assert_array_equal(kept, read(values))
        index = (1,) + (0,) * (values.ndim - 1)
        shown = ", ".join(map(str, index)) + "," * (values.ndim == 1)
        with pytest.raises(InputError, match=rf"1 masked .* index \({shown}\); fill"):
            read(mask(values, index))

    def test_of_a_written_dataset_too(self, write):
        for name in ("abundances", "physical", "time", "tracer", "simulation", "split"):
            values = getattr(TRACERS, name)
            with pytest.raises(InputError, match=f"{name} has .* masked values"):
                write(**{name: mask(values)})
        with pytest.raises(InputError, match="status has 13 masked values"):
            write({"status": mask(np.zeros((N, T + 1), "u1"))})

    @pytest.mark.parametrize(
        "values",
        [
            [mask(x) for x in X],
            [[*x[:-1], np.ma.masked] for x in X],
            (mask(X), mask(X)),
            AstropyMasked(X, np.arange(X.size).reshape(X.shape) == 3),
            DataArray(mask(X), ("tracer", "species"), {"species": SPECIES}),
        ],
        ids=["list of arrays", "constant", "tuple", "astropy", "in a DataArray"],
    )
    def test_within_others_too(self, values):
        with pytest.raises(InputError, match="masked values, the first at index"):
            read_abundances(values)


class TestLabels:
    columns = st.permutations(SPECIES)

    @settings(max_examples=30)
    @given(columns, st.sampled_from(["frame", "arrow", "dataarray", "list", "series"]))
    def test_the_order_of_columns_does_not_matter(self, order, kind):
        values = X[:, [SPECIES.index(name) for name in order]]
        labelled = {
            "frame": lambda: frame(values, order),
            "arrow": lambda: pa.table(dict(zip(order, values.T, strict=True))),
            "dataarray": lambda: DataArray(values, ("n", "s"), {"s": order}),
            "list": lambda: [pd.Series(x, order) for x in values],
            "series": lambda: pd.Series(values[0], order),
        }[kind]()
        expected = X[0] if kind == "series" else X
        np.testing.assert_array_equal(
            read_abundances(labelled), read_abundances(expected)
        )

    @settings(max_examples=30)
    @given(columns, st.integers(0, S - 1), st.sampled_from(["drop", "add", "repeat"]))
    def test_other_columns_are_refused(self, order, place, fault):
        whole = frame(X)[order]
        broken, message = {
            "drop": (whole.drop(columns=order[place]), f"lacks {order[place]}"),
            "add": (whole.assign(Time=1.0), "also has Time"),
            "repeat": (whole[[*order, order[place]]], f"repeats {order[place]}"),
        }[fault]
        with pytest.raises(InputError) as error:
            read_abundances(broken)
        assert message in str(error.value)

    def test_parameters_are_matched_by_name(self):
        expected = shape_physical(LIMITS, PHYSICAL)
        frames = [swapped(one, PARAMETERS) for one in PHYSICAL]
        np.testing.assert_array_equal(read_physical(frames), expected)
        np.testing.assert_array_equal(read_physical(frames[0]), expected[:1])
        dims, coords = ("n", "t", "p"), {"p": PARAMETERS[::-1], "n": range(N)}
        array = DataArray(PHYSICAL[..., ::-1], dims, coords)
        np.testing.assert_array_equal(read_physical(array), expected)

    def test_what_a_solver_returns_and_what_is_written(self, write):
        frames = [swapped(one) for one in TRACERS.abundances]
        np.testing.assert_array_equal(let_solve(frames), TRACERS.abundances)
        read = write(
            abundances=frames, physical=[swapped(one, PARAMETERS) for one in PHYSICAL]
        )
        np.testing.assert_array_equal(read.abundances, TRACERS.abundances)
        np.testing.assert_array_equal(read.physical, PHYSICAL)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (pd.Series(X[0]), r"no names on its last axis .* \(`.to_numpy\(\)`\)"),
            (pd.DataFrame(X), "no names on its last axis"),
            (DataArray(X, ("n", "species")), "no names on its last axis"),
            (frame(X).T, "names on an axis other than the last; transpose"),
            (
                DataArray(X.T, ("species", "n"), {"species": SPECIES}),
                "names on an axis other than the last; transpose",
            ),
            (frame(X).iloc[::-1], "not consecutive numbers, first 2 at position 1"),
            (frame(X).iloc[[0, 2]], "not consecutive numbers, first 2 at position 1"),
            (frame(X).set_index(pd.Index(list("abcd"))), "first 'a' at position 0"),
            (
                frame(X).set_index(pd.MultiIndex.from_product([[0, 1], [0, 1]])),
                r"first \(0, 0\)",
            ),
            (frame(X).set_index(pd.Index(TIME[0, :N])), "first 100.0 at position 1"),
            (
                DataArray(TRACERS.abundances, ("time", "n", "s"), {"s": SPECIES}),
                "dimensions time, n, s, but tracers come before steps",
            ),
        ],
    )
    def test_what_cannot_be_matched_is_refused(self, values, message):
        with pytest.raises(InputError, match=message):
            read_abundances(values)

    def test_rows_that_count_are_taken_as_they_come(self):
        np.testing.assert_array_equal(
            read_abundances(frame(X).iloc[1:3]), read_abundances(X[1:3])
        )
        times = pd.Series(TIME[0])
        np.testing.assert_array_equal(read_time(times), TIME)
        labelled = DataArray(TIME[0], ("time",), {"time": TIME[0]})
        np.testing.assert_array_equal(read_time(labelled), TIME)
        with pytest.raises(InputError, match=r"time has labels .* first 3"):
            read_time(times.iloc[[0, 3, 1]])

    def test_tracers_keep_no_names(self):
        with pytest.raises(InputError, match=r"abundances has labels .* 'H' at"):
            make(abundances=[frame(one) for one in TRACERS.abundances])

    def test_missing_numbers_of_pandas_are_not_a_number(self):
        table = frame(X).astype("Float64")
        np.testing.assert_array_equal(read_abundances(table), read_abundances(X))
        with pytest.raises(InputError, match="H2 is nan"):
            read_abundances(table.assign(H2=pd.array([pd.NA] * N, "Float64")))


class TestUnits:
    @pytest.mark.parametrize(
        "values",
        [
            Quantity(TIME[0] / 1e3, "kyr"),
            Pint(TIME[0] / 1e3, "kyr"),
            [Pint(year / 1e3, "kyr") for year in TIME[0]],
            DataArray(TIME / 1e3, ("n", "time"), attrs={"units": "kyr"}),
            DataArray(Quantity(TIME / 1e6, "Myr"), ("n", "time")),
            pd.to_timedelta(TIME[0] * 365.25, unit="D"),
            (TIME * 365.25 * 24).astype("timedelta64[h]"),
            [Quantity(one / 1e3, "kyr") for one in TIME],
        ],
    )
    def test_times_are_converted_to_years(self, values):
        np.testing.assert_allclose(read_time(values), TIME)

    def test_an_interval_is_converted_too(self):
        assert read_time(Quantity(0.1, "kyr"))[0, 1] == pytest.approx(STEP)
        assert read_time(np.timedelta64(36525, "D"))[0, 1] == pytest.approx(STEP)

    def test_a_dataset_states_its_unit(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["time"] = TIME / 1e3
            file["time"].attrs["units"] = "kyr"
            np.testing.assert_allclose(read_time(file["time"]), TIME)
            file["time"].attrs["units"] = "1"
            with pytest.raises(InputError, match=r"time is in '1', .* to 'yr'"):
                read_time(file["time"])

    @pytest.mark.parametrize("kind", ["frame", "parquet"])
    @pytest.mark.parametrize(
        ("times", "message"),
        [
            (pd.to_timedelta(range(5), unit="D"), "it holds durations"),
            (pd.date_range("2000", periods=5), "it holds dates"),
        ],
    )
    def test_tables_are_not_imported_by_the_ticks_of_clocks(
        self, tmp_path, times, message, kind
    ):
        table = pd.DataFrame(
            {name: np.ones(5) for name in ("Time", *raw.PARAMETERS.values(), "CO")}
        ).assign(Time=times)
        source = table
        if kind == "parquet":
            source = tmp_path / "x.parquet"
            table.to_parquet(source)
        with pytest.raises(InputError, match=f"'Time' must hold numbers .{message}"):
            import_tracers(source, tmp_path / "x.h5", raw.settings(), split=False)

    def test_a_tracer_file_with_other_times_is_refused(self, write, tmp_path):
        write()
        with h5py.File(tmp_path / "x.h5", "a") as file:
            file["time"].attrs["units"] = "kyr"
        with pytest.raises(InputError, match="'units' of dataset 'time' is 'kyr'"):
            TracerStore(tmp_path / "x.h5")

    @pytest.mark.parametrize(
        ("read", "values", "message"),
        [
            (read_time, Quantity(TIME, "K"), "time is in 'K', .* 'yr'; convert"),
            (read_physical, Quantity(PHYSICAL, "K"), "is in 'K', .* 'cm\\^-3' or 'H"),
            (read_abundances, Quantity(X, "kyr"), "in 'kyr', .* dimensionless numbers"),
            (
                let_solve,
                Quantity(TRACERS.abundances, "K"),
                "the return value of fallback is in",
            ),
            (lambda x: as_numbers("latents", x), Quantity(X, "yr"), "latents is in"),
            (lambda x: make(time=x), Quantity(TIME, "K"), "time is in 'K'"),
            (lambda x: make(physical=x), Quantity(PHYSICAL, "K"), "physical is in"),
            (read_time, pd.date_range("2000", periods=T + 1), "holds dates; .* years"),
            (read_time, datetime.timedelta(days=9), "holds Python objects; .* years"),
            (read_abundances, np.zeros(S, "m8[s]"), "holds durations"),
        ],
    )
    def test_what_is_not_converted_is_refused(self, read, values, message):
        with pytest.raises(InputError, match=message):
            read(values)

    def test_writers_convert_years(self, write):
        np.testing.assert_allclose(make(time=Quantity(TIME / 1e3, "kyr")).time, TIME)
        np.testing.assert_allclose(write(time=Quantity(TIME / 1e3, "kyr")).time, TIME)

    def test_no_unit_is_a_unit_of_abundances(self):
        for stated in ("", "1", "dimensionless"):
            array = DataArray(X, ("n", "s"), {"s": SPECIES}, {"units": stated})
            np.testing.assert_array_equal(read_abundances(array), read_abundances(X))


class TestKinds:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (X + 1j, "complex numbers"),
            (X + 0j, "complex numbers"),
            (X.astype(str), "strings"),
            ([["1e-3"] * S], "strings"),
            (X > 0.1, "booleans"),
            (X.astype(object), "Python objects"),
            (frame(X) > 0.1, "booleans"),
            (frame(X).assign(H="x"), "Python objects"),
            (frame(X).to_records(), "it also has index"),
            (frame(X).to_dict(), "is a dict, not an array"),
            (namedtuple("Start", ["CO", "H2"])(0.1, 0.2), "is a Start, not an array"),
            ({0.1, 0.2}, "Python objects"),
            (None, "Python objects"),
            ([[0.1, 0.2], [0.3]], "is a list, not an array of numbers"),
            ([X[0], X[0, 1:]], r"shapes \[\(9,\), \(10,\)\]"),
            (10**40, "Python objects"),
        ],
    )
    def test_what_holds_no_real_numbers_is_refused(self, values, message):
        with pytest.raises(InputError, match=message) as error:
            read_abundances(values)
        assert "\n" not in str(error.value)

    def test_every_real_type_is_taken(self):
        for kind in ("f2", "f8", "g", ">f4", "i1", "u8"):
            found = as_numbers("x", np.ones((2, 3), kind))
            np.testing.assert_array_equal(found, np.ones((2, 3), "f4"))
        plain = np.ones((2, 3), "f4")
        assert as_numbers("x", plain) is plain

    def test_sparse_matrices_are_refused(self):
        sparse = pytest.importorskip("scipy.sparse")
        with pytest.raises(InputError, match="sparse, use its `toarray`"):
            read_abundances(sparse.csr_array(X))

    def test_tensors_that_require_gradients(self):
        torch = pytest.importorskip("torch")
        for kind in (torch.float32, torch.bfloat16):
            tensor = torch.ones((2, 3), dtype=kind, requires_grad=True)
            np.testing.assert_array_equal(as_numbers("x", tensor), np.ones((2, 3)))
        with pytest.raises(InputError, match="x is a Tensor, not an array"):
            as_numbers("x", torch.ones(3).to_sparse())

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("split", np.full(N, 300)),
            ("tracer", np.arange(N) + 0.5),
            ("length", np.full(N, np.nan)),
        ],
    )
    def test_integers_that_a_file_cannot_hold(self, write, name, values):
        with pytest.raises(InputError, match=f"{name} holds .* cannot represent"):
            write(**{name: values})

    def test_a_further_dataset_must_be_there(self, write):
        with pytest.raises(InputError, match="append received error besides tracers"):
            write({"error": np.ones((N, T + 1))})

    def test_what_is_refused_adds_nothing_to_a_file(self, tmp_path):
        with TracerWriter(
            tmp_path / "x.h5",
            species=SPECIES,
            parameters=PARAMETERS,
            units=UNITS,
            states=T + 1,
            attributes={},
        ) as writer:
            broken = make(split=np.zeros(N + 1, "u1"))
            with pytest.raises(InputError, match=r"split has shape \(5,\)"):
                writer.append(broken)
            writer.append(make())
        with TracerStore(tmp_path / "x.h5") as store:
            assert store.tracers == N


class TestRealLibraries:
    def test_xarray(self):
        xarray = pytest.importorskip("xarray")
        coords = {"species": list(SPECIES[::-1])}
        array = xarray.DataArray(X[:, ::-1], dims=("n", "species"), coords=coords)
        np.testing.assert_array_equal(read_abundances(array), read_abundances(X))
        with pytest.raises(InputError, match="transpose"):
            read_abundances(array.T)

    def test_astropy(self):
        units = pytest.importorskip("astropy.units")
        np.testing.assert_allclose(read_time(TIME / 1e3 * units.kyr), TIME)
        np.testing.assert_array_equal(
            read_abundances(X * units.one), read_abundances(X)
        )
        for read, values in ((read_time, TIME), (read_physical, PHYSICAL)):
            with pytest.raises(InputError, match="is in 'K'"):
                read(values * units.K)
        with pytest.raises(InputError, match="is in ''"):
            read_time(TIME * units.one)

    def test_pint(self):
        registry = pytest.importorskip("pint").UnitRegistry()
        np.testing.assert_allclose(read_time(TIME / 1e3 * registry.kyr), TIME)
        with pytest.raises(InputError, match="is in 'kelvin'"):
            read_physical(PHYSICAL * registry.K)


def test_a_surrogate_reads_labels(rng):
    from surrogates import make_surrogate

    surrogate = make_surrogate(rng)
    expected = surrogate.emulate(X, PHYSICAL, STEP)
    physical = [swapped(one, PARAMETERS) for one in PHYSICAL]
    found = surrogate.emulate(swapped(X), physical, Quantity(STEP / 1e3, "kyr"))
    np.testing.assert_array_equal(found, expected)
    latents = surrogate.encode(X)
    np.testing.assert_array_equal(surrogate.encode(swapped(X)), latents)
    np.testing.assert_array_equal(
        surrogate.reconstruct(swapped(X)), surrogate.reconstruct(X)
    )
    with pytest.raises(InputError, match="latents has 3 masked values"):
        surrogate.decode(mask(latents))
    starts = {"tiny": pd.Series(X[0], SPECIES)[::-1]}
    replaced = surrogate.replace(initial_conditions=starts)
    np.testing.assert_allclose(replaced.initial_conditions["tiny"], X[0])
