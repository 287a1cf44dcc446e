"""Figures of errors: what they show, and that their axes are labelled."""

from types import SimpleNamespace

import numpy as np
import pytest

from astrokeras.plotting.error_plots import (
    plot_error_by_step,
    plot_reconstruction,
    plot_remaining_error,
    plot_worst_species,
)

pytestmark = pytest.mark.neutral

SPECIES = ("H2", "CO", "#CO", "@CO")
PHASES = ("gas", "gas", "surface", "bulk")


def make_errors(scale):
    steps = scale * np.array([np.nan, 0.1, 0.2])
    species = scale * np.array([0.01, 0.3, 0.2, 0.1])
    return SimpleNamespace(
        step_median=steps,
        step_p90=2 * steps,
        species_dex=species,
        species_p90=2 * species,
    )


@pytest.fixture
def errors():
    return {"surrogate": make_errors(1.0), "reconstruction": make_errors(0.5)}


def labels(figure):
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


@pytest.mark.parametrize("time_step", [None, 500.0])
def test_the_error_along_the_rollout(errors, time_step):
    figure = plot_error_by_step(errors, time_step)

    (axes,) = figure.axes
    assert labels(figure) == [
        ("rollout step", "error of a state, mean over species (dex)")
    ]
    np.testing.assert_array_equal(
        axes.lines[0].get_ydata(), errors["surrogate"].step_median
    )
    tops = [axis.get_xlabel() for axis in axes.child_axes]
    assert tops == (["time since the start (kyr)"] if time_step else [])


def test_the_worst_species_comes_first(errors):
    figure = plot_worst_species(errors, SPECIES, PHASES)

    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    places = dict(zip(names, axes.get_yticks(), strict=True))
    assert sorted(places, key=places.get, reverse=True) == ["CO", "#CO", "@CO", "H2"]
    assert axes.get_xlabel() == "error over all states (dex)"


def test_rollout_against_autoencoder(errors):
    figure = plot_reconstruction(errors, SPECIES, PHASES)

    assert labels(figure) == [("autoencoder alone (dex)", "rollout (dex)")]


def test_the_remaining_error_marks_the_flagged_share():
    figure = plot_remaining_error([0.0, 0.5], [0.2, 0.1], 0.25)

    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("share of states sent to the solver")
    assert axes.get_ylabel() == "error of the others (dex)"
    assert axes.lines[1].get_xdata() == [0.25, 0.25]
