"""Temperatures of gas and dust, and extinction, from density, UV field and cosmic rays.

Closed formulas and a thermal balance for gas of solar abundances. They give consistent
parameters of a trajectory, but do not replace a simulation. All functions take arrays
that broadcast: densities in H nuclei cm^-3, UV fields outside the cloud in Habing,
extinctions in mag, cosmic-ray ionisation rates in 1.3e-17 s^-1.
"""

import numpy as np

from astrokeras.data.tracers.units import HABING_PER_DRAINE, HYDROGEN

Array = np.ndarray

BOLTZMANN = 1.380649e-16  # erg/K
MEAN_MOLECULE = 2.33  # Mean mass of a particle of molecular gas, in hydrogen atoms.
COLDEST, HOTTEST = 3.0, 3000.0  # Range of the temperature of the balance, K.

RAY_ENERGY = 20.0
"""Heat per ionised H2, eV (Goldsmith 2001; 4 to 18 in Glassgold et al. 2012)."""
_H2_IONISED = 0.5 * 1.6e-12 * 1.3e-17  # erg/s of one eV, per H nucleus
_CARBON = 1.4e-4  # per H nucleus
# Molecular lines, a (T/10 K)^b in erg cm^-3 s^-1, against log10 n(H2): Goldsmith (2001,
# ApJ 557, 736), table 2. Below 1e2 cm^-3 they scale with the density squared.
_LOG_H2 = np.array([0.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0])
_LOG_A = np.log10(
    [6.3e-30, 6.3e-26, 3.2e-25, 1.1e-24, 5.6e-24, 2.3e-23, 4.9e-23, 7.4e-23]
)
_B = np.array([1.4, 1.4, 1.8, 2.4, 2.7, 3.0, 3.4, 3.8])


def sound_speed(temperature: float = 10.0) -> float:
    """Return the isothermal sound speed of molecular gas, km/s."""
    return float(np.sqrt(BOLTZMANN * temperature / (MEAN_MOLECULE * HYDROGEN)) / 1e5)


def mean_extinction(density: Array) -> Array:
    """Return the mean extinction of gas of a given density, mag.

    The effective extinction in three-dimensional clouds is 0.05 exp(1.6 n^0.12)
    (Bisbas et al. 2023, MNRAS 519, 729).
    """
    return 0.05 * np.exp(1.6 * density**0.12)


def dust_temperature(radfield: Array, av: Array) -> Array:
    """Return the dust temperature, K: Hocuk et al. (2017, A&A 604, A58), eq. 8.

    (11 + 5.7 tanh(0.61 - log10 Av)) chi^(1/5.9), with the field chi in Draine's unit.
    """
    shape = 11.0 + 5.7 * np.tanh(0.61 - np.log10(av))
    return shape * (radfield / HABING_PER_DRAINE) ** (1 / 5.9)


def ionised_carbon(density: Array, radfield: Array, av: Array) -> Array:
    """Return the fraction of carbon in C+; the rest is CO.

    Balance of C+ and CO of Nelson & Langer (1997, ApJ 482, 796).
    """
    hydrogen = density / 2
    field = radfield / HABING_PER_DRAINE * np.exp(-2.5 * av)
    oxygen = 5e-10 * 3.2e-4  # k1 times the abundance of O
    formed = oxygen / (oxygen + 5e-10 * field / hydrogen)
    # Rates of destruction and formation of CO, s^-1.
    destroyed, created = 1e-10 * field, 5e-16 * hydrogen * formed
    return destroyed / (destroyed + created)


def gas_temperature(
    density: Array,
    radfield: Array,
    av: Array,
    zeta: Array,
    dust: Array,
    ray_energy: float = RAY_ENERGY,
) -> Array:
    """Return the temperature at which heating and cooling of the gas balance, K.

    Heating: photoelectric (Bakes & Tielens 1994, ApJ 427, 822, eq. 43) and by cosmic
    rays (Goldsmith 2001). Cooling: lines of C+ and O (Wolfire et al. 2003, ApJ 587,
    278, eqs. C1 and C3, thermalised at high density), molecular lines and collisions
    with dust, which heat the gas if the dust is warmer (Goldsmith 2001).

    Args:
        density: H nuclei cm^-3.
        radfield: UV field outside the cloud, Habing.
        av: Extinction between the outside and the gas, mag.
        zeta: Cosmic-ray ionisation rate, 1.3e-17 s^-1.
        dust: Dust temperature, K.
        ray_energy: Heat per H2 ionised by cosmic rays, eV.
    """
    density, radfield, av, zeta, dust = np.broadcast_arrays(
        density, radfield, av, zeta, dust
    )
    carbon = ionised_carbon(density, radfield, av)
    low = np.full(density.shape, np.log(COLDEST))
    high = np.full(density.shape, np.log(HOTTEST))
    for _ in range(30):  # Bisection, since the net heating falls with temperature.
        middle = (low + high) / 2
        warms = _net_heating(
            np.exp(middle), density, radfield, av, zeta, dust, carbon, ray_energy
        )
        low = np.where(warms > 0, middle, low)
        high = np.where(warms > 0, high, middle)
    return np.exp((low + high) / 2)


def _net_heating(
    temperature: Array,
    density: Array,
    radfield: Array,
    av: Array,
    zeta: Array,
    dust: Array,
    carbon: Array,
    ray_energy: float,
) -> Array:
    """Return heating minus cooling, erg/s per H nucleus."""
    field = radfield * np.exp(-1.8 * av)
    electrons = density * (_CARBON * carbon + 1e-7)
    charge = field * np.sqrt(temperature) / electrons
    efficiency = 0.049 / (1 + 4e-3 * charge**0.73)
    efficiency += 0.037 * (temperature / 1e4) ** 0.7 / (1 + 2e-4 * charge)
    photoelectric = 1.3e-24 * efficiency * field
    rays = _H2_IONISED * ray_energy * zeta

    c_plus = 3.15e-27 * np.exp(-92 / temperature) * density / (1 + density / 3e3)
    o_line = 2.5e-27 * (temperature / 100) ** 0.4 * np.exp(-228 / temperature)
    o_line *= density / (1 + density / 5e5)
    log_h2 = np.log10(density / 2)
    power = np.interp(log_h2, _LOG_H2, _B)
    lines = 10 ** np.interp(log_h2, _LOG_H2, _LOG_A) / density
    lines *= (temperature / 10) ** power
    grains = 5e-34 * density * (temperature - dust) * np.sqrt(temperature / 10)
    cooling = carbon * c_plus + o_line + (1 - carbon) * lines + grains
    return photoelectric + rays - cooling
