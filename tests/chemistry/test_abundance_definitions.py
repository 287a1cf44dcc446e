"""What abundances are relative to, against numbers that are written out here."""

import numpy as np
import pytest

from astrokeras.chemistry.abundance_definitions import DEFINITIONS, Composition
from astrokeras.config import DatasetConfig
from astrokeras.config.fields import check

pytestmark = pytest.mark.neutral

SPECIES = ("H", "H2", "HE", "C+", "O", "CO", "#H2O", "E-")
# Relative to H nuclei: 0.2 + 2 (0.3999) + 2 (1e-4) = 1.
X = np.array([[0.2, 0.3999, 0.1, 1e-5, 2e-4, 1e-4, 1e-4, 1e-5]])
# Of H, H2, He, C, O, CO, water and the electron, in atomic masses over that of H.
MASSES = np.array([1, 2, 3.971, 11.92, 15.87, 27.79, 17.87, 5.443e-4])
GAS = Composition.of(SPECIES)


def given(definition: str) -> np.ndarray:
    """Return X as another code would write it."""
    return {
        "per_h": X,
        "per_h2": 2 * X,
        "per_cm3": 3e4 * X,
        "per_mass": X / 1.4,
        "mass_fraction": X * MASSES / (X * MASSES).sum(),
    }[definition]


def test_the_configuration_knows_all_definitions():
    for definition in DEFINITIONS:
        check(DatasetConfig(abundances=definition))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_definitions_are_recognised_and_converted(definition):
    raw, density = given(definition), np.array([3e4])

    assert GAS.fitting_definition(raw, density) == definition
    np.testing.assert_allclose(
        GAS.per_hydrogen(raw, definition, density), X, rtol=0.002
    )


def test_fractions_of_n_h2_itself_are_recognised_in_atomic_gas():
    raw = X / X[:, 1:2]
    assert GAS.fitting_definition(raw) == "per_h2"
    np.testing.assert_allclose(GAS.per_hydrogen(raw, "per_h2"), X)


@pytest.mark.parametrize("total", [0.3, 1.2, 5.0])
def test_other_totals_are_nothing_known(total):
    assert GAS.fitting_definition(total * X, np.array([3e4])) is None


def test_without_all_hydrogen_nobody_can_tell_and_the_definition_decides():
    few = Composition.of(("CO", "HCO+"))
    raw = np.array([[2e-4, 2e-9]])

    assert few.fitting_definition(raw) is None
    for definition, factor in (("per_h2", 0.5), ("per_mass", 1.4), ("per_cm3", 1e-4)):
        found = few.per_hydrogen(raw, definition, np.array([1e4]))
        np.testing.assert_allclose(found, factor * raw)


def test_electrons_balance_the_ions():
    assert not GAS.unbalanced(X)[0]
    bare = X.copy()
    bare[0, -1] = 0
    assert GAS.unbalanced(bare)[0]
    np.testing.assert_allclose(GAS.set_electrons(bare), X)
    assert not Composition.of(("H", "E-")).unbalanced(np.array([0.1, 1e-4]))
