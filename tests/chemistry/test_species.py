"""Names of species against a table written by hand."""

import pytest

from astrokeras.chemistry.species import (
    DEFAULT_ELEMENTS,
    PHASES,
    find_elements,
    parse_species,
)
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

ELEMENTS = ("H", "HE", "C", "N", "O", "S", "SI", "MG", "CL")
DECLARED = (*ELEMENTS, "Fe", "Na", "P", "F", "D", "13C")

# name, atoms, charge, phase: counted from the structural formulas.
TABLE = [
    ("H", {"H": 1}, 0, "gas"),
    ("H2", {"H": 2}, 0, "gas"),
    ("H3+", {"H": 3}, 1, "gas"),
    ("HE+", {"HE": 1}, 1, "gas"),
    ("HEH+", {"H": 1, "HE": 1}, 1, "gas"),
    ("E-", {}, -1, "gas"),
    ("CO", {"C": 1, "O": 1}, 0, "gas"),
    ("#CO2", {"C": 1, "O": 2}, 0, "surface"),
    ("@H2O", {"H": 2, "O": 1}, 0, "bulk"),
    ("H3O+", {"H": 3, "O": 1}, 1, "gas"),
    ("CH3OH", {"H": 4, "C": 1, "O": 1}, 0, "gas"),
    ("#CH3OH", {"H": 4, "C": 1, "O": 1}, 0, "surface"),
    ("CH3OH2+", {"H": 5, "C": 1, "O": 1}, 1, "gas"),
    ("CH2OH", {"H": 3, "C": 1, "O": 1}, 0, "gas"),
    ("H2COH+", {"H": 3, "C": 1, "O": 1}, 1, "gas"),
    ("HCOO", {"H": 1, "C": 1, "O": 2}, 0, "gas"),
    ("@HCOOH", {"H": 2, "C": 1, "O": 2}, 0, "bulk"),
    ("HCOOCH3", {"H": 4, "C": 2, "O": 2}, 0, "gas"),
    ("CH3CHO", {"H": 4, "C": 2, "O": 1}, 0, "gas"),
    ("CH2CO", {"H": 2, "C": 2, "O": 1}, 0, "gas"),
    ("CH3CCH", {"H": 4, "C": 3}, 0, "gas"),
    ("C3H5+", {"H": 5, "C": 3}, 1, "gas"),
    ("CH3CN", {"H": 3, "C": 2, "N": 1}, 0, "gas"),
    ("CH3CNH+", {"H": 4, "C": 2, "N": 1}, 1, "gas"),
    ("HCNH+", {"H": 2, "C": 1, "N": 1}, 1, "gas"),
    ("H2CN", {"H": 2, "C": 1, "N": 1}, 0, "gas"),
    ("HC3N", {"H": 1, "C": 3, "N": 1}, 0, "gas"),
    ("NCCN", {"C": 2, "N": 2}, 0, "gas"),
    ("C2N2+", {"C": 2, "N": 2}, 1, "gas"),
    ("NH2CHO", {"H": 3, "C": 1, "N": 1, "O": 1}, 0, "gas"),
    ("HNCO", {"H": 1, "C": 1, "N": 1, "O": 1}, 0, "gas"),
    ("NH4+", {"H": 4, "N": 1}, 1, "gas"),
    ("N2H+", {"H": 1, "N": 2}, 1, "gas"),
    ("MG+", {"MG": 1}, 1, "gas"),
    ("CL", {"CL": 1}, 0, "gas"),
    ("H2CL+", {"H": 2, "CL": 1}, 1, "gas"),
    ("CS", {"C": 1, "S": 1}, 0, "gas"),
    ("OCSH+", {"H": 1, "C": 1, "O": 1, "S": 1}, 1, "gas"),
    ("HOSO+", {"H": 1, "O": 2, "S": 1}, 1, "gas"),
    ("H2CSH+", {"H": 3, "C": 1, "S": 1}, 1, "gas"),
    ("H2S2+", {"H": 2, "S": 2}, 1, "gas"),
    ("SI", {"SI": 1}, 0, "gas"),
    ("SIS", {"SI": 1, "S": 1}, 0, "gas"),
    ("SISH+", {"H": 1, "SI": 1, "S": 1}, 1, "gas"),
    ("#H2SIO", {"H": 2, "O": 1, "SI": 1}, 0, "surface"),
    ("SIC3+", {"C": 3, "SI": 1}, 1, "gas"),
    ("C60", {"C": 60}, 0, "gas"),
    ("CN-", {"C": 1, "N": 1}, -1, "gas"),
    # Further elements and isotopes, once declared.
    ("FE+", {"FE": 1}, 1, "gas"),
    ("NA", {"NA": 1}, 0, "gas"),
    ("NAH", {"H": 1, "NA": 1}, 0, "gas"),
    ("NaCl", {"NA": 1, "CL": 1}, 0, "gas"),
    ("PO", {"O": 1, "P": 1}, 0, "gas"),
    ("PH2", {"H": 2, "P": 1}, 0, "gas"),
    ("HF", {"H": 1, "F": 1}, 0, "gas"),
    ("CF+", {"C": 1, "F": 1}, 1, "gas"),
    ("D2O", {"D": 2, "O": 1}, 0, "gas"),
    ("#CH2DOH", {"H": 3, "D": 1, "C": 1, "O": 1}, 0, "surface"),
    ("13CO", {"13C": 1, "O": 1}, 0, "gas"),
    ("H13CO+", {"H": 1, "13C": 1, "O": 1}, 1, "gas"),
    ("H213CO", {"H": 2, "13C": 1, "O": 1}, 0, "gas"),
    ("13C13CH2", {"H": 2, "13C": 2}, 0, "gas"),
    ("C13CH", {"H": 1, "C": 1, "13C": 1}, 0, "gas"),
]


