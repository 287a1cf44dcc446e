"""Spellings of other codes, against UCLCHEM's names."""

import pytest

from astrokeras.chemistry.species import parse_species
from astrokeras.chemistry.species_names import uclchem_names

pytestmark = pytest.mark.neutral


def spelled(names):
    return [uclchem_names(names).get(name, name) for name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("H H2 He Mg+ SiO CO e-", "H H2 HE MG+ SIO CO E-"),
        ("H CO H2O JCO JH2O KH2O He", "H CO H2O #CO #H2O @H2O HE"),
        ("H CO H2O gCO gH2O bCO bH2O", "H CO H2O #CO #H2O @CO @H2O"),
        ("H CO H2O GCO GH2O ELECTRON", "H CO H2O #CO #H2O E-"),
        ("H H2 H2O H2O_ICE E", "H H2 H2O #H2O E-"),
        # Names in UCLCHEM's spelling, and those of parameters, stay.
        ("H MG SI SO CS #CO @CO E- CL", "H MG SI SO CS #CO @CO E- CL"),
        ("Time Av gasTemp n nH Density zeta", "Time Av gasTemp n nH Density zeta"),
        # No ice: potassium, cobalt, and a letter without a counterpart in the gas.
        ("H Cl KCl Co GH", "H CL KCL Co GH"),
        # Isomers are never guessed.
        ("C3H l-C3H c-C3H2 Jc-C3H2", "C3H l-C3H c-C3H2 #c-C3H2"),
    ],
)
def test_spellings(names, expected):
    assert spelled(names.split()) == expected.split()


def test_two_names_never_become_one():
    assert uclchem_names(["He", "HE"]) == {}
    assert uclchem_names(["CO", "JCO", "#CO"]) == {}


def test_isomers_have_elements_and_names_of_their_own():
    linear = parse_species("l-C3H+")

    assert (linear.name, dict(linear.elements)) == ("l-C3H+", {"H": 1, "C": 3})
    assert linear.charge == 1
    assert parse_species("#c-C3H2").phase == "surface"
