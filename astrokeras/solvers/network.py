"""Solver of a reaction network with SciPy, for small networks and without Fortran."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import PHASES
from astrokeras.config import SolverConfig
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.units import YEAR
from astrokeras.errors import InputError
from astrokeras.solvers.rates import DESORPTION, MONOLAYER, Rates
from astrokeras.solvers.reactions import Reaction, list_species, read_reactions
from astrokeras.solvers.solver import (
    PARAMETERS,
    Solver,
    SolverError,
    describe_tolerances,
    find_file,
)

FILES = {"reactions": "the reactions, CSV", "initial": "initial abundances, CSV"}
RANGES = {
    "gasTemp": replace(PARAMETERS["gasTemp"], low=5.0),
    "dustTemp": replace(PARAMETERS["dustTemp"], high=1e4),
}
"""Parameters whose ranges differ from those of other solvers."""


class Network(Solver):
    """Solver of the reactions in a file, by backward differentiation (SciPy's `BDF`).

    Rate coefficients are constant within each time step. The Jacobian is exact. H2
    shields itself completely and dust alone shields CO, whatever `NH2` and `NCO` are.

    Args:
        config: Its `files` name `reactions` and `initial`, see `read_reactions` and
            `read_initial`: paths, or names of files in `configs/solver/`.

    Raises:
        InputError: If SciPy is not installed, or a file is missing or invalid.
    """

    def __init__(self, config: SolverConfig):
        try:
            import scipy.integrate  # Imported once, before processes are forked.
        except ImportError as error:
            raise InputError(
                "solver.kind is 'network', which needs SciPy; "
                f'`pip install "astrokeras[generate]"` ({error}).'
            ) from error
        if config.options:
            raise InputError(
                f"solver.options.{next(iter(config.options))}: the solver 'network' "
                "has no options; remove it."
            )
        paths = {name: _find(config, name) for name in FILES}
        reactions = read_reactions(paths["reactions"])
        self.config = config
        self.parameters = PARAMETERS | RANGES
        self.species = list_species(reactions)
        self.initial = read_initial(paths["initial"], self.species)
        self.rates = Rates(reactions)
        self.kinetics = Kinetics(reactions, self.species)
        self.facts = {
            "solver": f"astrokeras network, SciPy {scipy.__version__} BDF",
            "network": f"{paths['reactions'].name}, {len(self.species)} species, "
            f"{len(reactions)} reactions",
            "tolerances": describe_tolerances(config),
            "constants": f"{YEAR:g} s a year",
        }

    def solve(
        self, time: np.ndarray, physical: Mapping[str, np.ndarray], initial: np.ndarray
    ) -> np.ndarray:
        """Integrate one tracer, see `Solver.solve`."""
        states = self.states
        if states is None:
            states = np.full((len(time), len(self.species)), np.nan)
        states[0] = initial
        for i, years in enumerate(np.diff(time)):
            here = {name: float(values[i]) for name, values in physical.items()}
            after, fault = self._step(states[i], years * YEAR, here)
            if fault:
                raise SolverError(f"{fault} after {time[i]:g} of {time[-1]:g} years")
            states[i + 1] = after
        return states

    def _step(
        self, start: np.ndarray, seconds: float, physical: Mapping[str, float]
    ) -> tuple[np.ndarray, str]:
        """Return the abundances after a time step, and its fault, if any."""
        from scipy.integrate import solve_ivp

        coefficients, kinetics = self.rates(physical), self.kinetics
        small = np.maximum(self.config.abstol_factor * start, self.config.abstol_min)
        done: Any = solve_ivp(
            lambda _, x: kinetics.change(coefficients, x),
            (0.0, seconds),
            start,
            method="BDF",
            t_eval=[seconds],
            rtol=self.config.reltol,
            atol=small,
            jac=lambda _, x: kinetics.jacobian(coefficients, x),
        )
        if done.status != 0:
            return start, " ".join(str(done.message).split())
        # Abundances below the tolerance may become negative.
        return np.maximum(done.y[:, -1], 0.0), ""


class Kinetics:
    """Time derivatives of the abundances, and their Jacobian.

    The rate of a reaction is k Y, or k Y Y' for two bodies. Desorption acts only on the
    topmost layer: k Y m / (m + ice), where m is a monolayer and ice the total ice.

    Args:
        reactions: The reactions, (R,).
        species: All species of the reactions, (S,).
    """

    def __init__(self, reactions: tuple[Reaction, ...], species: tuple[str, ...]):
        position = {name: i for i, name in enumerate(species)}
        self.net = np.zeros((len(species), len(reactions)))
        for row, reaction in enumerate(reactions):
            for name in reaction.reactants:
                self.net[position[name], row] -= 1
            for name in reaction.products:
                self.net[position[name], row] += 1
        # A single reactant is paired with a pseudo-species of abundance 1. H2 formation
        # consumes two H, but its rate is linear in H.
        alone = [
            len(reaction.reactants) == 1 or reaction.kind == "H2FORM"
            for reaction in reactions
        ]
        self.first = np.array(
            [position[reaction.reactants[0]] for reaction in reactions]
        )
        self.second = np.array(
            [
                len(species) if single else position[reaction.reactants[1]]
                for reaction, single in zip(reactions, alone, strict=True)
            ]
        )
        self.desorbs = np.flatnonzero(
            [reaction.kind in DESORPTION for reaction in reactions]
        )
        solid = [sign for sign, phase in PHASES.items() if phase != "gas"]
        self.ice = np.array([name[0] in solid for name in species])

    def change(self, coefficients: np.ndarray, abundances: np.ndarray) -> np.ndarray:
        """Return the time derivative of the abundances, s^-1, (S,).

        Args:
            coefficients: Rate coefficients of the reactions, s^-1, (R,).
            abundances: Relative to H nuclei, (S,).
        """
        filled = np.append(abundances, 1.0)
        speed = coefficients * filled[self.first] * filled[self.second]
        speed[self.desorbs] *= self._top(abundances)
        return self.net @ speed

    def jacobian(self, coefficients: np.ndarray, abundances: np.ndarray) -> np.ndarray:
        """Return the Jacobian of the time derivative, s^-1, (S, S)."""
        filled = np.append(abundances, 1.0)
        first, second = filled[self.first], filled[self.second]
        slope = np.zeros((len(coefficients), len(filled)))
        rows = np.arange(len(coefficients))
        slope[rows, self.first] += coefficients * second
        slope[rows, self.second] += coefficients * first
        slope = slope[:, :-1]
        top, desorbs = self._top(abundances), self.desorbs
        slope[desorbs] *= top
        covered = (coefficients * first)[desorbs] * top**2 / MONOLAYER
        slope[desorbs] -= covered[:, None] * self.ice
        return self.net @ slope

    def _top(self, abundances: np.ndarray) -> float:
        """Return the fraction of the ice in its topmost layer."""
        return float(MONOLAYER / (MONOLAYER + abundances[self.ice].sum()))


def _find(config: SolverConfig, name: str) -> Path:
    """Return the path of a required file of the configuration."""
    given = config.files.get(name)
    if not given:
        raise InputError(
            f"solver.files.{name} is missing: {FILES[name]}; give its path."
        )
    return find_file(name, given)
