"""What a surrogate knows of its data: names, units, limits and starts."""

from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.models.training_ranges import Limits
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest


class Facts:
    """Properties of a `Surrogate`, read from the plain values of its configuration."""

    _facts: dict[str, Any]

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, (S,), in column order."""
        return tuple(self._facts["species"])

    # Not `parameters`: PyTorch's modules have a method of that name.
    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the physical parameters, (P,), in column order."""
        return tuple(self._facts["parameters"])

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the physical parameters, (P,)."""
        return tuple(self._facts["units"])

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of the elements, (E,)."""
        return tuple(self._facts["elements"])

    @property
    def stoichiometry(self) -> np.ndarray:
        """Atom counts, (S, E)."""
        return np.asarray(self._facts["stoichiometry"])

    @property
    def dt_range(self) -> tuple[float, float]:
        """Shortest and longest trained interval between states, years."""
        low, high = self._facts["dt_range"]
        return low, high

    @property
    def t_max(self) -> float:
        """Longest time that training followed a tracer, years."""
        return self._facts["t_max"]

    @property
    def parameter_ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest trained value of each parameter, in its unit."""
        return {
            name: (low, high)
            for name, (low, high) in self._facts["parameter_ranges"].items()
        }

    @property
    def initial_conditions(self) -> dict[str, np.ndarray]:
        """Named initial abundances, (S,) each."""
        return {k: np.asarray(v) for k, v in self._facts["initial_conditions"].items()}

    @property
    def floor(self) -> float:
        """Smallest abundance relative to H nuclei."""
        return self._facts["floor"]

    @property
    def conserve(self) -> bool:
        """Whether rollouts keep the element totals of their state 0."""
        return self._facts["conserve"]

    @property
    def residual_decay_length(self) -> float:
        """Path of the latents over which what was missed of state 0 fades."""
        return self._facts["residual_decay_length"]

    @property
    def limits(self) -> Limits:
        """The training ranges, without Keras."""
        return Limits.from_metadata(self._facts)

    def initial_condition(self, name: str) -> np.ndarray:
        """Return the named initial abundances, `(S,)`.

        Raises:
            InputError: If there is no such start; the message lists those there are.
        """
        if arguments.text("a start", name) not in self.initial_conditions:
            known = ", ".join(self.initial_conditions)
            raise InputError(
                f"no start is named {arguments.shown(name)}; there are: {known}"
                f"{suggest(name, self.initial_conditions)}"
            )
        return self.initial_conditions[name]

    def __repr__(self) -> str:
        low, high = self.dt_range
        parts = (
            f"{len(self.species)} species",
            *self.parameter_names,
            f"steps of {low:.4g} to {high:.4g} yr",
            f"starts {', '.join(self.initial_conditions)}",
        )
        return f"<Surrogate: {', '.join(parts)}>"
