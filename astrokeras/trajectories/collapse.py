"""Dense cores that collapse, in spherical shells that carry their mass along.

At rest a core has the density n0 / (1 + (r / a)^2), flat in the centre and that of an
isothermal sphere further out, which collapsing cores tend to (Larson 1969, MNRAS 145,
271). Then each shell falls freely under a share f of its weight,
the rest being held by what supports the core: r = r0 cos^2 B with

    B + sin(2 B) / 2 = (pi / 2) t / tff,   tff = (3 pi / (32 G f rho))^1/2

and rho the mean density at rest within the shell (Spitzer 1978, eq. 13-28, for f = 1).
The inner shells are the first to arrive, so that none overtakes another. The density of
a shell is its mass over its volume, its extinction that of the column of all shells
further out and of the ambient cloud. A track begins some way into the collapse; a shell
that has reached the highest density allowed falls no further.

On this the turbulence of the gas is laid: densities wander fast and slowly about the
collapse, columns with them, and so does the UV field, which is that outside of the
cloud. The temperature is a fit to the tracers of the dataset grav; in some cores a star
begins to shine and adds its share.
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
COLUMN_SHARE = 0.6  # a column's logarithm wanders less than the density's, as in grav
WARMING = 1000.0  # years in which a star's heat gains all but 1/e
SHONE_ON = 0.75  # share of a heated core's parcels that the star reaches

_ANGLE = np.linspace(0.0, np.pi / 2, 20_001)
_TIME = (_ANGLE + np.sin(2 * _ANGLE) / 2) / (np.pi / 2)


class Core(NamedTuple):
    """A core.

    Attributes:
        density: In the centre when the track begins, H nuclei cm^-3.
        compression: That over the density at rest.
        gravity: Share of the weight that nothing supports.
        size: Of the flat centre at rest, in c / (4 pi G rho)^1/2.
        ambient: Extinction outside of the core, mag.
        radfield: Outside of the cloud, Habing.
    """

    density: float
    compression: float
    gravity: float
    size: float
    ambient: float
    radfield: float


def simulate(config: CollapseConfig, rng: np.random.Generator) -> np.ndarray:
    """Make the tracers of one core.

    Args:
        config: Ranges to draw from.
        rng: What is drawn comes from here.

    Returns:
        `PARAMETERS` at the beginning of each step, (tracers, steps, 4).
    """
    core = Core(*(draw(rng, getattr(config, name)) for name in Core._fields))
    years = config.step * np.arange(config.steps)
    lowest, densest = config.limits.get("Density", (0.0, np.inf))
    density, av = fall(core, years, config.extent, densest)
    # Parcels are spread evenly in radius at rest, not in mass: most would be outside.
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
    """Let a core collapse.

    Args:
        core: The core.
        years: Since the track began, (T,).
        extent: Radius of the core at rest, in sizes of its centre.
        densest: Where gas stops to fall, H nuclei cm^-3.

    Returns:
        Density of each shell, H nuclei cm^-3, and extinction from its middle outwards,
        mag; each (SHELLS, T), the innermost shell first.
    """
    rest = core.density / core.compression
    edges = np.linspace(0.0, extent, SHELLS + 1)
    enclosed = edges - np.arctan(edges)  # mass, in 4 pi rho a^3
    inside = np.full(SHELLS + 1, rest)
    inside[1:] = rest * 3 * enclosed[1:] / edges[1:] ** 3
    size = core.size * jeans_length(rest)

    start = free_fall_time(rest, core.gravity) * time_at(core.compression)
    times = (start + years) / free_fall_time(inside, core.gravity)[:, None]
    stopped = (inside / densest) ** (1 / 3)
    radius = edges[:, None] * size * np.maximum(contraction(times), stopped[:, None])
    held = rest * np.diff(enclosed) * 4 * np.pi * size**3  # H nuclei of each shell
    thickness = np.maximum(np.diff(radius, axis=0), 1e-9 * size)
    middle = (radius[1:] + radius[:-1]) / 2
    # The difference of two cubes, which lie close together further out.
    volume = 4 * np.pi * thickness * (middle**2 + thickness**2 / 12)
    density = held[:, None] / volume

    columns = density * thickness
    outside = np.cumsum(columns[::-1], axis=0)[::-1] - columns / 2
    return density, core.ambient + EXTINCTION * outside


def jeans_length(density: float) -> float:
    """Return c / (4 pi G rho)^1/2 of gas at 10 K, cm."""
    weight = 4 * np.pi * GRAVITY * MEAN_MASS * density
    return gas.sound_speed() * 1e5 / float(np.sqrt(weight))


def free_fall_time(density: np.ndarray | float, share: float = 1.0) -> np.ndarray:
    """Return the time in which a sphere at rest falls into its centre, years.

    Args:
        density: Mean within the sphere, H nuclei cm^-3.
        share: Of its weight that nothing supports.
    """
    weight = GRAVITY * share * MEAN_MASS * np.asarray(density)
    return np.sqrt(3 * np.pi / (32 * weight)) / YEAR


def contraction(times: np.ndarray) -> np.ndarray:
    """Return radii relative to those at rest, at times in free-fall times."""
    return np.cos(np.interp(times, _TIME, _ANGLE)) ** 2


def time_at(compression: float) -> float:
    """Return the free-fall times in which a uniform sphere becomes so much denser."""
    angle = np.arccos(compression ** (-1 / 6))
    return float((angle + np.sin(2 * angle) / 2) / (np.pi / 2))


def quiet_temperature(
    density: np.ndarray, radfield: np.ndarray, av: np.ndarray
) -> np.ndarray:
    """Return the temperature of gas that no star heats nearby, K.

    A fit to the 867 tracers of grav: half of their states lie within 6 %, three in four
    within 13 %, and what a star heats above. The first term is for UV light, the second
    for what is shielded from it, warmer where dense.
    """
    lit = 31.4 * av**-0.833 * radfield**0.126
    dark = 14.55 * (1 + (density / 5.6e8) ** 0.507)
    return (lit**4 + dark**4) ** 0.25


def star_temperature(
    config: CollapseConfig, years: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return what a star adds to the gas: its fourth power goes to the gas' own, K.

    Returns:
        (tracers, steps); zero where there is no star or it is hidden.
    """
    shines, begins = rng.random() < config.heated, rng.uniform(0, years[-1])
    hottest = draw(rng, config.star)
    reached = (rng.random(config.tracers) < SHONE_ON) & shines
    since = np.maximum(years - begins, 0.0)
    nearness = 10 ** rng.normal(0, 0.1, config.tracers)
    return np.outer(reached * nearness, hottest * (1 - np.exp(-since / WARMING)))


def _wander_both(config: CollapseConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the wandering of a logarithm, fast and slow, (tracers, steps)."""
    shape = (config.tracers, config.steps)
    fast = wander(rng, shape, float(np.exp(-config.step / config.flutter_time)))
    slow = wander(rng, shape, float(np.exp(-config.step / config.drift_time)))
    return np.log(10) * (config.flutter * fast + config.drift * slow)
