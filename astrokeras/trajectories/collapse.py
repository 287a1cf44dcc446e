"""Trajectories of gas in collapsing dense cores, in spherical shells of constant mass.

At rest a core has the density n0 / (1 + (r / a)^2), flat in the centre and that of an
isothermal sphere further out, towards which collapsing cores evolve (Larson 1969, MNRAS
145, 271). Then each shell falls freely under a fraction f of its weight; the rest is
supported: r = r0 cos^2 B with

    B + sin(2 B) / 2 = (pi / 2) t / tff,   tff = (3 pi / (32 G f rho))^1/2

where rho is the mean density at rest within the shell (Spitzer 1978, eq. 13-28, for
f = 1). Inner shells arrive first, so that no shell overtakes another. The density of a
shell is its mass divided by its volume, its extinction that of all shells further out
and of the ambient cloud. A track begins during the collapse; a shell that has reached
the highest allowed density stops.

Turbulence is superposed: densities vary fast and slowly about the collapse, and so do
column densities and the UV field outside the cloud. The temperature is a fit to the
tracers of the dataset grav; in some cores a star forms and heats the gas.
"""

from typing import NamedTuple

import numpy as np

from astrokeras.config import CollapseConfig
from astrokeras.data.tracers.units import EXTINCTION, MEAN_MASS, YEAR
from astrokeras.trajectories import gas
from astrokeras.trajectories.draws import draw, wander

PARAMETERS = ("Density", "Radfield", "Av", "gasTemp")
SHELLS = 256
GRAVITY = 6.6743e-8  # cm^3 g^-1 s^-2
COLUMN_SHARE = (
    0.6  # Scatter of log column density over that of log density, as in grav.
)
WARMING = 1000.0  # e-folding time of the warming by a star, years.
HEATED_FRACTION = 0.75  # Fraction of the parcels of a core that its star heats.

_ANGLE = np.linspace(0.0, np.pi / 2, 20_001)
_TIME = (_ANGLE + np.sin(2 * _ANGLE) / 2) / (np.pi / 2)


class Core(NamedTuple):
    """Properties of a dense core.

    Attributes:
        density: Central density when the track begins, H nuclei cm^-3.
        compression: Ratio of this density to the central density at rest.
        gravity: Fraction of the weight that is not supported.
        size: Radius of the flat centre at rest, in c / (4 pi G rho)^1/2.
        ambient: Extinction outside the core, mag.
        radfield: UV field outside the cloud, Habing.
    """

    density: float
    compression: float
    gravity: float
    size: float
    ambient: float
    radfield: float