@pytest.mark.parametrize(("name", "atoms", "charge", "phase"), TABLE)
def test_atoms_charge_and_phase(name, atoms, charge, phase):
    species = parse_species(name, DECLARED)

    assert dict(species.elements) == atoms
    assert (species.name, species.charge, species.phase) == (name, charge, phase)


def test_phases_are_told_by_the_first_character():
    assert {parse_species(f"{sign}H2").phase for sign in PHASES} == {
        "gas",
        "surface",
        "bulk",
    }


@pytest.mark.parametrize(
    "name",
    ["CL", "XYZ", "", "#", "+", "H+-", "H0", "2H", "H02", "h2o", "H 2", "BULK", "C²"],
)
def test_an_unreadable_name_is_quoted(name):
    with pytest.raises(InputError, match="cannot be read") as error:
        parse_species(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("name", "elements", "readings"),
    [
        ("CO", ("C", "O", "Co"), ("as CO ", "as C O")),
        ("#HCO", ("H", "C", "O", "CO"), ("H CO", "H C O")),
        ("SIO", ("S", "I", "SI", "O"), ("SI O", "S I O")),
        # Nobody declared the isotope: thirteen hydrogens are doubtful.
        ("H13CO+", DEFAULT_ELEMENTS, ("H13 C O", "H 13C O")),
    ],
)
def test_two_readings_are_refused_with_both(name, elements, readings):
    with pytest.raises(InputError, match="can be read as") as error:
        parse_species(name, elements)
    for reading in (repr(name), *readings):
        assert reading in str(error.value)


def test_mixed_case_says_which_element_is_meant():
    cobalt = parse_species("Co", ("C", "O", "Co"))

    assert dict(cobalt.elements) == {"CO": 1}


def test_total_ice_is_no_species():
    with pytest.raises(InputError, match=r"'\$H2O' is total ice.*#H2O and @H2O"):
        parse_species("$H2O")


def test_a_hostile_name_takes_no_time():
    with pytest.raises(InputError, match="can be read as"):
        parse_species("CO" * 32, ("C", "O", "CO"))
    with pytest.raises(InputError, match="cannot be read"):
        parse_species("H" * 100_000)


def test_elements_are_the_single_atoms_of_a_list():
    names = ["MG+", "SI", "#CL", "S", "CS", "NO", "SIS", "H2O", "E-"]

    assert find_elements(names) == ("H", "HE", "C", "N", "O", "MG", "SI", "S", "CL")


def test_declared_elements_and_isotopes_are_added():
    found = find_elements(["H", "13CO"], declared=("Fe", "d", "13C"))

    assert found == ("H", "D", "HE", "C", "13C", "N", "O", "FE")


def test_molecules_of_two_letters_are_no_elements():
    # Caesium, hafnium, nobelium, polonium and copernicium, to a periodic table.
    assert find_elements(["CS", "HF", "NO", "PO", "CN"]) == DEFAULT_ELEMENTS


@pytest.mark.parametrize("symbol", ["", "Xx", "H2", "C+", "ABC"])
def test_a_declared_symbol_must_exist(symbol):
    with pytest.raises(InputError, match=r"Received: '.*'"):
        find_elements(["H"], declared=[symbol])


@pytest.mark.parametrize("symbol", ["٣H", "²H", "", "H2", "Xx", "13"])
def test_what_is_no_symbol_cannot_be_declared(symbol):
    with pytest.raises(InputError, match="must be chemical symbols"):
        find_elements(["H"], [symbol])
