"""Tracks of UCLCHEM's cloud model, from the dictionary of parameters that it takes.

`uclchem.model.cloud(param_dict)` of UCLCHEM 3.5.5 follows a parcel of gas at one
temperature, whose density is constant or that of a free fall; see
`astrokeras.trajectories.standard` for the equations. Names, meanings and default values
of the parameters are those of its documentation. As in UCLCHEM, letter case does not
matter.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest
from astrokeras.trajectories.intervals import GROWTH, by_age, times_between
from astrokeras.trajectories.standard import (
    PARAMETERS,
    cloud_parameters,
    fallen,
    free_fall,
    mean_between,
)

PHYSICS: Mapping[str, float] = {
    "initialDens": 100.0,  # H nuclei cm^-3
    "finalDens": 1e5,  # H nuclei cm^-3, of a free fall
    "initialTemp": 10.0,  # K
    "finalTime": 5e6,  # years
    "radfield": 1.0,  # Habing
    "zeta": 1.0,  # 1.3e-17 s^-1
    "rout": 0.05,  # pc
    "rin": 0.0,  # pc
    "baseAv": 2.0,  # mag
    "freefallFactor": 1.0,
}
"""Parameters that make the track, with UCLCHEM's default values."""
SWITCHES = {"freefall": False, "endAtFinalDensity": False}
"""Switches that make the track, with UCLCHEM's default values."""
MAY_BE_ZERO = {"rin", "baseAv"}
CHEMISTRY: Mapping[str, Any] = {
    "points": 1,
    "freezeFactor": 1.0,
    "desorb": True,
    "h2desorb": True,
    "crdesorb": True,
    "uvdesorb": True,
    "thermdesorb": True,
    "instantSublimation": False,
    "cosmicRayAttenuation": False,
    "ionModel": "L",
    "improvedH2CRPDissociation": False,
    "enforceChargeConservation": False,
    "metallicity": 1.0,
    "ion": 2,
    "fh": 0.5,
    "fhe": 0.1,
    "fc": 1.77e-4,
    "fo": 3.34e-4,
    "fn": 6.18e-5,
    "fs": 3.51e-6,
    "fmg": 2.256e-6,
    "fsi": 1.78e-6,
    "fcl": 3.39e-8,
    "fp": 7.78e-8,
    "ffe": 2.01e-7,
    "ff": 3.6e-8,
    **dict.fromkeys(("fd", "fli", "fna", "fpah", "f15n", "f13c", "f18o"), 0.0),
    "ebmaxh2": 1.21e3,
    "ebmaxcr": 1.21e3,
    "ebmaxuvcr": 1e4,
    "epsilon": 0.01,
    "uv_yield": 0.03,
    "phi": 1e5,
    "uvcreff": 1e-3,
    "omega": 0.5,
    **dict.fromkeys(("alpha", "beta", "gama", "gamma", "abundLoadFile"), None),
}
"""Parameters that change the abundances but not the track, with the same values."""
WITHOUT_EFFECT = {
    *("outputFile", "columnFile", "rateFile", "fluxFile", "writeStep", "outSpecies"),
    *("abundSaveFile", "reltol", "abstol_factor", "abstol_min", "MXSTEP", "jacobian"),
    *("currentTime", "bm0"),
}
"""Parameters of output, of the integration, and of other models than clouds."""
OTHER_MODELS = {
    "temp_indx": "hot_core",
    "max_temperature": "hot_core",
    "shock_vel": "cshock or jshock",
    "timestep_factor": "cshock",
    "minimum_temperature": "cshock",
    "collapse": "collapse",
    "physics_output": "collapse",
    **dict.fromkeys(
        (f"{name}_array" for name in ("time", "density", "gas_temperature")),
        "postprocess",
    ),
}
"""Arguments of UCLCHEM's other models, and which."""
ATTAINED = 1.001
"""Density at which a free fall begins, over the initial density."""


