"""Graph of a model's operations for TensorBoard, traced by each backend."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from tensorboard.compat.proto.graph_pb2 import GraphDef

ROWS, STEPS = 2, 2  # size of the traced inputs, small because PyTorch unrolls its loop


def model_graph(model: keras.Model, inputs: Any) -> bytes:
    """Return the operations of a model's prediction as a serialised `GraphDef`.

    The backend traces the model. On JAX and PyTorch the graph has no weights, and the
    names of operations begin with their layer; on TensorFlow weights are placeholders.

    Args:
        model: A built model.
        inputs: Input arrays, the first rows and steps of which are used.
    """
    small = keras.tree.map_structure(
        lambda a: a[:ROWS, :STEPS] if a.ndim == 3 else a[:ROWS], inputs
    )
    trace = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return trace[keras.config.backend()](model, small)


class _Nodes:
    """The operations of a graph, connected by the values that they exchange."""

    def __init__(self) -> None:
        self.graph = GraphDef()
        self.names: dict[int, str] = {}

    def add(
        self, name: str, kind: str, inputs: Iterable[Any], outputs: Iterable[Any]
    ) -> Any:
        """Add an operation; inputs that no operation produced are left out."""
        known = [self.names[id(value)] for value in inputs if id(value) in self.names]
        node = self.graph.node.add(
            name=f"{name}_{len(self.graph.node)}", op=kind, input=dict.fromkeys(known)
        )
        self.names |= {id(value): node.name for value in outputs}
        return node

    def same(self, output: Any, given: Any) -> None:
        """Identify an output with the input that an operation left unchanged."""
        if id(given) in self.names:
            self.names[id(output)] = self.names[id(given)]

    def shape(self, node: Any, sizes: Sequence[int]) -> None:
        """Add the shape of an operation's output."""
        shape = node.attr["_output_shapes"].list.shape.add()
        for size in sizes:
            shape.dim.add(size=int(size))


def _tensorflow(model: keras.Model, inputs: Any) -> bytes:
    """Return the graph of a model on TensorFlow."""
    import tensorflow as tf

    traced = tf.function(lambda given: model(given, training=False))
    graph = traced.get_concrete_function(inputs).graph
    return graph.as_graph_def(add_shapes=True).SerializeToString()


def _jax(model: keras.Model, inputs: Any) -> bytes:
    """Return the graph of a model on JAX."""
    import jax

    jaxpr = jax.make_jaxpr(lambda given: model(given, training=False))(inputs).jaxpr
    nodes = _Nodes()
    for variable in jaxpr.invars:
        nodes.shape(nodes.add("input", "input", [], [variable]), variable.aval.shape)
    for equation in jaxpr.eqns:
        kind = equation.params.get("name") or equation.primitive.name
        scope = str(equation.source_info.name_stack)
        name = f"{scope}/{kind}" if scope else kind
        node = nodes.add(name, kind, equation.invars, equation.outvars)
        nodes.shape(node, equation.outvars[0].aval.shape)
    return nodes.graph.SerializeToString()


def _torch(model: keras.Model, inputs: Any) -> bytes:
    """Return the graph of a model on PyTorch."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, given: Any) -> Any:
            return self.model(given, training=False)

    given = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    program = torch.export.export(Module(), (given,))
    own = set(program.graph_signature.user_inputs)
    nodes = _Nodes()
    for call in program.graph.nodes:
        value = call.meta.get("val")
        if value is None or (call.op == "placeholder" and call.name not in own):
            continue
        kind = call.target if isinstance(call.target, str) else call.target.__name__
        if kind.startswith("to."):
            nodes.same(call, call.all_input_nodes[0])
            continue
        scopes = list(call.meta.get("nn_module_stack", {}).values())
        scope = scopes[-1][0].replace(".", "/") if scopes else ""
        name = f"{scope}/{call.name}" if scope else call.name
        node = nodes.add(name, kind, call.all_input_nodes, [call])
        if hasattr(value, "shape"):
            nodes.shape(node, value.shape)
    return nodes.graph.SerializeToString()
