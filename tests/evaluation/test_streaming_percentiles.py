"""Percentiles of a stream against those of all values together."""

import numpy as np
import pytest

from astrokeras.evaluation.streaming_percentiles import StreamingPercentiles

pytestmark = pytest.mark.neutral


def test_percentiles_are_those_of_all_values():
    errors = 10.0 ** np.random.default_rng(0).normal(-1, 0.5, 20_000)
    percentiles = StreamingPercentiles(2)
    for part in np.split(errors, 10):
        percentiles.add(np.zeros(len(part), int), part)

    for percent in (1, 50, 90, 99):
        expected = np.percentile(errors, percent)
        found = percentiles.percentile(percent)
        assert found[0] == pytest.approx(expected, rel=0.02)
        assert np.isnan(found[1])


def test_the_share_above_an_error_is_that_of_all_values():
    errors = 10.0 ** np.random.default_rng(1).normal(-1, 0.5, 20_000)
    percentiles = StreamingPercentiles(2)
    percentiles.add(np.arange(20_000) % 2, errors)

    dex, share = percentiles.pooled().exceeded()
    for value in (0.03, 0.1, 0.5):
        found = np.interp(value, dex, share)
        assert found == pytest.approx((errors > value).mean(), abs=0.005)
    whole = percentiles.pooled().percentile(90)
    assert whole == pytest.approx(np.percentile(errors, 90), rel=0.02)


def test_errors_beyond_the_bins_are_counted():
    percentiles = StreamingPercentiles(1)
    percentiles.add(np.zeros(4, int), np.array([0.0, 1e-9, 500.0, 500.0]))

    assert percentiles.counts.sum() == 4
    assert percentiles.percentile(90)[0] == pytest.approx(100.0, rel=0.03)
