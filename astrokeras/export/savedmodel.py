"""TensorFlow's SavedModel, each graph an endpoint."""

from pathlib import Path
from typing import Any

import keras

from astrokeras.export.export import Functions
from astrokeras.export.functions import NAMES, Graph


def write(surrogate: Any, graphs: dict[str, Graph], folder: Path) -> None:
    """Write a SavedModel whose endpoints are the graphs."""
    archive = keras.export.ExportArchive()
    archive.track(surrogate)
    for graph in graphs.values():
        archive.add_endpoint(graph.name, graph.function, signature(graph))
    archive.write_out(str(folder), verbose=False)


def read(folder: Path) -> Functions:
    """Return the endpoints of a SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    functions = {name: getattr(model, name) for name in NAMES}
    # A function dies with the model that it belongs to.
    functions["encode"].model = model
    return functions


def signature(graph: Graph) -> list[Any]:
    """Return TensorFlow's description of a graph's inputs."""
    import tensorflow as tf

    return [
        tf.TensorSpec(
            [size if isinstance(size, int) else None for size in sizes], name=name
        )
        for name, sizes in graph.inputs.items()
    ]
