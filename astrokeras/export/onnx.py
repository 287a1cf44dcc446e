"""ONNX, written by tf2onnx and read by onnxruntime."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.export.export import Functions, describe
from astrokeras.export.functions import Graph
from astrokeras.export.savedmodel import signature

OPSET = 18
MISSING = (
    "ONNX needs tf2onnx and onnxruntime; `pip install 'astrokeras[onnx]'` brings them."
)


def write(surrogate: Any, graphs: dict[str, Graph], folder: Path) -> None:
    """Write `NAME.onnx` of every graph, what it is about in its metadata."""
    for graph in graphs.values():
        model = _convert(graph)
        _name_outputs(model, graph)
        about = describe(surrogate.metadata) | {"graph": graph.name, "opset": OPSET}
        for key, value in about.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, json.dumps(value)
        (folder / f"{graph.name}.onnx").write_bytes(model.SerializeToString())


def read(folder: Path) -> Functions:
    """Return functions that run the files with onnxruntime."""
    import onnxruntime

    def load(path: Path) -> Any:
        session = onnxruntime.InferenceSession(path)
        names = [one.name for one in session.get_inputs()]
        return lambda *given: session.run(None, dict(zip(names, given, strict=True)))[0]

    return {path.stem: load(path) for path in sorted(folder.glob("*.onnx"))}


def _convert(graph: Graph) -> Any:
    try:
        import onnxruntime  # noqa: F401  # It reads what is written.
        import tf2onnx
    except ImportError:
        raise InputError(MISSING) from None
    import tensorflow as tf

    model, _ = tf2onnx.convert.from_function(
        tf.function(graph.function, autograph=False),
        signature(graph),
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    return model


def _erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write 1 - Erf(x), since tf2onnx knows no Erfc: GELU has it."""
    one = ctx.make_const(f"{name}/one", np.array(1.0, np.float32)).output[0]
    erf = ctx.make_node("Erf", [node.input[0]]).output[0]
    ctx.remove_node(node.name)
    ctx.make_node("Sub", [one, erf], outputs=node.output, name=name)


def _name_outputs(model: Any, graph: Graph) -> None:
    """Name the output and the free sizes of inputs and output."""
    (output,) = model.graph.output
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == output.name:
                    names[i] = graph.output
    output.name = graph.output
    by_name = {one.name: one for one in model.graph.input}
    shaped = [(by_name[name], sizes) for name, sizes in graph.inputs.items()]
    for value, sizes in (*shaped, (output, graph.shape)):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, sizes, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
