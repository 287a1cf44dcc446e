"""Exploring tracks: gas of many kinds over wide ranges, each track one of its own.

A track belongs to a family. What drives it depends on the family:

- walk: density, extinction, UV field and cosmic rays wander, and a star's heat;
- collapse: free fall (Spitzer 1978, eq. 13-28) over a time of its own, in dense gas
  towards a star;
- warm-up: a star heats dense gas, T = T_max (t / t_max)^p (Garrod & Herbst 2006, A&A
  457, 927), and may fade;
- shock: one to three shocks heat the gas, which is compressed as it cools;
- static: nothing changes;
- irradiation: the UV field rises while the extinction falls, or the reverse;
- expansion: homologous, r = r0 (1 + t / t0);
- box: all parameters are drawn apart from one another, in up to nine pieces.

Except in box, the other parameters follow from these. The extinction scatters about
that of gas of this density (`typical_extinction`) and changes with a power of density.
Dust has the temperature of Hocuk et al. (2017, A&A 604, A58), eq. 8, to whose fourth
power that of a star adds; gas has the temperature of thermal balance
(`astrokeras.trajectories.gas`), or of a shock. In a third of the tracks it is at least
as warm as the dust, in another third both have one temperature, as in codes that follow
a single one. The columns that shield are those of `molecular_columns`, in a quarter of
the tracks 0.5 and 1e-5 of N(H).

In about half of the tracks the first interval is a quiet phase of up to 5 Myr, in the
temperature that the gas has without star and shock, and in two thirds of these at lower
density: its end is the evolved gas from which the track goes on. The others start from
the initial abundances as they are. Parameters are constant over each interval.
"""

from typing import NamedTuple

import numpy as np

from astrokeras.chemistry.assumed_parameters import COLUMNS, EXTINCTION
from astrokeras.config import ExploreConfig
from astrokeras.data.tracers.units import HABING_PER_DRAINE
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest
from astrokeras.trajectories import gas
from astrokeras.trajectories.courses import COURSES, Course
from astrokeras.trajectories.draws import draw

PARAMETERS = (
    *("Density", "Radfield", "Av", "gasTemp", "dustTemp", "zeta", "NH2", "NCO"),
)
BOX = "box"
FAMILIES = (*COURSES, BOX)
PIECES = (1, 1, 1, 2, 3, 5, 9)
"""Numbers of pieces with constant parameters of the family box, equally likely."""
COUPLED = 1e6
"""Density above which most of the gas in the family box is as warm as its dust."""
ASSUMED = 0.25
"""Fraction of the tracks with N(H2) = 0.5 N(H) and N(CO) = 1e-5 N(H)."""
GRAIN_SECTION = 1.9e-21
"""Section of the dust per H nucleus in the light that dissociates H2, cm^2."""
FEWEST_H2, MOST_H2 = 5e-6, 0.5
FEWEST_CO, MOST_CO = 1.4e-11, 1.4e-4
"""Ranges of N(H2) and N(CO) relative to N(H)."""


class Track(NamedTuple):
    """A track.

    Attributes:
        time: Years, (T+1,).
        physical: `PARAMETERS` over each interval, (T, 8).
        family: One of `FAMILIES`.
    """

    time: np.ndarray
    physical: np.ndarray
    family: str


def simulate(config: ExploreConfig, rng: np.random.Generator) -> Track:
    """Return a track.

    Args:
        config: Families, their shares, times and limits.
        rng: Random generator.

    Raises:
        InputError: For a family that does not exist, or shares that are all 0.
    """
    family = _draw_family(config, rng)
    intervals, quiet = draw_intervals(config, rng)
    times = np.cumsum(intervals) - intervals / 2
    times = times / intervals.sum()
    if family == BOX:
        physical = _draw_box(config, rng, np.append(0.0, times))
    else:
        course = COURSES[family](rng, times, config.limits["Density"])
        physical = _follow(config, rng, course)
    if quiet:
        intervals = np.append(quiet, intervals)
    else:
        physical = physical[1:]
    return Track(np.append(0.0, np.cumsum(intervals)), physical, family)


def _draw_family(config: ExploreConfig, rng: np.random.Generator) -> str:
    unknown = [name for name in config.families if name not in FAMILIES]
    if unknown or not config.families:
        raise InputError(
            f"tracks.families is {config.families}; give names among "
            f"{', '.join(FAMILIES)}{suggest((unknown or [''])[0], FAMILIES)}"
        )
    shares = np.array([getattr(config.shares, name) for name in config.families])
    if not shares.sum():
        raise InputError(
            f"tracks.shares: those of {', '.join(config.families)} are all 0; make one "
            "of them positive."
        )
    return str(rng.choice(config.families, p=shares / shares.sum()))


