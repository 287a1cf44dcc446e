"""Regression of errors: random Fourier features and a monotone correction."""

from typing import Any

import numpy as np
from keras import ops


def add_waves(features: Any, frequencies: Any, phases: Any) -> Any:
    """Return features and random waves of them, `(..., F)` to `(..., F + W)`.

    A linear function of the waves is a smooth function of the features (random Fourier
    features, Rahimi & Recht 2007, NIPS 20).

    Args:
        features: `(..., F)`.
        frequencies: `(F, W)`.
        phases: `(W,)`.
    """
    waves = np.sqrt(2.0) * ops.cos(ops.matmul(features, frequencies) + phases)
    return ops.concatenate([features, waves], axis=-1)


def interpolate(x: Any, knots: Any) -> Any:
    """Return the piecewise linear function through knots, `(...)` to `(...)`.

    Args:
        x: Where the function is wanted.
        knots: Ascending places and the values there, `(2, K)`. Beyond the first and the
            last place the function is constant.
    """
    places, values = knots[0], knots[1]
    lengths = places[1:] - places[:-1]
    slopes = (values[1:] - values[:-1]) / ops.maximum(lengths, 1e-6)
    passed = ops.clip(x[..., None] - places[:-1], 0.0, lengths)
    return values[0] + ops.matmul(passed, slopes)