def cloud_track(
    param_dict: Mapping[str, Any], dt_range: tuple[float, float]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the track of a cloud of UCLCHEM.

    Intervals are those of static gas, ten per decade of age; in a free fall the density
    grows by 0.1 dex at most where `dt_range` allows.

    Args:
        param_dict: UCLCHEM's parameters; those that are missing have its defaults.
        dt_range: Shortest and longest interval, years.

    Returns:
        `PARAMETERS` by name, means over each interval, (T,) each, and the years of the
        states from 0 on, (T+1,), of 3.16e7 s as in UCLCHEM.

    Raises:
        InputError: For a parameter that is unknown, belongs to another model or changes
            the chemistry, and for a value that no cloud has.
    """
    given = _named(param_dict)
    values = {
        name: arguments.number(name, given.get(name, default), low=0.0)
        for name, default in PHYSICS.items()
    }
    for name, value in values.items():
        if value == 0 and name not in MAY_BE_ZERO:
            raise InputError(f"{name} is 0; give a positive number.")
    falls, ends = (
        arguments.flag(name, given.get(name, default))
        for name, default in SWITCHES.items()
    )
    if ends and not falls:
        raise InputError(
            "endAtFinalDensity is True without freefall, so that the model would not "
            "end; give freefall=True or finalTime."
        )
    size = values["rout"] - values["rin"]
    if size <= 0:
        raise InputError(
            f"rout is {values['rout']:g} pc; give more than rin, {values['rin']:g} pc."
        )
    initial, duration = values["initialDens"], values["finalTime"]
    length_at: Callable[[float], float] = by_age
    if falls:
        final = values["finalDens"]
        if final <= ATTAINED * initial:
            raise InputError(
                f"finalDens is {final:g} H nuclei cm^-3; a free fall needs a higher "
                f"density than initialDens, {initial:g}."
            )
        years, density = free_fall(initial, final)
        fall = years / values["freefallFactor"], density
        duration = float(fall[0][-1]) if ends else duration
        length_at = _pace(*fall)
    edges, _ = times_between(duration, dt_range, length_at)
    density = np.full(len(edges) - 1, initial)
    if falls:
        stage = fallen(fall, duration, values["initialTemp"])
        density = mean_between(stage.time, stage.density, edges)
    physical = cloud_parameters(
        density,
        np.full(len(density), values["initialTemp"]),
        radfield=values["radfield"],
        zeta=values["zeta"],
        base_av=values["baseAv"],
        size=size,
    )
    return dict(zip(PARAMETERS, physical.T, strict=True)), edges


def _pace(years: np.ndarray, density: np.ndarray) -> Callable[[float], float]:
    """Return the function that chooses intervals in a free fall, see `cloud_track`."""

    def length_at(age: float) -> float:
        if age >= years[-1]:
            return by_age(age)
        denser = (1 + GROWTH) * np.interp(age, years, density)
        return min(by_age(age), float(np.interp(denser, density, years)) - age)

    return length_at


def _named(param_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the track by UCLCHEM's spelling, after checking all."""
    if not isinstance(param_dict, Mapping):
        raise InputError(
            f"param_dict is {arguments.shown(param_dict)}; give a dictionary of "
            "UCLCHEM's parameters."
        )
    own = [*PHYSICS, *SWITCHES]
    spelled = {name.casefold(): name for name in (*own, *CHEMISTRY, *WITHOUT_EFFECT)}
    given: dict[str, Any] = {}
    for key, value in param_dict.items():
        name = spelled.get(str(key).casefold())
        if str(key).casefold() in OTHER_MODELS:
            raise InputError(
                f"{key} belongs to UCLCHEM's model "
                f"{OTHER_MODELS[str(key).casefold()]}; this is the track of a cloud, "
                "static or in free fall, `astrokeras data tracks standard` makes those "
                "of a hot core and a C-shock."
            )
        if name is None:
            remedy = suggest(key, spelled.values(), f"; give {', '.join(own)}.")
            raise InputError(
                f"{arguments.shown(key)} is not a parameter of UCLCHEM's clouds{remedy}"
            )
        if name in given:
            raise InputError(f"{name} is given twice, as {key} too; give it once.")
        given[name] = value
        if name in CHEMISTRY and not _is_default(value, CHEMISTRY[name]):
            raise InputError(_why_fixed(name, value))
    return given


def _is_default(value: Any, default: Any) -> bool:
    if default is None:
        return value is None or (hasattr(value, "__len__") and not len(value))
    if isinstance(default, bool):
        return isinstance(value, bool | np.bool_) and value == default
    try:
        return bool(value == default)
    except Exception:  # Comparisons of the value may raise any exception.
        return False


def _why_fixed(name: str, value: Any) -> str:
    """Return why a parameter of the chemistry is refused, and the remedy."""
    default, shown = CHEMISTRY[name], arguments.shown(value)
    if name == "points":
        return (
            f"points is {shown}; a track is that of one parcel, give one dictionary "
            "for each."
        )
    if name == "abundLoadFile":
        return (
            f"abundLoadFile is {shown}; leave it out, and give the abundances of the "
            "file as `initial` of `emulate`."
        )
    usual = "" if default is None else f", {default}"
    return (
        f"{name} is {shown}, which changes the chemistry; a surrogate has learned that "
        f"of UCLCHEM's default{usual}: leave it out, or train on tracers with it "
        "(`astrokeras data generate`, solver.options)."
    )
