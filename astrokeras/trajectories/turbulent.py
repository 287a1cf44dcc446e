"""Trajectories of gas in supersonic turbulence, with shocks.

The density of turbulent gas is lognormal. Let s = ln(n / n0), where n0 is the mean of
the volume. Its variance is ln(1 + b^2 M^2) for the Mach number M and a driving of
compressiveness b (Federrath et al. 2010, A&A 512, A81, eqs. 18 to 20). A parcel of gas
samples mass, not volume, and has the mean +variance/2. Along its path s is a random
process with the turnover time L / (2 M c) as correlation time, where c is the sound
speed, as in Scannapieco & Safarzadeh (2018, ApJ 865, L14) and Mocz & Burkhart (2018,
MNRAS 480, 3916). Here it is the sum of two processes: a smooth Gaussian process, and
isothermal shocks of Mach number m that compress by m^2 at once, a jump of 2 ln m that
relaxes exponentially.

Behind a shock the gas has the Rankine-Hugoniot temperature for an adiabatic index of
5/3, and cools exponentially at constant pressure: while it is hot, its density is lower
than after cooling, in inverse proportion to its temperature. All other gas has the
temperature of thermal balance (`astrokeras.trajectories.gas`). The extinction is the
mean extinction at the density of the last turnover time: a shock compresses along one
direction and leaves the column density unchanged.
"""

from typing import NamedTuple

import numpy as np

from astrokeras.config import TurbulentConfig
from astrokeras.data.tracers.units import YEAR
from astrokeras.trajectories import gas
from astrokeras.trajectories.draws import draw, running_mean, wander

PARAMETERS = ("Density", "Radfield", "Av", "gasTemp", "zeta", "dustTemp")
PARSEC = 3.0857e13  # km


class Region(NamedTuple):
    """Properties shared by the tracers of a simulation.

    Attributes:
        density: Mean density of the volume, H nuclei cm^-3.
        mach: Mach number of the turbulence.
        compressive: Compressiveness b of the driving, from 1/3 to 1.
        size: Size of the largest eddies, pc.
        radfield: UV field outside the cloud, Habing.
        zeta: Cosmic-ray ionisation rate outside the cloud, 1.3e-17 s^-1.
    """

    density: float
    mach: float
    compressive: float
    size: float
    radfield: float
    zeta: float

    @property
    def variance(self) -> float:
        """Variance of ln density."""
        return float(np.log1p((self.compressive * self.mach) ** 2))

    @property
    def turnover(self) -> float:
        """Turnover time of the largest eddies, years."""
        speed = self.mach * gas.sound_speed()
        return self.size * PARSEC / (2 * speed) / YEAR


