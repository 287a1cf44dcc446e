"""Arrays of the C format: layers in panels, scales, names and features."""

from typing import Any

import numpy as np
from keras import ops

from astrokeras.errors import InputError
from astrokeras.layers import exposure_features, rate_features

PANEL = 6  # columns of a kernel that lie beside one another, as in `kernels.h`
NAME = 32  # bytes of a name
CURVES = ("extinction", "inverse", "shielding")  # in the order of `networks.h`


def feature_arrays(emulator: Any) -> dict[str, np.ndarray]:
    """Return what the features of an interval are made of."""
    rates, exposures = emulator.rates, emulator.exposures
    units = rates.units if rates else []
    curves = exposures.curves if exposures else []
    listed = [[CURVES.index(name), i] for name, i in curves]
    arrays = {
        "temperatures": as_whole([i for i, unit in enumerate(units) if unit == "K"]),
        "extinctions": as_whole([i for i, unit in enumerate(units) if unit == "mag"]),
        "curves": as_whole(np.ravel(listed)),
        "switches": as_row(np.log10(rate_features.SWITCHES)),
        "shields": as_row(rate_features.SHIELDS),
        "levels": as_row(exposure_features.LEVELS),
    }
    if exposures:
        arrays |= layer_arrays("exposures", exposures.matrix, exposures.constant)
    return arrays


def trust_arrays(trust: Any) -> dict[str, np.ndarray]:
    """Return the numbers of the trust model."""
    names = ["latent_offset", "latent_scale", "centre", "largest", "totals", "states"]
    names += ["settings", "coefficients", "error_range"]
    names += ["knots"] if trust.random_features else []
    numbers = {name: np.atleast_2d(trust.value(name)) for name in names}
    arrays = {f"trust/{name}": value for name, value in numbers.items()}
    for name, one in (("state", "states"), ("setting", "settings")):
        points = numbers[one]
        arrays[f"trust/{name}_squares"] = as_row(np.square(points).sum(1))
        arrays |= layer_arrays(f"trust/{name}_products", points.T)
    arrays |= layer_arrays("trust/whitening", trust.value("whitening"))
    if trust.random_features:
        waves = trust.value("frequencies"), trust.value("phases")
        arrays |= layer_arrays("trust/waves", *waves)
    return arrays


def dense_arrays(name: str, layer: Any) -> dict[str, np.ndarray]:
    """Return kernel and bias of a dense layer of Keras, see `layer_arrays`."""
    return layer_arrays(name, numbers_of(layer.kernel), layer.bias)


def layer_arrays(name: str, kernel: Any, bias: Any = None) -> dict[str, np.ndarray]:
    """Return a kernel (in, out) in panels, (panels * in, PANEL), and its bias."""
    rows, columns = kernel.shape
    padded = np.pad(kernel, ((0, 0), (0, -columns % PANEL)))
    panels = padded.reshape(rows, -1, PANEL).swapaxes(0, 1)
    arrays = {f"{name}/kernel": panels.reshape(-1, PANEL).astype("f4")}
    return (
        arrays if bias is None else arrays | {f"{name}/bias": as_row(numbers_of(bias))}
    )


def numbers_of(value: Any) -> np.ndarray:
    """Return the values of a variable or tensor, float32."""
    return np.asarray(ops.convert_to_numpy(value), "f4")


def as_row(values: Any) -> np.ndarray:
    """Return numbers as an array (1, N) of float32."""
    return np.asarray(values, "f4").reshape(1, -1)


def as_whole(values: Any) -> np.ndarray:
    """Return whole numbers as an array (1, N) of int32."""
    return np.asarray(values, "i4").reshape(1, -1)


def as_names(names: Any) -> np.ndarray:
    """Return names as bytes, (N, 32), zeros at their ends."""
    encoded = [name.encode() for name in names]
    if any(len(name) >= NAME for name in encoded):
        longest = max(names, key=len)
        raise InputError(
            f"the C format holds names of {NAME - 1} bytes; {longest!r} is longer."
        )
    rows = b"".join(name.ljust(NAME, b"\0") for name in encoded)
    return np.frombuffer(rows, "u1").reshape(len(encoded), NAME)
