"""What tracers lack, against formulas written out by hand."""

import numpy as np
import pytest

from astrokeras.chemistry.assumed_parameters import (
    columns_warning,
    fill,
    find_fillings,
    insert_columns,
    lacks_columns,
    light_comes_through,
    with_columns,
)

NAMES = ("Density", "Radfield", "Av", "gasTemp")


@pytest.fixture
def physical():
    return np.random.default_rng(0).uniform(1, 3, (5, 7, 4)).astype("f4")


def test_held_values_come_before_assumed_ones(physical):
    wanted = ["zeta", "NCO", "dustTemp", "Av", "unknown", "NH2"]
    fillings = find_fillings(NAMES, wanted, {"zeta": 7.0, "Av": 2.0})
    filled = fill(physical, fillings)

    assert [f.name for f in fillings] == ["zeta", "NCO", "dustTemp", "NH2"]
    assert [f.stated for f in fillings] == [True, False, False, False]
    assert [f.text for f in fillings] == [
        "zeta = 7",
        "N(CO) = 1e-5 N(H)",
        "dustTemp = gasTemp",
        "N(H2) = 0.5 N(H)",
    ]
    hydrogen = physical[..., 2] / 5.348e-22
    np.testing.assert_array_equal(filled[..., :4], physical)
    np.testing.assert_allclose(filled[..., 4], 7.0)
    np.testing.assert_allclose(filled[..., 5], 1e-5 * hydrogen, rtol=1e-6)
    np.testing.assert_array_equal(filled[..., 6], physical[..., 3])
    np.testing.assert_allclose(filled[..., 7], 0.5 * hydrogen, rtol=1e-6)
    assert filled.dtype == np.float32


def test_a_held_column_is_no_assumption():
    (filling,) = find_fillings(NAMES, ["NH2"], {"NH2": 1e20})
    assert (filling.factor, filling.source, filling.stated) == (1e20, None, True)


def test_columns_need_an_extinction():
    assert find_fillings(["Density"], ["NH2", "NCO"], {}) == []


def test_columns_go_where_the_surrogate_has_them(physical):
    names = ("NCO", "Density", "Radfield", "NH2", "Av", "gasTemp")
    assert lacks_columns(names, physical)
    assert lacks_columns(names, physical.tolist())
    assert not lacks_columns(names, np.zeros((2, 6)))
    assert not lacks_columns(names[1:], np.zeros((2, 4)))  # has no NCO

    whole = insert_columns(physical, names)

    np.testing.assert_array_equal(whole[..., [1, 2, 4, 5]], physical)
    np.testing.assert_allclose(whole[..., 0], whole[..., 3] * 2e-5, rtol=1e-6)


def test_light_ends_where_cosmic_rays_make_more():
    def light(field, extinction):
        rows = np.array([[1.0, field, extinction, 10.0]], "f4")
        return light_comes_through(rows, NAMES)[0]

    for field, edge in ((1.0, 3.05), (1000.0, 5.337)):  # ln(field / 1e-4) / 3.02
        assert light(field, edge - 0.01)
        assert not light(field, edge + 0.01)


def test_the_warning_counts_steps_and_tracers():
    assert columns_warning(np.zeros(3, int), np.full(3, 4)) is None
    line = columns_warning(np.array([0, 2, 1]), np.full(3, 4))
    assert "25% of the time steps (2 of 3 tracers)" in line


def test_surrogates_state_the_assumption_once():
    stated = with_columns(["zeta = 1"], NAMES)
    assert stated == ("zeta = 1", "N(H2) = 0.5 N(H), N(CO) = 1e-5 N(H) assumed")
    assert with_columns(stated, NAMES) == stated
    assert with_columns([], [*NAMES, "NH2", "NCO"]) == ()
    assert with_columns([], ["Density"]) == ()