def simulate(config: TurbulentConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the parameters of the tracers of one simulation.

    Args:
        config: Ranges of the random properties, and properties of the gas.
        rng: Random generator.

    Returns:
        `PARAMETERS`, constant over each step, (tracers, steps, 6).
    """
    drawn = (draw(rng, getattr(config, name)) for name in Region._fields)
    region = Region(*drawn)
    shape = (config.tracers, config.steps)
    memory = float(np.exp(-config.step / region.turnover))

    logs, shocks = log_density(config, region, rng)
    cooled = region.density * np.exp(logs)
    column = running_mean(logs, memory)
    scatter = config.scatter * np.log(10)
    av = gas.mean_extinction(region.density * np.exp(column))
    av *= np.exp(scatter * wander(rng, shape, memory))
    radfield = region.radfield * np.exp(scatter * wander(rng, shape, memory))
    zeta = region.zeta * np.maximum(av, 1.0) ** -config.zeta_slope

    dust = gas.dust_temperature(radfield, av)
    rest = gas.gas_temperature(cooled, radfield, av, zeta, dust, config.ray_energy)
    excess = excess_heat(shocks, config.step, config.cooling * 1e4 / cooled)
    temperature = rest * (1 + excess)
    if "gasTemp" in config.limits:  # Clipped before the density is derived from it.
        temperature = np.clip(temperature, *config.limits["gasTemp"])
    density = cooled * np.minimum(rest / temperature, 1.0)
    return np.stack([density, radfield, av, temperature, zeta, dust], axis=-1)


def log_density(
    config: TurbulentConfig, region: Region, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return ln density of cooled gas relative to the mean of the volume, and shocks.

    The probability of a shock at the beginning of a step is such that jumps contribute
    the fraction `shocks` of the variance. The smooth part contributes the rest, and is
    lowered by the mean of the jumps, so that mean and variance do not depend on the
    step.

    Args:
        config: Number of tracers and steps, and properties of shocks.
        region: Mach number, driving and size.
        rng: Random generator.

    Returns:
        ln(n / n0) over each step, and the Mach number of the shock at its beginning, 0
        without a shock; each (tracers, steps).
    """
    shape = (config.tracers, config.steps)
    keep = float(np.exp(-config.step / region.turnover))

    # Moments of a jump, from its quantiles.
    quantiles = (np.arange(10_000) + 0.5) / 10_000
    jumps = 2 * np.log(shock_mach(config, region, quantiles))
    first, second = float(jumps.mean()), float((jumps**2).mean())
    wanted = config.shocks * region.variance * (1 - keep**2)
    rate = min(wanted / second, 0.5) if second else 0.0
    lift = rate * first / (1 - keep)
    spread = (rate * second - (rate * first) ** 2) / (1 - keep**2)

    mach = shock_mach(config, region, rng.random(shape))
    shocks = np.where((rng.random(shape) < rate) & (mach > 1), mach, 0.0)
    jump = 2 * np.log(np.maximum(shocks, 1.0))
    raised = np.full(shape, np.nan)
    last = np.zeros(config.tracers)
    if lift > 0:  # The remnant of earlier jumps is approximately Gamma distributed.
        last = rng.gamma(lift**2 / spread, spread / lift, config.tracers)
    for step in range(config.steps):
        raised[:, step] = last = keep * last + jump[:, step]
    smooth = np.sqrt(region.variance - spread) * wander(rng, shape, keep)
    return region.variance / 2 - lift + smooth + raised, shocks


def shock_mach(
    config: TurbulentConfig, region: Region, quantiles: np.ndarray
) -> np.ndarray:
    """Return Mach numbers of shocks: a power law from the weakest to the flow's."""
    fewer = config.weakest**-config.steepness
    fewest = region.mach**-config.steepness
    if fewest >= fewer:  # The flow is too slow for shocks.
        return np.ones(np.shape(quantiles))
    return (fewer - quantiles * (fewer - fewest)) ** (-1 / config.steepness)


def shock_heat(mach: np.ndarray) -> np.ndarray:
    """Return the ratio of the temperatures behind and ahead of an adiabatic shock.

    The adiabatic index is 5/3, that of a monatomic gas, like which cold H2 behaves.
    """
    squared = np.maximum(mach, 1.0) ** 2
    return (5 * squared - 1) * (squared + 3) / (16 * squared)


def excess_heat(shocks: np.ndarray, step: float, cooling: np.ndarray) -> np.ndarray:
    """Return the mean relative excess of the temperature in each step.

    Args:
        shocks: Mach number of the shock at the beginning of a step, or 0, (n, T).
        step: Length of a step, years.
        cooling: e-folding time of the excess, years, (n, T).
    """
    fresh = shock_heat(shocks) - 1
    left = np.exp(-step / np.maximum(cooling, 1e-9 * step))
    excess = np.full(fresh.shape, np.nan)
    carried = np.zeros(len(fresh))
    for index in range(fresh.shape[1]):
        # A shock of warm gas does not make it hotter than a shock of cold gas.
        carried = np.maximum(carried, fresh[:, index])
        mean = cooling[:, index] / step * (1 - left[:, index])
        excess[:, index] = carried * mean
        carried = carried * left[:, index]
    return excess
