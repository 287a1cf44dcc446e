"""A model's operations as TensorBoard draws them: a place that knows the backend."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from tensorboard.compat.proto.graph_pb2 import GraphDef

ROWS, STEPS = 2, 2  # of the inputs: PyTorch unrolls its loop


def model_graph(model: keras.Model, inputs: Any) -> bytes:
    """Return the operations of a model's prediction, a serialised `GraphDef`.

    The backend traces them. Weights are left out on JAX and PyTorch, where a layer is a
    scope of its operations' names; on TensorFlow they are the graph's placeholders.

    Args:
        model: Built.
        inputs: Arrays that it takes; the first rows and steps of them are used.
    """
    small = keras.tree.map_structure(
        lambda a: a[:ROWS, :STEPS] if a.ndim == 3 else a[:ROWS], inputs
    )
    trace = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return trace[keras.config.backend()](model, small)


class _Nodes:
    """Collects operations, named after those that made their inputs."""

    def __init__(self) -> None:
        self.graph = GraphDef()
        self.names: dict[int, str] = {}

    def add(
        self, name: str, kind: str, inputs: Iterable[Any], outputs: Iterable[Any]
    ) -> Any:
        """Add an operation; what is not known as another's output is left out."""
        known = [self.names[id(one)] for one in inputs if id(one) in self.names]
        node = self.graph.node.add(
            name=f"{name}_{len(self.graph.node)}", op=kind, input=dict.fromkeys(known)
        )
        self.names |= {id(one): node.name for one in outputs}
        return node

    def same(self, output: Any, given: Any) -> None:
        """Say that an output is what was given, in a precision that it has already."""
        if id(given) in self.names:
            self.names[id(output)] = self.names[id(given)]

    def shape(self, node: Any, sizes: Sequence[int]) -> None:
        """Say the shape of an operation's output."""
        shape = node.attr["_output_shapes"].list.shape.add()
        for size in sizes:
            shape.dim.add(size=int(size))


def _tensorflow(model: keras.Model, inputs: Any) -> bytes:
    import tensorflow as tf

    traced = tf.function(lambda given: model(given, training=False))
    graph = traced.get_concrete_function(inputs).graph
    return graph.as_graph_def(add_shapes=True).SerializeToString()


def _jax(model: keras.Model, inputs: Any) -> bytes:
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
    for one in program.graph.nodes:
        value = one.meta.get("val")
        if value is None or (one.op == "placeholder" and one.name not in own):
            continue
        kind = one.target if isinstance(one.target, str) else one.target.__name__
        if kind.startswith("to."):
            nodes.same(one, one.all_input_nodes[0])
            continue
        scopes = list(one.meta.get("nn_module_stack", {}).values())
        scope = scopes[-1][0].replace(".", "/") if scopes else ""
        name = f"{scope}/{one.name}" if scope else one.name
        node = nodes.add(name, kind, one.all_input_nodes, [one])
        if hasattr(value, "shape"):
            nodes.shape(node, value.shape)
    return nodes.graph.SerializeToString()
