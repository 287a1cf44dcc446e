"""UCLCHEM's standard models as tracks: static clouds, free fall, hot core, C-shock.

The models and their parameters are those of UCLCHEM 3.5 and its tutorials (Holdship et
al. 2017, AJ 154, 38), in its unit of time, years of 3.16e7 s. A cloud is seen from its
edge: Av = base + n size / 1.6e21 cm^-2, and half of this column density shields its H2
and CO, with all hydrogen molecular and CO of 1e-5.

- static: constant density and temperature;
- freefall: dn/dt = (n^4 / n0)^0.33 (8.4e-30 n0 ((n / n0)^0.33 - 1))^0.5 per second from
  1.001 n0 to the final density (Rawlings et al. 1992, MNRAS 255, 471), then constant;
- hotcore: a free fall, then T = T0 + a t^b up to the highest temperature, with a and b
  of the mass of the star (Viti et al. 2004, MNRAS 354, 1141; Awad et al. 2010, MNRAS
  407, 2511);
- cshock: a free fall, then a steady C-shock (Jimenez-Serra et al. 2008, A&A 482, 549)
  whose dust is as warm as its gas. Ices that grains lose by sputtering are not in it.

Intervals are chosen so that in each the logarithms of age, density and temperature
change by the same sum. A parameter has its mean over the interval, arithmetic for
densities and of the logarithm for others.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from astrokeras.config import StandardConfig
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

PARAMETERS = (
    *("Density", "Radfield", "Av", "gasTemp", "dustTemp", "zeta", "NH2", "NCO"),
)
YEAR = 3.16e7  # s
PARSEC = 3.086e18  # cm
COLUMN_PER_MAG = 1.6e21  # cm^-2 of a cloud
PROTON = 1.67262164e-24  # g
FIRST = 200.0
"""Age up to which intervals are equally long, if nothing else changes, years."""
FINE = 20_000
"""Number of times at which a model is evaluated."""
WARM_UP = {
    1: (1.927e-1, 0.5339),
    5: (4.856e-2, 0.6255),
    10: (7.847e-3, 0.8395),
    15: (9.6966e-4, 1.085),
    25: (1.706e-4, 1.289),
    60: (4.74e-7, 1.98),
}
"""Mass of a star, solar masses, to the coefficients of the temperature around it."""
DISSIPATION = 12 * PARSEC
"""Length in which a C-shock dissipates, times n / v in cm^-3 and km/s, cm."""
H2_SHARE, CO_SHARE = 0.5, 1e-5


class Stage(NamedTuple):
    """A stage of a model, at fine times.

    Attributes:
        time: Years since the stage began, increasing from 0, (F,).
        density: H nuclei cm^-3, (F,).
        temperature: Of gas and dust, K, (F,).
    """

    time: np.ndarray
    density: np.ndarray
    temperature: np.ndarray


Model: TypeAlias = Callable[[StandardConfig], list[Stage]]


def simulate(config: StandardConfig, number: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return times, parameters over each interval, (T, 8), and name of a model.

    Args:
        config: The models and their properties.
        number: Position in `config.models`.

    Raises:
        InputError: For a model that does not exist, or a free fall to lower density.
    """
    name = config.models[number]
    if name not in MODELS:
        raise InputError(
            f"tracks.models holds {name!r}; give names among {', '.join(MODELS)}"
            f"{suggest(name, MODELS)}"
        )
    for key in ("final_density", "shock_density"):
        if getattr(config, key) <= 1.01 * config.initial_density:
            raise InputError(
                f"tracks.{key} is {getattr(config, key):g}; give a higher density than "
                f"tracks.initial_density, {config.initial_density:g}."
            )
    stages = MODELS[name](config)
    counts = np.diff(np.linspace(0, config.steps, len(stages) + 1).astype(int))
    cut = [_cut(stage, int(count)) for stage, count in zip(stages, counts, strict=True)]
    begins = np.cumsum([0.0, *(edges[-1] for edges, *_ in cut)])
    time = [edges[:-1] + t for (edges, *_), t in zip(cut, begins, strict=False)]
    density = np.concatenate([one for _, one, _ in cut])
    temperature = np.concatenate([one for *_, one in cut])
    physical = cloud_parameters(
        density,
        temperature,
        radfield=config.radfield,
        zeta=config.zeta,
        base_av=config.base_av,
        size=config.size,
    )
    return np.append(np.concatenate(time), begins[-1]), physical, name


