"""PyTorch's `torch.export`, of all but the rollout: it would unroll its loop."""

from pathlib import Path
from typing import Any

from astrokeras.export.export import Functions
from astrokeras.export.functions import Graph


def write(surrogate: Any, graphs: dict[str, Graph], folder: Path) -> None:
    """Write `encode.pt2`, `decode.pt2` and `step.pt2`."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self, graph: Graph):
            super().__init__()
            self.surrogate = surrogate
            self.graph = graph

        def forward(self, *given: Any) -> Any:
            return self.graph.function(*given)

    batch = torch.export.Dim("batch", min=1)
    for name in ("encode", "decode", "step"):
        graph = graphs[name]
        shapes = [
            [3 if size == "batch" else size for size in sizes]
            for sizes in graph.inputs.values()
        ]
        given = tuple(torch.full(shape, 1e-3) for shape in shapes)
        program = torch.export.export(
            Module(graph).eval(), given, dynamic_shapes=(({0: batch},) * len(given),)
        )
        torch.export.save(program, folder / f"{name}.pt2")


def read(folder: Path) -> Functions:
    """Return functions that run the files."""
    import torch

    def load(path: Path) -> Any:
        module = torch.export.load(path).module()

        def run(*given: Any) -> Any:
            with torch.no_grad():
                return module(*(torch.from_numpy(one) for one in given)).numpy()

        return run

    return {path.stem: load(path) for path in sorted(folder.glob("*.pt2"))}
