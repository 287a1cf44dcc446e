"""Figure of element conservation: a panel for each element."""

from types import SimpleNamespace

import numpy as np
import pytest

from astrokeras.plotting.conservation_plot import plot_conservation

pytestmark = pytest.mark.neutral


def test_each_element_has_a_panel():
    elements = ("H", "HE", "C", "N", "O", "S")
    errors = SimpleNamespace(
        elements=elements,
        element_mean=np.full(6, 1e-7),
        element_max=np.full(6, 1e-6),
        step_conservation=np.full((4, 6), 1e-7),
    )
    figure = plot_conservation({"surrogate": errors})

    upper, *panels = figure.axes
    assert (upper.get_xlabel(), upper.get_ylabel()) == ("element", "|n - n₀| / n₀")
    shown = [axes.get_title() for axes in panels if axes.get_visible()]
    assert tuple(shown) == elements
    assert figure.subfigs[1].get_supxlabel() == "rollout step"
    assert figure.subfigs[1].get_supylabel() == "mean |n - n₀| / n₀"
