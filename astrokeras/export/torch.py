"""`torch.export` format of PyTorch: encode, decode and step.

The rollout is left out, as the export would unroll its loop.
"""

from pathlib import Path
from typing import Any

from astrokeras.export.export import Functions
from astrokeras.export.functions import ExportedFunction


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write `encode.pt2`, `decode.pt2` and `step.pt2`."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self, function: ExportedFunction):
            super().__init__()
            self.surrogate = surrogate
            self.function = function

        def forward(self, *inputs: Any) -> Any:
            return self.function.function(*inputs)

    batch = torch.export.Dim("batch", min=1)
    for name in ("encode", "decode", "step"):
        function = functions[name]
        shapes = [
            [3 if size == "batch" else size for size in sizes]
            for sizes in function.inputs.values()
        ]
        inputs = tuple(torch.full(shape, 1e-3) for shape in shapes)
        program = torch.export.export(
            Module(function).eval(),
            inputs,
            dynamic_shapes=(({0: batch},) * len(inputs),),
        )
        torch.export.save(program, folder / f"{name}.pt2")


def read(folder: Path) -> Functions:
    """Return the functions, run by PyTorch."""
    import torch

    def load(path: Path) -> Any:
        module = torch.export.load(path).module()

        def run(*inputs: Any) -> Any:
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(array) for array in inputs))
            return tuple(output.numpy() for output in outputs)

        return run

    return {path.stem: load(path) for path in sorted(folder.glob("*.pt2"))}
