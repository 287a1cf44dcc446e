"""Coverage plot: shares of errors within intervals of all levels."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from astrokeras.errors import InputError
from astrokeras.plotting import plot_coverage
from astrokeras.plotting.coverage_plot import LEVELS, CoverageCounts

pytestmark = pytest.mark.neutral

RANDOM = np.random.default_rng(0)
SHAPE = (4, 50, 11)
TRUTH = 10.0 ** RANDOM.uniform(-21, -3, SHAPE)
SIGMA = RANDOM.uniform(0.05, 0.2, SHAPE)
SIGMA[:, 0] = 0.0  # state 0 is given
PREDICTION = TRUTH * 10.0 ** (SIGMA * RANDOM.normal(0, 1.3, SHAPE))
# Of the table of the normal distribution.
QUANTILES = {
    0.1: 0.125661,
    0.5: 0.674490,
    0.9: 1.644854,
    0.95: 1.959964,
    0.99: 2.575829,
}


def test_shares_are_those_of_a_loop():
    axes = plot_coverage(TRUTH, PREDICTION, SIGMA)

    drawn = dict(
        zip(*(np.array(x) / 100 for x in axes.lines[1].get_data()), strict=True)
    )
    assert list(drawn) == pytest.approx(LEVELS)
    for level, quantile in QUANTILES.items():
        inside = entries = 0
        for x, p, s in zip(TRUTH.flat, PREDICTION.flat, SIGMA.flat, strict=True):
            if x > 1e-20 and s > 0:
                entries += 1
                error = abs(np.log10(max(p, 1e-20)) - np.log10(x))
                inside += error <= quantile * s
        share = next(y for one, y in drawn.items() if one == pytest.approx(level))
        assert share == pytest.approx(inside / entries)
    assert axes.get_xlabel() == "nominal level of the interval (%)"
    assert axes.get_ylabel() == "errors inside (%)"


def test_the_diagonal_is_drawn():
    axes = plot_coverage(TRUTH, PREDICTION, SIGMA)

    np.testing.assert_array_equal(axes.lines[0].get_data(), [[0, 100], [0, 100]])


def test_normal_errors_lie_on_the_diagonal():
    counts = CoverageCounts()
    for _ in range(4):
        sigma = RANDOM.uniform(0.1, 1.0, 20_000)
        counts.add(np.abs(sigma * RANDOM.normal(size=20_000)), sigma)

    np.testing.assert_allclose(counts.shares, LEVELS, atol=0.008)


def test_given_axes_are_drawn_on():
    own = Figure().add_subplot()

    assert plot_coverage([1e-5], [2e-5], [0.1], ax=own) is own
    assert len(own.lines) == 2


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(InputError, match=r"`sigma` \(50, 11\); give all three"):
        plot_coverage(TRUTH, PREDICTION, SIGMA[0])
    with pytest.raises(InputError, match="a positive `sigma`"):
        plot_coverage(TRUTH, PREDICTION, 0 * SIGMA)
