"""Maps of the error: static gas at the cells' centres, and the errors found in them."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from standin import SPECIES, Trusting, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.evaluation.context import EvaluationContext
from astrokeras.evaluation.error_maps import (
    CELLS,
    ErrorMapTest,
    map_expected_error,
    static_gas,
)
from astrokeras.plotting import plot_expected_error
from astrokeras.plotting.error_map_plot import plot_error_maps


def expected(initial, physical):
    """Grows with the density: 0.1 dex at 1, 0.4 dex at 1e4; reliable below 22."""
    error = 0.1 + 0.075 * np.log10(physical[..., 0])
    return np.concatenate([0 * error[:, :1], error], 1)


@pytest.fixture
def test(tmp_path):
    write_tracers(tmp_path / "tracers.h5", count=16)
    surrogate = Trusting(np.full(len(SPECIES), 0.1), expected, error=0.05)
    with TracerStore(tmp_path / "tracers.h5") as store:
        context = EvaluationContext(
            store, np.arange(10), np.arange(4), surrogate, surrogate.metadata, 64
        )
        test = ErrorMapTest(context)
        for block in context.blocks():
            test.update(block, context.roll_out(block))
        yield test


def test_expected_and_found_errors(test):
    density, light = test.result()

    x, _ = density.edges
    centres = np.sqrt(x[1:] * x[:-1])
    known = 0.1 + 0.075 * np.log10(centres)[:, None] * np.ones(CELLS)
    np.testing.assert_allclose(density.expected, known, rtol=1e-5)
    np.testing.assert_array_equal(density.reliable, known <= 0.2)
    assert density.labels == ("Density (H nuclei cm^-3)", "gasTemp (K)")
    assert light.labels == ("Av (mag)", "Radfield (Habing)")
    assert (density.start, density.years) == ("standard", 2000)
    # 10 tracers of 8 steps, each off by 0.05 dex more than the one before.
    errors, counted = test.sums[0]
    assert counted.sum() == 80
    np.testing.assert_allclose(errors.sum(), 10 * 0.05 * 36, rtol=1e-3)

    figure = plot_error_maps([density, light])
    labels = [axes.get_xlabel() for axes in figure.axes[2:4]]
    assert labels == ["Density (H nuclei cm$^{-3}$)", "Av (mag)"]


def test_other_parameters_are_those_of_near_states():
    low, high = np.full((30, 3), 1.0), np.full((30, 3), 100.0)
    low[:, 2], high[:, 2] = 5.0, 7.0
    edges = np.array([0.1, 10.0, 1000.0])

    physical = static_gas(np.concatenate([low, high]), (0, 1), (edges, edges))

    assert physical[0].tolist() == [1.0, 1.0, 5.0]
    assert physical[-1].tolist() == [100.0, 100.0, 7.0]


def test_a_surrogate_without_these_parameters_has_no_map():
    limits = SimpleNamespace(parameters=("zeta",), parameter_ranges={"zeta": (1, 2)})
    assert ErrorMapTest(SimpleNamespace(limits=limits)).result() == []


def test_a_map_needs_no_evaluation(test):
    known, _ = test.result()
    sampled = np.concatenate(test.sampled)
    own = Figure().add_subplot()

    found = map_expected_error(test.context.surrogate, sampled[None])
    axes = plot_expected_error(
        found.edges, found.expected, found.reliable, labels=found.labels, ax=own
    )

    assert found.actual is None
    np.testing.assert_array_equal(found.expected, known.expected)
    np.testing.assert_array_equal(found.reliable, known.reliable)
    assert axes is own
    mesh, hatches = own.collections
    np.testing.assert_allclose(mesh.get_array().reshape(CELLS, CELLS), found.expected.T)
    assert hatches.hatches == ["///"]
    assert own.get_ylabel() == "gasTemp (K)"
    assert own.get_xscale() == own.get_yscale() == "log"
    with pytest.raises(
        InputError, match=r"`expected` has shape \(2, 2\); give \(24, 24\)"
    ):
        plot_expected_error(found.edges, np.ones((2, 2)), labels=found.labels)


@pytest.mark.parametrize(
    ("sampled", "pair", "message"),
    [
        (np.ones((5, 3)), ("Density", "gasTemp"), r"has shape \(5, 3\); give"),
        (np.full((5, 4), np.nan), ("Density", "gasTemp"), "finite and positive"),
        (np.ones((5, 4)), ("Density", "zeta"), "'zeta' is not one"),
    ],
)
def test_a_map_of_wrong_input_is_refused(test, sampled, pair, message):
    with pytest.raises(InputError, match=message):
        map_expected_error(test.context.surrogate, sampled, pair)
