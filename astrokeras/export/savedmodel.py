"""SavedModel format of TensorFlow, with an endpoint for each function."""

from pathlib import Path
from typing import Any

import keras

from astrokeras.export.export import Functions
from astrokeras.export.functions import NAMES, ExportedFunction


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write a SavedModel with the functions as endpoints."""
    archive = keras.export.ExportArchive()
    archive.track(surrogate)
    for function in functions.values():
        archive.add_endpoint(function.name, function.function, signature(function))
    archive.write_out(str(folder), verbose=False)


def read(folder: Path) -> Functions:
    """Return the endpoints of a SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    functions = {name: getattr(model, name) for name in NAMES}
    # The functions work as long as a reference to the model exists.
    functions["encode"].model = model
    return functions


def signature(function: ExportedFunction) -> list[Any]:
    """Return the TensorFlow signature of a function."""
    import tensorflow as tf

    return [
        tf.TensorSpec(
            [size if isinstance(size, int) else None for size in sizes], name=name
        )
        for name, sizes in function.inputs.items()
    ]
