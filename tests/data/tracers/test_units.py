"""Units of raw files, against numbers from elsewhere."""

import pytest

from astrokeras.data.tracers.units import factor, guess, makes_sense
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

DENSITY = "H nuclei cm^-3"


@pytest.mark.parametrize(
    ("name", "unit", "target", "expected"),
    [
        # 1.4 * 1.6735e-24 g a nucleus
        ("Density", "g/cm^3", DENSITY, 4.26829e23),
        ("Density", "kg m^-3", DENSITY, 4.26829e20),
        ("Density", "cm^-3", DENSITY, 1.0),
        ("Density", "H2 cm-3", DENSITY, 2.0),
        ("Density", "m**-3", DENSITY, 1e-6),
        ("Density", DENSITY, "cm^-3", 1.0),
        ("Radfield", "Draine", "Habing", 1.7),
        ("Radfield", "g0", "Habing", 1.0),
        ("Radfield", "Habing", "Draine", 1 / 1.7),
        ("Av", "cm^-2", "mag", 1 / 1.87e21),
        ("Av", "m^-2", "mag", 1 / 1.87e25),
        ("zeta", "s^-1", "1.3e-17 s^-1", 7.6923e16),
        ("gasTemp", "K", "K", 1.0),
        ("Time", "s", "yr", 1 / (365.25 * 86400)),
        ("Time", "kyr", "yr", 1e3),
        ("Time", "Myr", "yr", 1e6),
        ("Time", "years", "yr", 1.0),
        ("Speed", "km/s", "km s^-1", 1.0),
        ("Density", "2.5e-3", DENSITY, 2.5e-3),
        ("Speed", "1e5", "cm/s", 1e5),
    ],
)
def test_conversion(name, unit, target, expected):
    assert factor(name, unit, target) == pytest.approx(expected, rel=2e-4, abs=0)


@pytest.mark.parametrize("text", ["g/cm^3", "g/cm3", "g cm-3", "g cm^-3", "G / CM**3"])
def test_spellings(text):
    assert factor("Density", text, DENSITY) == factor("Density", "g/cm^3", DENSITY)


@pytest.mark.parametrize(
    ("name", "unit", "target", "message"),
    [
        ("Density", "lb/ft3", DENSITY, "converted from: H nuclei .*, g/cm.3, kg/m.3"),
        ("Density", "K", DENSITY, "raw_units.Density is 'K'"),
        ("gasTemp", "eV", "K", "gasTemp must be in 'K'"),
        ("Speed", "m/s", "km/s", "no other unit"),
        ("Density", "-3", DENSITY, "positive number"),
        ("Density", "inf", DENSITY, "positive number"),
        ("Density", "g/cm3", "", "must be in 'no unit'"),
    ],
)
def test_what_cannot_be_converted(name, unit, target, message):
    with pytest.raises(InputError, match=message):
        factor(name, unit, target)


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([1e-20, 3e-16], DENSITY, "g/cm3"),
        ([1e10, 1e17], DENSITY, "m-3"),
        ([1e20, 1e23], "mag", "cm-2"),
        ([1.3e-17], "1.3e-17 s^-1", "s-1"),
        ([8.7e11], "yr", "s"),
        ([0.0929], "yr", "kyr"),
        ([9.29e-5], "yr", "Myr"),
        ([1e4, 1e6], DENSITY, None),
        ([1e9], "K", None),
        ([1e-40], DENSITY, None),
        ([1.0], "furlong", None),
    ],
)
def test_guess(values, unit, expected):
    assert guess(values, unit) == expected


def test_sense():
    assert makes_sense(1e4, DENSITY)
    assert not makes_sense(1e-20, DENSITY)
    assert not makes_sense(1e9, "K")
    assert not makes_sense(1.3e-17, "1.3e-17 s^-1")
    assert makes_sense(0.0, "1.3e-17 s^-1")
    assert makes_sense(1e-30, "Habing")  # deep inside
    assert makes_sense(1e-30, "furlong")
