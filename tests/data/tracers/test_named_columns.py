"""Columns by name: every kind gives what plain arrays give, or is refused by name."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrokeras.data.tracers.foreign_arrays import column_names
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.models.input_checks import (
    check_abundances,
    check_tracers,
    shape_physical,
)
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.system.close_names import match_names

pytestmark = pytest.mark.neutral

NAMES = ("Density", "Radfield", "Av", "gasTemp", "NH2", "NCO")
UNITS = ("H nuclei cm^-3", "Habing", "mag", "K", "cm^-2", "cm^-2")
SPECIES = ("H", "H2", "CO", "#CO")
X = np.array([[0.1, 0.4, 1e-4, 1e-9], [0.2, 0.3, 1e-5, 1e-8]])
PHYSICAL = 10.0 ** np.random.default_rng(0).uniform(0, 3, (2, 3, 6))
LIMITS = SurrogateMetadata(
    SPECIES,
    NAMES,
    UNITS,
    elements=("H",),
    stoichiometry=np.ones((4, 1)),
    dt_range=(100.0, 100.0),
    t_max=1200.0,
    parameter_ranges=dict.fromkeys(NAMES, (1e-9, 1e9)),
    species_ranges=np.tile([[1e-20], [1.0]], 4),
)


def read(values):
    return shape_physical(LIMITS, values)


def by_name(values=PHYSICAL, names=NAMES):
    return {name: values[..., NAMES.index(name)] for name in names}


def records(columns):
    first = next(iter(columns.values()))
    array = np.empty(first.shape, [(name, "f8") for name in columns])
    for name, values in columns.items():
        array[name] = values
    return array


def dataset(columns):
    xarray = pytest.importorskip("xarray")
    dims = ("tracer", "step")
    return xarray.Dataset({name: (dims, x) for name, x in columns.items()})


KINDS = {
    "dict": dict,
    "structured": records,
    "recarray": lambda columns: records(columns).view(np.recarray),
    "dataset": dataset,
    "list of dicts": lambda columns: [
        {name: x[i] for name, x in columns.items()} for i in range(2)
    ],
    "list of frames": lambda columns: [
        pd.DataFrame({name: x[i] for name, x in columns.items()}) for i in range(2)
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(NAMES), upper=st.booleans())
def test_every_kind_gives_what_plain_arrays_give(kind, order, upper):
    spelled = {name.upper() if upper else name: x for name, x in by_name().items()}
    given = {n.upper() if upper else n: None for n in order}
    values = KINDS[kind]({name: spelled[name] for name in given})

    np.testing.assert_array_equal(read(values), PHYSICAL.astype("f4"))


@pytest.mark.parametrize("kind", KINDS)
def test_assumed_columns_may_be_missing(kind):
    values = KINDS[kind](by_name(names=("gasTemp", "Av", "Density", "Radfield")))
    plain = check_tracers(LIMITS, X, PHYSICAL[..., :4], 100.0, False)

    named = check_tracers(LIMITS, X, values, 100.0, False)

    np.testing.assert_array_equal(named.physical, plain.physical)
    assert named.assumed == plain.assumed
    # The number of rows does not count as the number of columns.
    assert column_names(np.zeros(4)) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gasTemp": None}, "it lacks gasTemp[;.]"),
        ({"NCO": None}, "it lacks NCO[;.]"),
        (
            {"gasTemp": "gasTmp"},
            "lacks gasTemp and also has gasTmp; did you mean 'gasTemp'",
        ),
        ({"Time": "+"}, "it also has Time[;.]"),
        ({"av": "+"}, "it also has av; did you mean 'Av'"),
    ],
)
def test_other_names_are_refused_by_name(kind, change, message):
    columns = by_name()
    for name, new in change.items():
        values = columns.get(name, PHYSICAL[..., 0])
        columns.pop(name, None)
        if new is not None:
            columns[name if new == "+" else new] = values

    with pytest.raises(InputError, match=message) as error:
        read(KINDS[kind](columns))
    assert "\n" not in str(error.value)


def test_a_doubled_column_is_refused():
    frame = pd.DataFrame(PHYSICAL[0], columns=list(NAMES))
    with pytest.raises(InputError, match="repeats Av"):
        read(pd.concat([frame, frame[["Av"]]], axis=1))


def test_a_name_of_another_case_counts_if_it_is_the_only_one():
    assert match_names(["b", "A"], ["a", "b"]) == ([1, 0], "")
    assert match_names(["CO", "co"], ["co", "CO"]) == ([1, 0], "")
    # "Co" could be either, and either could be "co".
    assert match_names(["CO", "Co"], ["co"])[1] == (
        "it lacks co and also has CO, Co; did you mean 'co'?"
    )
    assert match_names(["co"], ["CO", "Co"])[0] == []


def test_missing_species_are_never_filled():
    initial = dict(zip(SPECIES, X.T, strict=True))
    found = as_numbers("initial", initial, "f8", columns=SPECIES, units=[""])
    np.testing.assert_array_equal(found, X)
    encoded = check_abundances(LIMITS, initial)
    np.testing.assert_array_equal(encoded, check_abundances(LIMITS, X))
    del initial["#CO"]
    with pytest.raises(InputError, match=r"initial must name .* it lacks #CO;"):
        check_tracers(LIMITS, initial, PHYSICAL, 100.0, False)


def test_constants_are_spread():
    columns = by_name() | {"gasTemp": 15.0, "Av": np.array([[3.0], [5.0]])}
    found = read(columns)

    np.testing.assert_array_equal(found[..., 3], 15.0)
    np.testing.assert_array_equal(found[..., 2], [[3.0] * 3, [5.0] * 3])
    np.testing.assert_array_equal(found[..., 0], PHYSICAL[..., 0].astype("f4"))
    shapes = r"different shapes \(.*Density \(7,\)"
    with pytest.raises(InputError, match=shapes):
        read(columns | {"Density": np.ones(7)})


def test_each_column_has_its_own_unit():
    units = pytest.importorskip("astropy.units")
    columns = by_name()
    given = columns | {
        "Density": columns["Density"] * 1e6 * units.m**-3,
        "gasTemp": columns["gasTemp"] / 1e3 * units.kK,
        "NH2": columns["NH2"] / units.cm**2,
        "Av": columns["Av"] * units.mag,
    }
    np.testing.assert_allclose(read(given), PHYSICAL, rtol=1e-6)
    table = pytest.importorskip("astropy.table").QTable
    flat = {name: values[0] for name, values in given.items()}
    np.testing.assert_allclose(read(table(flat))[0], PHYSICAL[0], rtol=1e-6)
    with pytest.raises(InputError, match=r"physical: gasTemp is in 'm'"):
        read(columns | {"gasTemp": 3 * units.m})
    rates = {"zeta": np.ones(2) * 2.6e-17 / units.s}
    found = as_numbers("x", rates, columns=["zeta"], units=["1.3e-17 s^-1"])
    np.testing.assert_allclose(found, 2.0)


def test_masked_values_are_refused_in_a_column():
    with pytest.raises(InputError, match="physical: Av has 1 masked"):
        read(by_name() | {"Av": np.ma.masked_greater(np.arange(3.0), 1.5)})
