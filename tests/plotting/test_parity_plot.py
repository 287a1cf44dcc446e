"""Parity plot: every entry counts once, and the title has the mean error."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from astrokeras.errors import InputError
from astrokeras.plotting import plot_parity
from astrokeras.plotting.parity_plot import ParityCounts

pytestmark = pytest.mark.neutral

RANDOM = np.random.default_rng(0)
TRUTH = 10.0 ** RANDOM.uniform(-22, 0, (3, 40, 7))
PREDICTION = TRUTH * 10.0 ** RANDOM.normal(0, 0.2, TRUTH.shape)


def test_hexagons_hold_all_entries_where_they_are():
    axes = plot_parity(TRUTH, PREDICTION)

    counts = axes.collections[0].get_array()
    assert counts.sum() == TRUTH.size
    x, y = axes.collections[0].get_offsets().T
    solved = np.log10(np.clip(TRUTH, 1e-20, 1))
    predicted = np.log10(np.clip(PREDICTION, 1e-20, 1))
    # Cells of 0.05 dex in hexagons of 0.4 dex.
    assert np.average(x, weights=counts) == pytest.approx(solved.mean(), abs=0.05)
    assert np.average(y - x, weights=counts) == pytest.approx(
        (predicted - solved).mean(), abs=0.05
    )
    assert axes.get_title() == f"mean error {np.abs(predicted - solved).mean():.2g} dex"


def test_lines_mark_equal_abundances_and_a_factor_of_two():
    axes = plot_parity(TRUTH, PREDICTION)

    away = [line.get_ydata() - line.get_xdata() for line in axes.lines]
    np.testing.assert_allclose(away, [[0, 0], [0.3, 0.3], [-0.3, -0.3]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "equal",
        "±0.3 dex",
    ]
    assert axes.get_xlabel() == "log$_{10}$ solved abundance (rel. to H)"


def test_blocks_add_up():
    whole, parts = ParityCounts(), ParityCounts()
    whole.add(TRUTH, PREDICTION)
    for pair in zip(TRUTH, PREDICTION, strict=True):
        parts.add(*pair)

    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert parts.entries == TRUTH.size
    assert parts.summed == pytest.approx(whole.summed)


def test_padding_is_left_out_and_bad_predictions_count_as_the_floor():
    counts = ParityCounts()
    counts.add(np.array([np.nan, 1e-5]), np.array([1.0, np.nan]))

    assert (counts.entries, counts.summed) == (1, pytest.approx(15.0))
    assert counts.counts[300, 0] == counts.counts.sum() == 1


def test_given_axes_are_drawn_on():
    own = Figure().add_subplot()

    assert plot_parity([1e-5], [1e-5], ax=own) is own
    assert own.collections[0].get_array().sum() == 1


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(
        InputError, match=r"`truth` has shape \(3, 40, 7\), `prediction`"
    ):
        plot_parity(TRUTH, PREDICTION[0])
    with pytest.raises(InputError, match="no finite entry"):
        plot_parity([np.nan], [1.0])
