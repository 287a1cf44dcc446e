"""Callbacks on their own: annealing."""

import numpy as np
from keras import ops

from astrokeras.callbacks import AnnealOnPlateau
from astrokeras.layers.annealed_noise import AnnealedDropout


def strength(layer):
    return float(ops.convert_to_numpy(layer.strength.value))


def test_dropout_is_lowered_each_time_validation_stagnates():
    layer = AnnealedDropout(0.4)
    callback = AnnealOnPlateau([layer], "val_dex", factor=0.5, patience=2)
    seen = []
    for epoch, value in enumerate([1.0, 0.9, 0.95, 0.92, 0.8, 0.85, 0.81, 0.9, 0.9]):
        callback.on_epoch_end(epoch, {"val_dex": value})
        seen.append(strength(layer))

    np.testing.assert_allclose(seen, [0.4] * 3 + [0.2] * 3 + [0.1] * 2 + [0.05])