def simulate(config: CollapseConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the parameters of the tracers of one core.

    Args:
        config: Ranges of the random properties.
        rng: Random generator.

    Returns:
        `PARAMETERS` at the beginning of each step, (tracers, steps, 4).
    """
    core = Core(*(draw(rng, getattr(config, name)) for name in Core._fields))
    years = config.step * np.arange(config.steps)
    lowest, densest = config.limits.get("Density", (0.0, np.inf))
    density, av = fall(core, years, config.extent, densest)
    # Parcels are spread evenly in radius, not in mass, which is mostly far out.
    inner = np.flatnonzero(density[:, 0] >= lowest)
    shells = rng.choice(inner if len(inner) else np.arange(SHELLS), config.tracers)

    logs = _wander_both(config, rng)
    density = np.clip(density[shells] * np.exp(logs), lowest, densest)
    av = av[shells] * np.exp(COLUMN_SHARE * logs)
    logs = config.radfield_scatter * _wander_both(config, rng)
    radfield = core.radfield * np.exp(logs)

    temperature = quiet_temperature(density, radfield, av)
    temperature *= np.exp(config.temperature_scatter * _wander_both(config, rng))
    star = star_temperature(config, years, rng)
    temperature = (temperature**4 + star**4) ** 0.25
    return np.stack([density, radfield, av, temperature], axis=-1)


def fall(
    core: Core, years: np.ndarray, extent: float, densest: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Return density and extinction of the shells of a collapsing core.

    Args:
        core: The core.
        years: Times since the beginning of the track, years, (T,).
        extent: Radius of the core at rest, in units of the radius of its flat centre.
        densest: Density at which the gas stops, H nuclei cm^-3.

    Returns:
        Density of each shell, H nuclei cm^-3, and extinction from its middle outwards,
        mag; each (SHELLS, T), the innermost shell first.
    """
    rest = core.density / core.compression
    edges = np.linspace(0.0, extent, SHELLS + 1)
    enclosed = edges - np.arctan(edges)  # Mass in 4 pi rho a^3.
    inside = np.full(SHELLS + 1, rest)
    inside[1:] = rest * 3 * enclosed[1:] / edges[1:] ** 3
    size = core.size * jeans_length(rest)

    start = free_fall_time(rest, core.gravity) * time_at(core.compression)
    times = (start + years) / free_fall_time(inside, core.gravity)[:, None]
    stopped = (inside / densest) ** (1 / 3)
    radius = edges[:, None] * size * np.maximum(contraction(times), stopped[:, None])
    nuclei = rest * np.diff(enclosed) * 4 * np.pi * size**3  # H nuclei of each shell.
    thickness = np.maximum(np.diff(radius, axis=0), 1e-9 * size)
    middle = (radius[1:] + radius[:-1]) / 2
    # Written so that nearly equal cubes are not subtracted from each other.
    volume = 4 * np.pi * thickness * (middle**2 + thickness**2 / 12)
    density = nuclei[:, None] / volume

    columns = density * thickness
    outside = np.cumsum(columns[::-1], axis=0)[::-1] - columns / 2
    return density, core.ambient + EXTINCTION * outside


def jeans_length(density: float) -> float:
    """Return c / (4 pi G rho)^1/2 of gas at 10 K, cm."""
    weight = 4 * np.pi * GRAVITY * MEAN_MASS * density
    return gas.sound_speed() * 1e5 / float(np.sqrt(weight))


def free_fall_time(density: np.ndarray | float, share: float = 1.0) -> np.ndarray:
    """Return the free-fall time of a sphere at rest, years.

    Args:
        density: Mean density of the sphere, H nuclei cm^-3.
        share: Fraction of its weight that is not supported.
    """
    weight = GRAVITY * share * MEAN_MASS * np.asarray(density)
    return np.sqrt(3 * np.pi / (32 * weight)) / YEAR


def contraction(times: np.ndarray) -> np.ndarray:
    """Return radii relative to those at rest, for times in units of free-fall times."""
    return np.cos(np.interp(times, _TIME, _ANGLE)) ** 2


def time_at(compression: float) -> float:
    """Return the time, in free-fall times, to compress a uniform sphere by a factor."""
    angle = np.arccos(compression ** (-1 / 6))
    return float((angle + np.sin(2 * angle) / 2) / (np.pi / 2))


def quiet_temperature(
    density: np.ndarray, radfield: np.ndarray, av: np.ndarray
) -> np.ndarray:
    """Return the temperature of gas without a nearby star, K.

    A fit to the 867 tracers of grav: half of their states lie within 6 %, three in four
    within 13 %, and gas heated by a star above. The first term is for gas in UV light,
    the second for shielded gas, which is warmer at higher density.
    """
    lit = 31.4 * av**-0.833 * radfield**0.126
    dark = 14.55 * (1 + (density / 5.6e8) ** 0.507)
    return (lit**4 + dark**4) ** 0.25


def star_temperature(
    config: CollapseConfig, years: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the temperature due to a star, whose fourth power adds to that of gas, K.

    Returns:
        Temperatures, (tracers, steps); 0 without a star, or if it is hidden.
    """
    shines, begins = rng.random() < config.heated, rng.uniform(0, years[-1])
    hottest = draw(rng, config.star)
    reached = (rng.random(config.tracers) < HEATED_FRACTION) & shines
    since = np.maximum(years - begins, 0.0)
    nearness = 10 ** rng.normal(0, 0.1, config.tracers)
    return np.outer(reached * nearness, hottest * (1 - np.exp(-since / WARMING)))


def _wander_both(config: CollapseConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the fast and slow random variation of a logarithm, (tracers, steps)."""
    shape = (config.tracers, config.steps)
    fast = wander(rng, shape, float(np.exp(-config.step / config.flutter_time)))
    slow = wander(rng, shape, float(np.exp(-config.step / config.drift_time)))
    return np.log(10) * (config.flutter * fast + config.drift * slow)
