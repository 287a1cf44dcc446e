"""Atoms of each element, and that chemistry keeps them."""

import h5py
import numpy as np
import pytest
import score

from astrokeras.chemistry.stoichiometry import element_totals, stoichiometric_matrix
from astrokeras.data.tracers.reader import TracerStore

pytestmark = pytest.mark.neutral


def test_matrix_of_a_short_list():
    matrix, elements = stoichiometric_matrix(["H2O", "#CH3OH", "E-", "MG+"])

    assert elements == ("H", "C", "O", "MG")
    np.testing.assert_array_equal(
        matrix, [[2, 0, 1, 0], [4, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    )
    assert matrix.dtype == np.float64


def test_elements_that_are_absent_have_no_column():
    assert stoichiometric_matrix(["H2", "H"], ["H", "HE", "FE"])[1] == ("H",)


def test_totals_keep_leading_axes(rng):
    matrix, _ = stoichiometric_matrix(["H2O", "CO"])
    abundances = rng.random((3, 4, 2))

    totals = element_totals(abundances, matrix)

    water, monoxide = abundances[..., 0], abundances[..., 1]
    expected = np.stack([2 * water, monoxide, water + monoxide], axis=-1)
    np.testing.assert_allclose(totals, expected)


def test_whole_network_against_the_judge(sample_path):
    with TracerStore(sample_path) as store:
        names = store.species
    matrix, elements = stoichiometric_matrix(names)

    judged = np.array([[score.composition(n)[e] for e in elements] for n in names])
    np.testing.assert_array_equal(matrix, judged)


def drift(abundances, names):
    matrix, _ = stoichiometric_matrix(names)
    totals = element_totals(abundances, matrix)
    return np.abs(totals / totals[:, :1] - 1).max()


def test_totals_of_the_sample_are_constant(sample_path):
    with TracerStore(sample_path) as store:
        worst = max(
            drift(block.abundances, store.species)
            for block in store.blocks(np.arange(0, store.tracers, 4))
        )
    # 12 bits of mantissa; an element misread would be off by 1e-2 and more.
    assert worst < 3e-4


@pytest.mark.parametrize("name", ["grav_raw.h5", "grav_raw_2.h5"])
def test_totals_of_the_raw_files_are_constant(raw_folder, name):
    with h5py.File(raw_folder / name) as file:
        columns = [column.decode().strip() for column in file["df/axis0"][:]]
        rows = file["df/block0_values"][: 298 * 40]
    names = columns[columns.index("dstep") + 1 : columns.index("BULK")]
    abundances = rows[:, [columns.index(name) for name in names]]

    assert drift(abundances.reshape(-1, 298, len(names)), names) < 3e-4
