"""Figure of trajectories: species above, physical parameters below."""

import numpy as np
import pytest

from astrokeras.plotting.trajectory_plots import ExampleTracers, plot_trajectories

pytestmark = pytest.mark.neutral


def test_species_and_parameters_have_a_panel_each():
    time, states = 100.0 * np.arange(5), np.full((5, 3), 1e-5)
    examples = ExampleTracers(
        labels=["a", "b"],
        time=[time, time],
        truth=[states, states],
        prediction=[2 * states, 2 * states],
        species=[0, 2],
        physical=[np.full((4, 3), 10.0)] * 2,
        parameters=[("Av", "mag"), ("gasTemp", "K"), ("Density", "H nuclei cm^-3")],
    )
    figure = plot_trajectories(examples, ("CO", "H2O", "#CO"))

    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == [
        "CO",
        "#CO",
        "given: gasTemp (K)",
        "given: Density (H nuclei cm^-3)",
    ]
    assert figure.get_supylabel() == "abundance relative to H nuclei"
    assert figure.get_supxlabel().startswith("time since the start (kyr)")
    # State 0 is given and not drawn.
    assert len(figure.axes[0].lines[0].get_xdata()) == 4
