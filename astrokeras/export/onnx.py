"""ONNX format, written with tf2onnx and read with onnxruntime."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.export.export import Functions, describe
from astrokeras.export.functions import ExportedFunction
from astrokeras.export.savedmodel import signature

OPSET = 18
MISSING = (
    "ONNX needs tf2onnx and onnxruntime; `pip install 'astrokeras[onnx]'` brings them."
)


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write `NAME.onnx` for each function, with the metadata of the surrogate."""
    for function in functions.values():
        model = _convert(function)
        _name_outputs(model, function)
        described = describe(surrogate)
        about = described | {"graph": function.name, "opset": OPSET}
        for key, value in about.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, json.dumps(value)
        (folder / f"{function.name}.onnx").write_bytes(model.SerializeToString())


def read(folder: Path) -> Functions:
    """Return the functions, run by onnxruntime."""
    import onnxruntime

    def load(path: Path) -> Any:
        session = onnxruntime.InferenceSession(path)
        names = [value.name for value in session.get_inputs()]
        return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))

    return {path.stem: load(path) for path in sorted(folder.glob("*.onnx"))}


def _convert(function: ExportedFunction) -> Any:
    try:
        import onnxruntime  # noqa: F401  # `read` needs it.
        import tf2onnx
    except ImportError:
        raise InputError(MISSING) from None
    import tensorflow as tf

    model, _ = tf2onnx.convert.from_function(
        tf.function(function.function, autograph=False),
        signature(function),
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    return model


def _erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Replace Erfc, which GELU uses and tf2onnx lacks, by 1 - Erf(x)."""
    one = ctx.make_const(f"{name}/one", np.array(1.0, np.float32)).output[0]
    erf = ctx.make_node("Erf", [node.input[0]]).output[0]
    ctx.remove_node(node.name)
    ctx.make_node("Sub", [one, erf], outputs=node.output, name=name)


def _name_outputs(model: Any, function: ExportedFunction) -> None:
    """Name the outputs, and the free dimensions of inputs and outputs."""
    outputs = list(zip(model.graph.output, function.outputs, strict=True))
    renamed = {output.name: name for output, name in outputs}
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)
    for output, name in outputs:
        output.name = name
    values = {value.name: value for value in model.graph.input}
    shaped = [(values[name], sizes) for name, sizes in function.inputs.items()]
    shaped += [(output, function.outputs[name]) for output, name in outputs]
    for value, sizes in shaped:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, sizes, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