def cloud_parameters(
    density: np.ndarray,
    temperature: np.ndarray,
    *,
    radfield: float,
    zeta: float,
    base_av: float,
    size: float,
) -> np.ndarray:
    """Return `PARAMETERS` of gas in a cloud that is seen from its edge, (T, 8).

    Args:
        density: H nuclei cm^-3, (T,).
        temperature: Of gas and dust, K, (T,).
        radfield: UV field outside the cloud, Habing.
        zeta: Cosmic-ray ionisation rate, 1.3e-17 s^-1.
        base_av: Visual extinction at the edge of the cloud, mag.
        size: Of the cloud between edge and gas, pc.
    """
    column = density * size * PARSEC
    one = np.ones(len(density))
    columns = (
        *(density, radfield * one, base_av + column / COLUMN_PER_MAG),
        *(temperature, temperature, zeta * one),
        *(0.5 * H2_SHARE * column, 0.5 * CO_SHARE * column),
    )
    return np.stack(columns, axis=-1)


def _cut(stage: Stage, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of intervals, and mean density and temperature in each."""
    time, density, temperature = stage
    ages = np.log10(1 + time / FIRST)
    changes = (ages, np.log10(density), np.log10(temperature))
    change = np.sum([np.abs(np.diff(one)) for one in changes], axis=0)
    passed = np.append(0.0, np.cumsum(change))
    edges = np.interp(np.linspace(0, passed[-1], count + 1), passed, time)
    return (
        edges,
        mean_between(time, density, edges),
        np.exp(mean_between(time, np.log(temperature), edges)),
    )


def mean_between(time: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the means of a quantity between edges."""
    areas = np.diff(time) * (values[1:] + values[:-1]) / 2
    integral = np.interp(edges, time, np.append(0.0, np.cumsum(areas)))
    return np.diff(integral) / np.diff(edges)


def _times(end: float) -> np.ndarray:
    """Return fine times from 0 on, dense at the beginning, years."""
    return FIRST * np.expm1(np.linspace(0, np.log1p(end / FIRST), FINE))


def free_fall(initial: float, final: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the times, years, and densities of a free fall to its final density."""
    exponent = 0.33
    # In u = ((n / n0)^0.33 - 1)^0.5 the time is an integral without a pole.
    ends = np.sqrt(np.array([1.001, final / initial]) ** exponent - 1)
    u = np.geomspace(ends[0], ends[1], FINE)
    density = initial * (1 + u**2) ** (1 / exponent)
    growth = 2 * density / (exponent * (1 + u**2))  # dn/du over u
    pace = growth / (density**4 / initial) ** exponent / np.sqrt(8.4e-30 * initial)
    seconds = np.append(0.0, np.cumsum(np.diff(u) * (pace[1:] + pace[:-1]) / 2))
    return seconds / YEAR, density


def _collapse(config: StandardConfig, final: float) -> Stage:
    fall = free_fall(config.initial_density, final)
    return fallen(fall, config.collapse_time, config.temperature)


def fallen(
    fall: tuple[np.ndarray, np.ndarray], duration: float, temperature: float
) -> Stage:
    """Return a free fall of some duration, years, at whose end the gas may rest.

    Args:
        fall: Times, years, and densities of the whole free fall, see `free_fall`.
        duration: Of the stage, years.
        temperature: K.
    """
    years, density = fall
    time = np.union1d(_times(duration), years[years < duration])
    density = np.interp(time, years, density)
    return Stage(time, density, np.full(len(time), temperature))


def _static(density: float) -> Model:
    def model(config: StandardConfig) -> list[Stage]:
        time = _times(config.static_time)
        one = np.ones(len(time))
        return [Stage(time, density * one, config.temperature * one)]

    return model


def _free_fall(config: StandardConfig) -> list[Stage]:
    return [_collapse(config, config.final_density)]


def _hot_core(config: StandardConfig) -> list[Stage]:
    time = _times(config.core_time)
    factor, power = WARM_UP[config.star_mass]
    temperature = config.temperature + factor * time**power
    temperature = np.minimum(temperature, config.core_temperature)
    density = np.full(len(time), config.final_density)
    collapse = _collapse(config, config.final_density)
    return [collapse, Stage(time, density, temperature)]


def _c_shock(config: StandardConfig) -> list[Stage]:
    time = _times(config.shock_time)
    density, temperature = shock_profile(config, time)
    return [_collapse(config, config.shock_density), Stage(time, density, temperature)]


def shock_profile(
    config: StandardConfig, years: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return density and temperature of gas in a C-shock at some times, (T,) each."""
    speed, density = config.shock_velocity, config.shock_density
    length = DISSIPATION * speed / density
    final = _final_speed(speed, config.magnetic)
    flow = length / np.arccosh(100)  # Length in which the neutral gas slows down, cm.
    hottest = length / np.arccosh(1 / 0.15)  # Where it is hottest, cm.

    # The gas moves with the speed that the shock leaves it.
    z = flow * np.linspace(0, 40, FINE)
    slowed = (speed - final) * (1 - 1 / np.cosh(z / flow))
    pace = 1 / (1e5 * (speed - slowed) * YEAR)  # years a cm
    passed = np.append(0.0, np.cumsum(np.diff(z) * (pace[1:] + pace[:-1]) / 2))
    z = np.interp(years, passed, z)
    z += np.maximum(years - passed[-1], 0.0) / pace[-1]

    slowed = (speed - final) * (1 - 1 / np.cosh(np.minimum(z / flow, 700.0)))
    rise = shock_temperature(speed, density) - config.temperature
    scaled = np.minimum(6 * z / hottest, 700.0)
    with np.errstate(invalid="ignore"):
        shape = (z / hottest) ** 6 * np.expm1(6.0) / np.expm1(scaled)
    warm = config.temperature + max(rise, 0.0) * np.nan_to_num(shape)
    return density * speed / (speed - slowed), warm


def shock_temperature(speed: float, density: float) -> float:
    """Return the highest temperature in a C-shock, K: fits for 1e4, 1e5 and 1e6 cm^-3.

    Args:
        speed: km/s.
        density: Ahead of the shock, H nuclei cm^-3.
    """
    if density > 10**5.5:
        return 2.91731 * speed**2 - 23.78974 * speed + 225.204167337
    if density > 10**4.5:
        return 0.5 * (3.38989 * speed**2 + 16.6519 * speed + 96.569)
    return 0.47258 * speed**2 + 40.44161 * speed - 128.635455216


def _final_speed(speed: float, magnetic: float) -> float:
    """Return the speed v behind a shock in its frame as UCLCHEM has it, km/s.

    It solves v^4 - v_s v^3 - v_A^2 (v^2 - v_s^2) / 2 = 0.

    Args:
        speed: Speed of the shock, km/s.
        magnetic: Field ahead of it over the root of the density, microgauss cm^1.5.
    """
    alfven = magnetic * 1e-6 / np.sqrt(4 * np.pi * PROTON) / 1e5
    half = alfven**2 / 2
    # The root v = v_s is divided out.
    roots = np.roots([1.0, 0.0, -half, -half * speed])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


MODELS: dict[str, Model] = {
    "static4": _static(1e4),
    "static5": _static(1e5),
    "freefall": _free_fall,
    "hotcore": _hot_core,
    "cshock": _c_shock,
}
"""Models by name; static4 and static5 have 1e4 and 1e5 cm^-3."""
