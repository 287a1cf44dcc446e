"""Solver UCLCHEM, the gas-grain code (Holdship et al. 2017), if it is installed."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.data.tracers.units import EXTINCTION
from astrokeras.errors import InputError
from astrokeras.solvers.process import in_fresh_process
from astrokeras.solvers.shared_states import complete_rows, shared_array
from astrokeras.solvers.solver import (
    PARAMETERS,
    Solver,
    SolverError,
    describe_tolerances,
)

SECONDS = 3.16e7
"""Seconds of a year in UCLCHEM."""
LAG = 1.0
"""Years by which UCLCHEM integrates beyond a time; shorter last steps never begin."""
SETTLING = 1e-3
"""Years from the start to the first output, under the physics of the first step."""
SUMS = ("SURFACE", "BULK")
"""Entries of UCLCHEM's list that are not species: the totals of two ice phases."""
SET = {
    "points": "the tracks",
    "reltol": "solver.reltol",
    "abstol_factor": "solver.abstol_factor",
    "abstol_min": "solver.abstol_min",
    "initialdens": "the tracks",
    "initialtemp": "the tracks",
    "radfield": "the tracks",
    "zeta": "the tracks or solver.constants.zeta",
}
"""Options of UCLCHEM that users cannot set, and the source of their values."""
INSTALL = (
    "UCLCHEM is not installed; install it from its own repository "
    "(`pip install git+https://github.com/uclchem/UCLCHEM`, with a Fortran compiler), "
    "or use another solver with solver=network"
)


class UCLCHEM(Solver):
    """Solver UCLCHEM 3.5, whose `postprocess` follows a given trajectory.

    The parameters of row k hold from row k to k + 1. `NH2` and `NCO` shield H2 and CO;
    the column density of H nuclei is Av / 5.348e-22 cm^-2.

    Args:
        config: Its `options` are UCLCHEM's own parameters, such as `fc`, the elemental
            abundance of carbon.

    Raises:
        InputError: If UCLCHEM is not installed.
    """

    def __init__(self, config: SolverConfig):
        try:
            import uclchem.model  # Imported once, before processes are forked.
            import uclchem.utils
        except ImportError as error:
            raise InputError(f"{INSTALL} ({error}).") from error
        self.config = config
        own = sorted(set(config.options) & set(SET))
        if own:
            raise InputError(
                f"solver.options.{own[0]}: is set by {SET[own[0]]}; remove it."
            )
        self.parameters = PARAMETERS
        self.shortest = 1.001 * LAG
        names = [str(name) for name in uclchem.utils.get_species_table()["NAME"]]
        self._columns = [i for i, name in enumerate(names) if name not in SUMS]
        self._count = len(names)
        self._rows: np.ndarray | None = None
        self.species = tuple(names[i] for i in self._columns)
        version = importlib.metadata.version("uclchem")
        self.facts = {
            "solver": f"UCLCHEM {version}",
            "network": f"UCLCHEM {version}, {len(self.species)} species",
            "tolerances": describe_tolerances(config),
            "constants": f"{SECONDS:g} s a year, Av {EXTINCTION:g} mag cm^2 N(H)",
        }
        self.initial = self._start()

    def prepare(self, states: int) -> None:
        """Allocate the rows that UCLCHEM writes: one more than states."""
        self._rows = shared_array((states + 1, 1, self._count), order="F")

    def reached(self) -> np.ndarray:
        """Return the states that UCLCHEM has written, see `Solver.reached`."""
        if self._rows is None:
            return super().reached()
        rows = complete_rows(self._rows[:, 0])[:, self._columns]
        return np.concatenate([rows[:1], rows[2:]])

    def solve(
        self, time: np.ndarray, physical: Mapping[str, np.ndarray], initial: np.ndarray
    ) -> np.ndarray:
        """Integrate one tracer, see `Solver.solve`; only once in a process."""
        start = np.zeros(self._count, order="F")
        start[self._columns] = initial
        rows = self._run(time, physical, start)
        # The first row is the initial state, the second the end of the settling.
        return np.concatenate([initial[None], rows[2:]])

    def _start(self) -> np.ndarray:
        """Return the initial state for the network's elemental abundances, (S,)."""
        usual = {name: np.array([10.0]) for name in self.parameters}
        limit = self.config.cpu_limit
        try:
            return in_fresh_process(
                self._run, np.array([0.0, 10.0]), usual, None, limit=limit
            )[0]
        except SolverError as error:
            if not self.config.options:
                raise
            raise InputError(
                f"solver.options {', '.join(self.config.options)}: UCLCHEM refuses "
                f"these ({error}); correct or remove them."
            ) from error

    def _run(
        self,
        time: np.ndarray,
        physical: Mapping[str, np.ndarray],
        start: np.ndarray | None,
    ) -> np.ndarray:
        """Return the abundances of UCLCHEM's rows, one more than times, (T+2, S)."""
        from uclchem import model
        from uclchem.utils import check_error

        # `postprocess` of 3.5 expects four values, but this function returns five.
        clean = model._array_clean
        model._array_clean = lambda *given: _without_rates(clean(*given[:3]))
        if self._rows is not None:
            create, shared = model._create_fortranarray, self._rows
            model._create_fortranarray = lambda *given, **more: (
                create(*given, **more)[0],
                shared,
            )

        last = {
            name: np.append(values, values[-1]) for name, values in physical.items()
        }
        # UCLCHEM integrates to a year after each given time.
        seconds = SECONDS * (np.maximum(time, SETTLING) - LAG)
        column = last["Av"] / EXTINCTION
        # UCLCHEM uses the shielding column densities at the end of a time step.
        shield = {
            name: np.append(last[name][:1], last[name][:-1]) for name in ("NH2", "NCO")
        }
        _, abundances, _, _, flag = model.postprocess(
            self._options(last),
            return_array=True,
            starting_chemistry=start,
            time_array=seconds,
            density_array=last["Density"],
            gas_temperature_array=last["gasTemp"],
            dust_temperature_array=last["dustTemp"],
            zeta_array=last["zeta"],
            radfield_array=last["Radfield"],
            coldens_H_array=column,
            coldens_H2_array=shield["NH2"],
            coldens_CO_array=shield["NCO"],
            coldens_C_array=0.0 * column,
        )
        if flag:
            raise SolverError(" ".join(str(check_error(flag)).split()))
        rows = abundances[:, 0, self._columns]
        if len(rows) != len(time) + 1:
            reached = time[max(len(rows) - 2, 0)]
            raise SolverError(
                f"UCLCHEM stopped after {reached:g} of {time[-1]:g} years"
            )
        return rows

    def _options(self, physical: Mapping[str, np.ndarray]) -> dict[str, Any]:
        config = self.config
        return {
            "points": 1,
            "reltol": config.reltol,
            "abstol_factor": config.abstol_factor,
            "abstol_min": config.abstol_min,
            # These hold for the settling, before the trajectory begins.
            "initialdens": float(physical["Density"][0]),
            "initialtemp": float(physical["gasTemp"][0]),
            "radfield": float(physical["Radfield"][0]),
            "zeta": float(physical["zeta"][0]),
        } | {
            name: int(value) if float(value).is_integer() else value
            for name, value in config.options.items()
        }


def _without_rates(cleaned: tuple[Any, ...]) -> tuple[Any, ...]:
    physics, abundances, names, _, last = cleaned
    return physics, abundances, names, last
