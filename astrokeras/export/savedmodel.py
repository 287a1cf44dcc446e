"""SavedModel format of TensorFlow, with an endpoint for each function."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from astrokeras.export.export import Functions
from astrokeras.export.functions import NAMES, OUTPUTS, ExportedFunction


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write a SavedModel with the functions as endpoints."""
    archive = keras.export.ExportArchive()
    archive.track(surrogate)
    for function in functions.values():
        archive.add_endpoint(function.name, _named(function), signature(function))
    archive.write_out(str(folder), verbose=False)


def read(folder: Path) -> Functions:
    """Return the endpoints of a SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))

    def load(name: str) -> Any:
        def run(*inputs: Any) -> tuple[Any, ...]:
            # An endpoint works as long as a reference to its model exists.
            outputs = getattr(model, name)(*inputs)
            return tuple(outputs[key] for key in OUTPUTS[name])

        return run

    return {name: load(name) for name in NAMES}


def _named(function: ExportedFunction) -> Callable[..., dict[str, Any]]:
    """Return the function with a dictionary of outputs, which callers can name."""
    return lambda *inputs: dict(
        zip(function.outputs, function.function(*inputs), strict=True)
    )


def signature(function: ExportedFunction) -> list[Any]:
    """Return the TensorFlow signature of a function."""
    import tensorflow as tf

    return [
        tf.TensorSpec(
            [size if isinstance(size, int) else None for size in sizes], name=name
        )
        for name, sizes in function.inputs.items()
    ]
