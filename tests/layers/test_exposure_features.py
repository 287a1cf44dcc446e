"""Features of rates times intervals against formulas written out by hand."""

import math

import numpy as np
import pytest
from keras import ops

from astrokeras.errors import InputError
from astrokeras.layers.exposure_features import ExposureFeatures
from astrokeras.models.emulator import Emulator
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder

PARAMETERS = ("Density", "Radfield", "Av", "gasTemp", "dustTemp", "zeta", "NH2")
UNITS = ("H nuclei cm^-3", "Habing", "mag", "K", "K", "1.3e-17 s^-1", "cm^-2")
GAS = np.array([2e4, 30.0, 1.5, 40.0, 25.0, 5.0, 3e20])
YEARS = 700.0


def make(count=7):
    scales = {"offset": np.full(count, 0.3), "scale": np.full(count, 2.0)}
    return ExposureFeatures(PARAMETERS[:count], UNITS[:count], **scales, step=10.0)


def features(gas, years=YEARS):
    scaled = (np.log10(gas) - 0.3) / 2.0
    length = math.log10(years / 10.0)
    return np.concatenate([scaled, 0 * scaled, 0 * scaled, [length]]).astype("f4")


def exposures():
    """Expected events in the interval, in the order of the layer."""
    n, field, extinction, gas, dust, zeta, column = GAS
    time = YEARS * 3.15576e7
    x = column / 5e14
    shielding = 0.965 / (1 + x / 3) ** 2
    shielding += 0.035 / (1 + x) ** 0.5 * math.exp(-8.5e-4 * (1 + x) ** 0.5)
    yield 1e-18 * n * time
    yield 5e-18 * n * gas**0.5 * time
    yield 1.3e-17 * zeta * time
    yield 1.3e-13 * zeta * time
    yield 1e-10 * field * math.exp(-1.8 * extinction) * time
    yield 1e-10 * field * math.exp(-3.0 * extinction) * time
    yield 5e-11 * field * math.exp(-3.7 * extinction) * shielding * time
    for energy in (800, 1150, 1300, 1900, 2600, 5700):
        yield 1e12 * math.exp(-energy / dust) * time


def test_features_saturate_in_rate_times_interval():
    layer = make()
    given = features(GAS)[None]

    found = ops.convert_to_numpy(layer(given))

    logs = np.log10(list(exposures()))
    added = np.concatenate([np.tanh((logs - c) / 1.5) for c in (-2, 0, 2)])
    assert found.shape == (1, given.shape[1] + layer.count)
    np.testing.assert_array_equal(found[:, : given.shape[1]], given)
    np.testing.assert_allclose(found[0, given.shape[1] :], added, atol=1e-4)


def test_exposures_without_their_parameters_are_left_out():
    assert make(7).count == 3 * 13
    assert make(6).count == 3 * 12  # no column of H2
    assert make(4).count == 3 * 10  # no ionisation; the ice has the gas temperature
    assert make(1).count == 3 * 1


def test_extreme_gas_stays_finite():
    gas = np.array([[1e-3, 1e-30, 1e6, 1e-2, 1e-2, 1e-5, 1.0], [1e30] * 7])
    given = np.stack(
        [features(each, years) for each, years in zip(gas, (1, 1e9), strict=True)]
    )
    assert np.isfinite(ops.convert_to_numpy(make()(given))).all()


def test_exposures_need_the_interval():
    with pytest.raises(InputError, match="set use_timestep=True"):
        Emulator(ProjectionAutoencoder(9, (8,), 3), 7, exposures=make().arguments)