def draw_intervals(
    config: ExploreConfig, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return the lengths of the intervals after the quiet phase, and of that, years.

    Half of the tracks have equal intervals, a third growing ones from 10 to 300 yr on,
    the others such of random lengths.
    """
    duration = draw(rng, config.duration)
    longest = min(config.quiet_duration[1], config.duration[1] - duration)
    quiet = draw(rng, config.quiet_duration)
    starts_quiet = rng.random() < config.quiet and longest >= config.quiet_duration[0]
    count = config.steps - starts_quiet
    kind, first = rng.random(), draw(rng, [10.0, 300.0])
    spread = 10 ** rng.uniform(-0.6, 0.6, count)
    if kind < 1 / 2:
        lengths = np.ones(count)
    elif kind < 5 / 6 and first < duration / count:
        ratios = np.linspace(1.0, 2.0, 201)[:, None]
        totals = first * (ratios ** np.arange(count)).sum(axis=1)
        ratio = np.interp(np.log(duration), np.log(totals), ratios[:, 0])
        lengths = ratio ** np.arange(count)
    else:
        lengths = spread
    lengths = np.maximum(lengths * duration / lengths.sum(), config.shortest)
    return lengths, min(quiet, longest) if starts_quiet else 0.0


def _follow(
    config: ExploreConfig, rng: np.random.Generator, course: Course
) -> np.ndarray:
    """Return the parameters of a quiet phase and the course after it, (1 + T, 8)."""
    limits = config.limits
    scatter = 10 ** rng.normal(0, [0.6, 0.8, 0.5, 0.08, 0.1])
    density = np.clip(course.density, *limits["Density"])
    power = rng.uniform(0.3, 2 / 3)  # Of extinction with density: sheet to sphere.
    av = typical_extinction(density[0]) * (density / density[0]) ** power * course.av
    before = density[0]
    if rng.random() < 2 / 3:
        before = min(before, draw(rng, [100.0, 3e5]))

    def after(first: float, values: np.ndarray, name: str, factor: float) -> np.ndarray:
        return np.clip(np.append(first, values) * factor, *limits[name])

    density = np.append(before, density)
    av = after(av[0], av, "Av", scatter[0])
    field = course.radfield
    radfield = after(field[0], field, "Radfield", 1.5 * scatter[1])
    zeta = after(course.zeta[0], course.zeta, "zeta", 1.5 * scatter[2])
    cold = gas.dust_temperature(radfield, av) * scatter[3]
    dust = (cold**4 + np.append(0.0, course.star) ** 4) ** 0.25
    dust = np.clip(dust, *limits["dustTemp"])
    warm = gas.gas_temperature(density, radfield, av, zeta, dust) * scatter[4]
    warm = np.maximum(warm, np.append(0.0, course.hot))
    bond = rng.random()
    if bond < 2 / 3:
        warm = np.maximum(warm, dust)
    warm = np.clip(warm, *limits["gasTemp"])
    if bond < 1 / 3:
        dust = np.clip(warm, *limits["dustTemp"])
    less = 10 ** rng.normal(0, 0.5, 2)
    columns = molecular_columns(density, radfield, av, less)
    if rng.random() < ASSUMED:
        hydrogen = av / EXTINCTION
        columns = COLUMNS["NH2"] * hydrogen, COLUMNS["NCO"] * hydrogen
    return np.stack([density, radfield, av, warm, dust, zeta, *columns], axis=-1)


def _draw_box(
    config: ExploreConfig, rng: np.random.Generator, times: np.ndarray
) -> np.ndarray:
    """Return parameters that are drawn apart from one another, (T, 8)."""
    pieces = int(rng.choice(PIECES))
    piece = np.searchsorted(np.sort(rng.random(pieces - 1)), times)
    names = PARAMETERS[:6]
    low, high = np.log([config.limits[name] for name in names]).T
    drawn = np.exp(rng.uniform(low, high, (pieces, 6)))
    density, av, warm, dust = drawn[:, [0, 2, 3, 4]].T
    coupled = (density > COUPLED) & (rng.random(pieces) < 0.8)
    # Colder gas than dust is rare.
    warmer = np.where(rng.random(pieces) < 0.8, np.maximum(warm, dust), warm)
    drawn[:, 3] = np.where(coupled, dust, warmer)
    low, high = np.log([[FEWEST_H2, FEWEST_CO], [MOST_H2, MOST_CO]])
    shares = np.exp(rng.uniform(low, high, (pieces, 2)))
    columns = shares * av[:, None] / EXTINCTION
    return np.concatenate([drawn, columns], axis=1)[piece]


def typical_extinction(density: np.ndarray) -> np.ndarray:
    """Return the extinction about which that of gas of a density scatters, mag.

    Up to 1e3 cm^-3 it is the mean of three-dimensional clouds (Bisbas et al. 2023).
    Above, it grows as the column of a Jeans length, with the root of density, as in
    cores that collapse (Larson 1969, MNRAS 145, 271).
    """
    thin = np.minimum(density, 1e3)
    return gas.mean_extinction(thin) * np.sqrt(density / thin)


def molecular_columns(
    density: np.ndarray, radfield: np.ndarray, av: np.ndarray, less: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the column densities of H2 and CO that shield gas, cm^-2.

    The column of atomic hydrogen in front of the gas is ln(1 + a / 2) / 1.9e-21 cm^2
    with a = 0.59 (chi / n_2), the field in Draine's unit over the density in 100 cm^-3
    (Sternberg et al. 2014, ApJ 790, 10, eqs. 40 and 22); the rest is molecular. Half
    way in, the balance of C+ and CO (`gas.ionised_carbon`) gives the CO.

    Args:
        density: H nuclei cm^-3.
        radfield: UV field outside the cloud, Habing.
        av: Extinction, mag.
        less: Factors of the field and of the CO, which freezes or is still to form.
    """
    hydrogen = av / EXTINCTION
    field = radfield * less[0]
    strength = 0.59 * field / HABING_PER_DRAINE * 100 / density
    atomic = np.log1p(strength / 2) / GRAIN_SECTION
    molecular = 0.5 * (1 - atomic / hydrogen)
    bound = 1 - gas.ionised_carbon(density, field, av / 2)
    carbon = MOST_CO * bound * np.minimum(less[1], 1.0)
    return (
        hydrogen * np.clip(molecular, FEWEST_H2, MOST_H2),
        hydrogen * np.clip(carbon, FEWEST_CO, MOST_CO),
    )
