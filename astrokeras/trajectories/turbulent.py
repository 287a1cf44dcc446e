"""Gas in supersonic turbulence, with shocks.

The density of turbulent gas is lognormal. With s = ln(n / n0) and n0 the mean of the
volume, its variance is ln(1 + b^2 M^2) for the Mach number M and a driving of
compressiveness b (Federrath et al. 2010, A&A 512, A81, eqs. 18 to 20), and a parcel of
gas, which samples mass and not volume, has the mean +variance/2. Along its way s is
taken as a random process with the turnover time L / (2 M c) as its memory, c the sound
speed, as Scannapieco & Safarzadeh (2018, ApJ 865, L14) and Mocz & Burkhart (2018,
MNRAS 480, 3916) do. Here it is the sum of two: a Gaussian one that changes smoothly,
and isothermal shocks of Mach number m that compress by m^2 at once, a jump of 2 ln m
that then relaxes exponentially.

Behind a shock the gas is as hot as Rankine and Hugoniot say of an adiabatic index of
5/3, and cools exponentially, at constant pressure: its density is what it will be once
it has cooled, less in proportion to the heat. Apart from that gas has the temperature
at which heating and cooling balance (`astrokeras.trajectories.gas`). Its extinction is
the mean one at the density that it had over the last turnover time: a shock compresses
along one direction and leaves the column as it is.
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
    """What the tracers of a simulation share.

    Attributes:
        density: Mean of the volume, H nuclei cm^-3.
        mach: Of the turbulence.
        compressive: b, from 1/3 to 1.
        size: Of the largest eddies, pc.
        radfield: Outside of the cloud, Habing.
        zeta: Outside of the cloud, 1.3e-17 s^-1.
    """

    density: float
    mach: float
    compressive: float
    size: float
    radfield: float
    zeta: float

    @property
    def variance(self) -> float:
        """Of ln density."""
        return float(np.log1p((self.compressive * self.mach) ** 2))

    @property
    def turnover(self) -> float:
        """Turnover time of the largest eddies, years."""
        speed = self.mach * gas.sound_speed()
        return self.size * PARSEC / (2 * speed) / YEAR


def simulate(config: TurbulentConfig, rng: np.random.Generator) -> np.ndarray:
    """Make the tracers of one simulation.

    Args:
        config: Ranges to draw from, and how the gas behaves.
        rng: What is drawn comes from here.

    Returns:
        `PARAMETERS` that hold over each step, (tracers, steps, 6).
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
    if "gasTemp" in config.limits:  # Before the density follows from it.
        temperature = np.clip(temperature, *config.limits["gasTemp"])
    density = cooled * np.minimum(rest / temperature, 1.0)
    return np.stack([density, radfield, av, temperature, zeta, dust], axis=-1)


def log_density(
    config: TurbulentConfig, region: Region, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make ln density relative to the mean of the volume, of gas that has cooled.

    A step begins with a shock with a probability such that the jumps make the share
    `shocks` of the variance; the smooth part makes the rest, and lies as much lower as
    jumps lift it, so that mean and variance are what they must be for any step.

    Args:
        config: Number of tracers, steps, and how shocks are.
        region: Mach number, driving and size.
        rng: What is drawn comes from here.

    Returns:
        ln(n / n0) over each step, and the Mach number of the shock that begins it, 0
        where there is none; each (tracers, steps).
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
    if lift > 0:  # What is left of jumps before the start is about Gamma distributed.
        last = rng.gamma(lift**2 / spread, spread / lift, config.tracers)
    for step in range(config.steps):
        raised[:, step] = last = keep * last + jump[:, step]
    smooth = np.sqrt(region.variance - spread) * wander(rng, shape, keep)
    return region.variance / 2 - lift + smooth + raised, shocks


def shock_mach(
    config: TurbulentConfig, region: Region, quantiles: np.ndarray
) -> np.ndarray:
    """Return Mach numbers of shocks: a power law from the weakest up to the flow's."""
    fewer = config.weakest**-config.steepness
    fewest = region.mach**-config.steepness
    if fewest >= fewer:  # The flow is too slow for shocks.
        return np.ones(np.shape(quantiles))
    return (fewer - quantiles * (fewer - fewest)) ** (-1 / config.steepness)


def shock_heat(mach: np.ndarray) -> np.ndarray:
    """Return the ratio of the temperatures behind and before an adiabatic shock.

    Of a monatomic gas, which cold H2 behaves like: index 5/3.
    """
    squared = np.maximum(mach, 1.0) ** 2
    return (5 * squared - 1) * (squared + 3) / (16 * squared)


def excess_heat(shocks: np.ndarray, step: float, cooling: np.ndarray) -> np.ndarray:
    """Return the mean excess of each step's temperature, relative to gas at rest.

    Args:
        shocks: Mach number of the shock that begins a step, 0 for none, (n, T).
        step: Years.
        cooling: Years in which an excess falls by e, (n, T).
    """
    fresh = shock_heat(shocks) - 1
    left = np.exp(-step / np.maximum(cooling, 1e-9 * step))
    excess = np.full(fresh.shape, np.nan)
    carried = np.zeros(len(fresh))
    for index in range(fresh.shape[1]):
        # A second shock finds warm gas, which it cannot make hotter than cold one.
        carried = np.maximum(carried, fresh[:, index])
        mean = cooling[:, index] / step * (1 - left[:, index])
        excess[:, index] = carried * mean
        carried = carried * left[:, index]
    return excess
