"""Snapshots of particles that move, leave and return, as the codes write them.

Each is cited in `astrokeras/data/readers/snapshot_layouts.py`.
"""

import h5py
import numpy as np

from astrokeras.data.tracers.units import MEAN_MASS, YEAR

IDS = np.array([7, 3, 12, 5])
TIME = 100.0 * np.arange(6)  # yr
# Particle 12 is away at the third time and the fourth, 5 enters late.
PRESENT = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 1]] * 2, bool)
PRESENT[3] = [1, 1, 0, 1]
PRESENT[4] = PRESENT[5] = [1, 1, 1, 1]
RNG = np.random.default_rng(1)
DENSITY = 10 ** RNG.uniform(2, 6, (6, 4))  # H nuclei cm^-3
GAS = RNG.uniform(10, 100, (6, 4))
AV = RNG.uniform(1, 9, (6, 4))
LENGTH, MASS, SPEED = 3.0857e18, 1.989e33, 1e5  # cm, g, cm/s


def particles(time):
    """Return which particles a snapshot holds, in an order of its own."""
    return np.random.default_rng(time).permutation(np.flatnonzero(PRESENT[time]))


def gadget(path, time, attributes=False, units=True):
    with h5py.File(path, "w") as file:
        header = file.create_group("Header")
        header.attrs["Time"] = TIME[time] * YEAR * SPEED / LENGTH
        stated = {"UnitLength_in_cm": LENGTH, "UnitMass_in_g": MASS}
        stated |= {"UnitVelocity_in_cm_per_s": SPEED}
        if units:
            file.create_group("Parameters").attrs.update(stated)
        chosen, gas = particles(time), file.create_group("PartType0")
        gas["ParticleIDs"] = IDS[chosen].astype("u8")
        gas["Coordinates"] = np.zeros((len(chosen), 3))
        gas["Masses"] = np.ones(len(chosen))
        scale = MASS / LENGTH**3
        gas["Density"] = DENSITY[time, chosen] * MEAN_MASS / scale
        if attributes:
            gas["Density"].attrs["to_cgs"] = scale
        gas["Temperature"] = GAS[time, chosen]
        gas["Extinction"] = AV[time, chosen]


def arepo(path, time):
    gadget(path, time, attributes=True)


def flash(path, time):
    chosen = particles(time)
    columns = {"tag": IDS[chosen], "posx": 0 * chosen, "temp": GAS[time, chosen]}
    columns |= {"dens": DENSITY[time, chosen] * MEAN_MASS, "av": AV[time, chosen]}
    with h5py.File(path, "w") as file:
        file["tracer particles"] = np.column_stack([*columns.values()]).astype("f8")
        names = [[f"{name:<24}".encode()] for name in columns]
        file["particle names"] = np.array(names, "S24")
        scalars = np.array(
            [(b"time", TIME[time] * YEAR)], [("name", "S80"), ("value", "f8")]
        )
        file["real scalars"] = scalars


def parthenon(path, time):
    chosen = particles(time)
    with h5py.File(path, "w") as file:
        file.create_group("Info").attrs["Time"] = TIME[time]
        swarm = file.create_group("tracers/SwarmVars")
        swarm["swarm.id"] = IDS[chosen]
        swarm["swarm.x"] = np.zeros(len(chosen))
        swarm["tracers.rho"] = DENSITY[time, chosen]
        swarm["tracers.T"] = GAS[time, chosen]
        swarm["tracers.Av"] = AV[time, chosen]


def phantom(path, time):
    chosen, hfact = particles(time), 1.2
    mass, length, years = 1e-8, 1.496e13, YEAR / (2 * np.pi)
    density = DENSITY[time, chosen] * MEAN_MASS * length**3 / MASS
    with h5py.File(path, "w") as file:
        header = {"udist": length, "umass": MASS, "utime": years, "hfact": hfact}
        header |= {"time": TIME[time] * 2 * np.pi, "massoftype": [mass, 0.0]}
        for name, value in header.items():
            file[f"header/{name}"] = value
        group = file.create_group("particles")
        group["h"] = hfact * (mass / density) ** (1 / 3)
        group["iorig"] = IDS[chosen]
        group["T"], group["Av"] = GAS[time, chosen], AV[time, chosen]


def swift(path, time):
    """Write the unit attributes of SWIFT, as `io_properties` and `common_io` do."""
    gadget(path, time, units=False)
    with h5py.File(path, "a") as file:
        units = {"Unit length in cgs (U_L)": LENGTH, "Unit mass in cgs (U_M)": MASS}
        units |= {"Unit time in cgs (U_t)": LENGTH / SPEED}
        file.create_group("Units").attrs.update({n: [x] for n, x in units.items()})
        factor = "Conversion factor to CGS (not including cosmological corrections)"
        density = file["PartType0"].pop("Density")[:]
        file["PartType0/Density"] = density
        file["PartType0/Density"].attrs[factor] = [MASS / LENGTH**3]


def gizmo(path, time):
    """Write GIZMO's units, which stand in the header."""
    gadget(path, time, units=False)
    with h5py.File(path, "a") as file:
        units = {"UnitLength_In_CGS": LENGTH, "UnitMass_In_CGS": MASS}
        file["Header"].attrs.update(units | {"UnitVelocity_In_CGS": SPEED})


def bare(path, time):
    """Write years and H nuclei per cm^3 without saying so."""
    gadget(path, time, units=False)
    with h5py.File(path, "a") as file:
        file["Header"].attrs["Time"] = TIME[time]
        file["PartType0/Density"][:] *= MASS / LENGTH**3 / MEAN_MASS


WRITERS = (gadget, arepo, swift, gizmo, flash, parthenon, phantom)
# Each stay of a particle is a tracer: number, column, first state and end. Particle 12
# leaves after the second time and returns for the last two.
STAYS = [(3, 1, 0, 6), (5, 3, 2, 6), (7, 0, 0, 6), (12, 2, 0, 2), (13, 2, 4, 6)]


def write_set(folder, write):
    """Write a snapshot for each time into a new folder, and return it."""
    folder.mkdir()
    for time in range(len(TIME)):
        write(folder / f"snap_{time:03d}.hdf5", time)
    return folder
