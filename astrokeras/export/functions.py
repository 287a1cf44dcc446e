"""Exported functions of a surrogate: encode, decode, step and rollout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from astrokeras.export.checked_rollout import CheckedRollout
from astrokeras.layers.trust_model import CARRIED
from astrokeras.models.surrogate import Surrogate

OUTPUTS = {
    "encode": ("latents",),
    "decode": ("abundances",),
    "step": ("evolved", "expected_error", "status", "carried_on"),
    "rollout": ("evolved", "expected_error", "status"),
}
"""Names of the outputs of each function."""
NAMES = tuple(OUTPUTS)
Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class ExportedFunction:
    """A function of float32 arrays in physical units.

    Attributes:
        name: `encode`, `decode`, `step` or `rollout`.
        inputs: Shape of each input by name; a dimension with a name is free.
        outputs: Shape of each output by name, in the same way.
        function: Takes the inputs in this order, as tensors of any backend, and returns
            the outputs as a tuple. `status` is int32.
    """

    name: str
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    function: Callable[..., tuple[Any, ...]]


def make_functions(surrogate: Surrogate) -> dict[str, ExportedFunction]:
    """Return the exported functions of a surrogate by name.

    `encode` and `decode` map abundances to latents and back. `step` is meant for the
    cells of a grid code: it maps abundances, the parameters of a time step and its
    length in years to the abundances after the step. `rollout` evolves tracers over
    time steps of any lengths and returns states 1 to `time`. `step` and `rollout`
    conserve element totals if the surrogate does, and return expected errors and
    status, see `CheckedRollout`; `step` takes and returns the numbers that the expected
    error needs of earlier steps, zeros at the start.
    """
    species, latents = len(surrogate.species), surrogate.emulator.latents
    parameters = len(surrogate.parameter_names)

    checked = CheckedRollout(surrogate)

    def encode(abundances: Any) -> tuple[Any]:
        return (surrogate.emulator.encode(surrogate.abundance_scaler(abundances)),)

    def decode(latents: Any) -> tuple[Any]:
        return (surrogate.abundances(latents),)

    def step(abundances: Any, physical: Any, years: Any, carried: Any) -> tuple:
        one = physical[:, None], years[:, None]
        *states, after = checked(abundances, *one, carried)
        return *(value[:, 0] for value in states), after

    def rollout(abundances: Any, physical: Any, years: Any) -> tuple:
        return checked(abundances, physical, years)[:3]

    state: dict[str, Shape] = {"abundances": ("batch", species)}
    code: dict[str, Shape] = {"latents": ("batch", latents)}
    carried: dict[str, Shape] = {"carried": ("batch", len(CARRIED))}
    after: dict[str, Shape] = {"carried_on": carried["carried"]}

    def shapes(*free: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
        given = state | {"physical": (*free, parameters), "years": free}
        evolved: dict[str, Shape] = {"evolved": (*free, species)}
        return given, evolved | {"expected_error": free, "status": free}

    given, told = shapes("batch")
    functions = [
        ExportedFunction("encode", state, code, encode),
        ExportedFunction("decode", code, state, decode),
        ExportedFunction("step", given | carried, told | after, step),
        ExportedFunction("rollout", *shapes("batch", "time"), rollout),
    ]
    return {function.name: function for function in functions}
