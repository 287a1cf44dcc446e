"""Exported functions of a surrogate: encode, decode, step and rollout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from astrokeras.models.surrogate import Surrogate

NAMES = ("encode", "decode", "step", "rollout")


@dataclass(frozen=True)
class ExportedFunction:
    """A function of float32 arrays in physical units.

    Attributes:
        name: `encode`, `decode`, `step` or `rollout`.
        inputs: Shape of each input by name; a dimension with a name is free.
        output: Name of the output.
        shape: Shape of the output.
        function: Takes the inputs in this order, as tensors of any backend.
    """

    name: str
    inputs: dict[str, tuple[str | int, ...]]
    output: str
    shape: tuple[str | int, ...]
    function: Callable[..., Any]


def make_functions(surrogate: Surrogate) -> dict[str, ExportedFunction]:
    """Return the exported functions of a surrogate by name.

    `encode` and `decode` map abundances to latents and back. `step` is meant for the
    cells of a grid code: it maps abundances, the parameters of a time step and its
    length in years to the abundances after the step. `rollout` evolves tracers over
    time steps of any lengths and returns states 1 to `time`. `step` and `rollout`
    conserve element totals if the surrogate does.
    """
    species, latents = len(surrogate.species), surrogate.emulator.latents
    parameters = len(surrogate.parameter_names)

    def encode(abundances: Any) -> Any:
        return surrogate.emulator.encode(surrogate.abundance_scaler(abundances))

    def decode(latents: Any) -> Any:
        return surrogate.abundances(latents)

    def step(abundances: Any, physical: Any, years: Any) -> Any:
        return surrogate((abundances, physical[:, None], years[:, None]))[:, 0]

    def rollout(abundances: Any, physical: Any, years: Any) -> Any:
        return surrogate((abundances, physical, years))

    state: dict[str, tuple[str | int, ...]] = {"abundances": ("batch", species)}
    functions = [
        ExportedFunction("encode", state, "latents", ("batch", latents), encode),
        ExportedFunction(
            "decode",
            {"latents": ("batch", latents)},
            "abundances",
            ("batch", species),
            decode,
        ),
        ExportedFunction(
            "step",
            state | {"physical": ("batch", parameters), "years": ("batch",)},
            "evolved",
            ("batch", species),
            step,
        ),
        ExportedFunction(
            "rollout",
            state
            | {"physical": ("batch", "time", parameters), "years": ("batch", "time")},
            "evolved",
            ("batch", "time", species),
            rollout,
        ),
    ]
    return {function.name: function for function in functions}
