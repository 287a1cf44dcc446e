"""The functions of a surrogate that travel to other codes, in physical units."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from astrokeras.models.surrogate import Surrogate

NAMES = ("encode", "decode", "step", "rollout")


@dataclass(frozen=True)
class Graph:
    """A function of arrays in float32.

    Attributes:
        name: `encode`, `decode`, `step` or `rollout`.
        inputs: Sizes of each input; those with a name are free.
        output: What it returns.
        shape: Sizes of the output.
        function: Takes the inputs in their order, of any backend.
    """

    name: str
    inputs: dict[str, tuple[str | int, ...]]
    output: str
    shape: tuple[str | int, ...]
    function: Callable[..., Any]


def make_graphs(surrogate: Surrogate) -> dict[str, Graph]:
    """Return the graphs of a surrogate by name.

    `encode` and `decode` map abundances to latents and back. `step` is what a grid code
    calls for its cells: abundances, parameters of the interval and its length in years
    to the abundances after it. `rollout` evolves tracers over intervals, each with its
    own length; its states are 1 to `time`. Element totals are conserved if the
    surrogate conserves them.
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
    graphs = [
        Graph("encode", state, "latents", ("batch", latents), encode),
        Graph(
            "decode",
            {"latents": ("batch", latents)},
            "abundances",
            ("batch", species),
            decode,
        ),
        Graph(
            "step",
            state | {"physical": ("batch", parameters), "years": ("batch",)},
            "evolved",
            ("batch", species),
            step,
        ),
        Graph(
            "rollout",
            state
            | {"physical": ("batch", "time", parameters), "years": ("batch", "time")},
            "evolved",
            ("batch", "time", species),
            rollout,
        ),
    ]
    return {graph.name: graph for graph in graphs}
