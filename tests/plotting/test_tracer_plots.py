"""Figures of one tracer: curves, bands, the fixed panel of species."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from astrokeras.errors import InputError
from astrokeras.plotting import plot_species_panels, plot_tracer
from astrokeras.plotting.species_selection import observers_species, species_label

pytestmark = pytest.mark.neutral

SPECIES = ("H2", "CO", "#H2O", "@H2O", "N2H+")
TIME = 500.0 + 1000.0 * np.arange(6)
RANDOM = np.random.default_rng(0)
TRUTH = 10.0 ** RANDOM.uniform(-12, -4, (6, 5))
PREDICTION = TRUTH * 10.0 ** RANDOM.normal(0, 0.1, (6, 5))
SIGMA = RANDOM.uniform(0.05, 0.2, (6, 5))
GIVEN = (TIME, TRUTH, PREDICTION, SIGMA)


def band(axes, number):
    """Return the lower and the upper edge of a band at each time."""
    x, y = axes.collections[number].get_paths()[0].vertices.T
    return np.transpose([(min(y[x == t]), max(y[x == t])) for t in np.unique(x)])


def test_curves_and_bands_are_those_of_the_arrays():
    axes = plot_tracer(*GIVEN, species=SPECIES, shown=["CO", "N2H+"])

    solved, predicted = axes.lines[2:]
    np.testing.assert_allclose(solved.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(solved.get_ydata(), TRUTH[1:, 4])
    np.testing.assert_allclose(predicted.get_ydata(), PREDICTION[1:, 4])
    low, high = band(axes, 1)
    np.testing.assert_allclose(
        low, PREDICTION[1:, 4] * 10 ** (-1.6448536 * SIGMA[1:, 4])
    )
    np.testing.assert_allclose(
        high, PREDICTION[1:, 4] * 10 ** (1.6448536 * SIGMA[1:, 4])
    )
    assert axes.get_xlabel() == "time since the start (kyr)"
    assert axes.get_ylabel() == "abundance relative to H nuclei"
    assert axes.get_yscale() == "log"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [
        "CO",
        "N$_{2}$H$^{+}$",
        "solved (wide)",
        "predicted",
        "90 % error bar",
    ]
    assert axes.figure.get_size_inches()[0] == 3.5


def test_errors_of_ice_add_up_in_proportion_to_the_abundances():
    axes = plot_tracer(*GIVEN, species=SPECIES, shown=["$H2O"])

    total = PREDICTION[:, 2] + PREDICTION[:, 3]
    sigma = (PREDICTION[:, 2:4] * SIGMA[:, 2:4]).sum(1) / total
    np.testing.assert_allclose(axes.lines[0].get_ydata(), TRUTH[1:, 2:4].sum(1))
    np.testing.assert_allclose(
        band(axes, 0)[1], (total * 10 ** (1.6448536 * sigma))[1:], rtol=1e-5
    )


def test_the_panel_is_of_the_species_that_there_are():
    panels = plot_species_panels(*GIVEN, species=SPECIES)

    titles = [axes.get_title() for axes in panels]
    assert titles == ["CO", "N$_{2}$H$^{+}$", "H$_{2}$O ice"]
    for axes in panels:
        assert len(axes.lines) == 2
        assert axes.get_shared_x_axes().joined(axes, panels[0])
    np.testing.assert_allclose(panels[1].lines[1].get_ydata(), PREDICTION[1:, 4])
    np.testing.assert_allclose(
        panels[2].lines[1].get_ydata(), PREDICTION[1:, 2:4].sum(1)
    )
    assert observers_species(["$CO", "@H2O", "NH3", "#NH3"]) == ["NH3", "$H2O", "$CO"]


def test_species_are_formulas():
    names = ["CH3OH", "HCO+", "#CO", "@C2H5OH", "$H2O", "E-", "C10"]
    assert [species_label(name) for name in names] == [
        "CH$_{3}$OH",
        "HCO$^{+}$",
        "CO surface",
        "C$_{2}$H$_{5}$OH bulk",
        "H$_{2}$O ice",
        "E$^{-}$",
        "C$_{10}$",
    ]


def test_given_axes_are_drawn_on():
    own = Figure().subplots(1, 3)

    assert plot_tracer(*GIVEN, species=SPECIES, ax=own[0]) is own[0]
    panels = plot_species_panels(*GIVEN, species=SPECIES, shown=["CO"], ax=own[1:])

    assert list(panels) == [own[1]]
    assert own[1].get_xlabel()
    assert [len(axes.lines) for axes in own] == [6, 2, 0]


def test_truth_and_bands_may_be_missing():
    axes = plot_tracer(TIME, None, PREDICTION, species=SPECIES, shown="CO")

    assert (len(axes.lines), len(axes.collections)) == (1, 0)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["CO", "predicted"]


def test_totals_of_emulate_are_known_by_their_name():
    """`emulate(species=["$H2O"])` returns the sum: there is nothing to add."""
    axes = plot_tracer(TIME, TRUTH[:, :1], PREDICTION[:, :1], species=["$H2O"])

    np.testing.assert_allclose(axes.lines[1].get_ydata(), PREDICTION[1:, 0])


@pytest.mark.parametrize(
    ("time", "scale"), [(TIME, "linear"), (10.0 ** np.arange(6), "log")]
)
def test_crowded_states_have_a_logarithmic_axis(time, scale):
    axes = plot_tracer(time, *GIVEN[1:], species=SPECIES, shown=["CO"])

    assert axes.get_xscale() == scale


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": TIME[:4]}, r"`truth` has shape \(6, 5\); give \(4, 5\)"),
        ({"sigma": SIGMA[None]}, r"`sigma` has shape \(1, 6, 5\); give \(6, 5\)"),
        ({"prediction": None}, r"`prediction` has shape \(\); give \(6, 5\)"),
        ({"time": TIME[None]}, r"`time` has shape \(1, 6\)"),
        ({"shown": ["CO2"]}, "'CO2' is not among the 5"),
        ({"species": list("ABCDE")}, "none of the observers' species"),
        ({"shown": ["CO"] * 8}, "`shown` has 8 species"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    names = ("time", "truth", "prediction", "sigma")
    given = dict(zip(names, GIVEN, strict=True)) | {"species": SPECIES} | change

    with pytest.raises(InputError, match=message):
        plot_tracer(**given)


def test_too_few_axes_are_refused():
    with pytest.raises(InputError, match="`ax` has 1 axes for 3 species"):
        plot_species_panels(*GIVEN, species=SPECIES, ax=[Figure().add_subplot()])
