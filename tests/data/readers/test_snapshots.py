"""HDF5 snapshots and saved models: particles that move, leave and return."""

import h5py
import numpy as np
import pytest
from frames import PARAMETERS, settings

from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import MEAN_MASS, YEAR
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

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


def gadget(path, time, attributes=False):
    with h5py.File(path, "w") as file:
        header = file.create_group("Header")
        header.attrs["Time"] = TIME[time] * YEAR * SPEED / LENGTH
        units = {"UnitLength_in_cm": LENGTH, "UnitMass_in_g": MASS}
        units |= {"UnitVelocity_in_cm_per_s": SPEED}
        file.create_group("Parameters").attrs.update(units)
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


def read(paths, tmp_path, **options):
    parameters = PARAMETERS | {"Radfield": "1.7"}
    out = tmp_path / "out.h5"
    config = settings(parameters=parameters, **options)
    report = import_tracers(paths, out, config, split=False)
    with TracerStore(out, need_abundances=False) as store:
        return store.read(slice(None)), report


@pytest.mark.parametrize("write", [gadget, arepo, flash, parthenon, phantom])
def test_snapshots_become_tracers(tmp_path, write):
    folder = tmp_path / "run"
    folder.mkdir()
    for time in range(len(TIME)):
        write(folder / f"snap_{time:03d}.hdf5", time)

    tracers, report = read(folder, tmp_path)

    # A stay each: 12 leaves after the second time and returns for the last two.
    expected = [(3, 1, 0, 6), (5, 3, 2, 6), (7, 0, 0, 6), (12, 2, 0, 2), (13, 2, 4, 6)]
    order = np.argsort(tracers.tracer)
    assert tracers.tracer[order].tolist() == [number for number, *_ in expected]
    for row, (_, column, first, last) in zip(order, expected, strict=True):
        length = tracers.length[row]
        assert length == last - first
        np.testing.assert_allclose(tracers.time[row, :length], TIME[first:last], 1e-6)
        found = tracers.physical[row, : length - 1]
        part = slice(first, last - 1)
        np.testing.assert_allclose(found[:, 0], DENSITY[part, column], rtol=1e-5)
        np.testing.assert_allclose(found[:, 2], AV[part, column], rtol=1e-5)
        np.testing.assert_allclose(found[:, 3], GAS[part, column], rtol=1e-5)
    assert any("particles leave and return: 1, first 12;" in n for n in report.notes)


def test_windows_and_parts_of_a_snapshot_change_nothing(tmp_path, monkeypatch):
    paths = []
    for time in range(len(TIME)):
        paths.append(tmp_path / f"{time}.hdf5")
        gadget(paths[-1], time)
    whole, _ = read(paths, tmp_path)
    # The last snapshot in two files, the second of which holds one particle.
    for part, chosen in (("a", slice(0, 3)), ("b", slice(3, 4))):
        with (
            h5py.File(paths[-1]) as file,
            h5py.File(tmp_path / f"{part}.h5", "w") as new,
        ):
            for name in ("Header", "Parameters"):
                file.copy(name, new)
            for name, dataset in file["PartType0"].items():
                new[f"PartType0/{name}"] = dataset[chosen]
    monkeypatch.setattr("astrokeras.data.importers.raw_tracers.ROWS", 3)
    monkeypatch.setattr("astrokeras.data.readers.snapshots._WINDOW", 4)
    monkeypatch.setattr("astrokeras.data.readers.snapshots._COARSE", 2)

    parts, _ = read([tmp_path / "b.h5", *paths[:-1], tmp_path / "a.h5"], tmp_path)

    np.testing.assert_array_equal(parts.tracer, whole.tracer)
    np.testing.assert_array_equal(parts.physical, whole.physical)


def test_snapshots_that_are_refused(tmp_path):
    paths = [tmp_path / f"{time}.hdf5" for time in range(2)]
    for time, path in enumerate(paths):
        gadget(path, time)
    with h5py.File(paths[1], "a") as file:
        file["PartType0/ParticleIDs"][0] = file["PartType0/ParticleIDs"][1]
    with pytest.raises(InputError, match=r"1.hdf5: holds particle \d+ twice"):
        read(paths, tmp_path)
    with h5py.File(paths[1], "a") as file:
        file["Parameters"].attrs["ComovingIntegrationOn"] = 1
    with pytest.raises(InputError, match="comoving"):
        read(paths, tmp_path)
    flash(paths[1], 1)
    with h5py.File(paths[0], "a") as file:
        del file["Parameters"]
    with pytest.raises(InputError, match=r"in no unit|one set of snapshots"):
        read(paths, tmp_path)


def test_a_model_that_uclchem_saved(tmp_path):
    # xarray's netCDF-4 of UCLCHEM's `save_model`: a group, (times, points, quantities).
    physics = [
        "Time",
        "Density",
        "gasTemp",
        "dustTemp",
        "Av",
        "radfield",
        "zeta",
        "dstep",
    ]
    species = ["H", "H2", "CO", "E-"]
    x = np.full((8, 2, 4), [0.3, 0.35, 1e-4, 1e-20])
    x[:, 1, 2] = 5e-5
    p = np.ones((8, 2, len(physics)))
    p[..., 0], p[..., 1] = 10.0 * np.arange(8)[:, None], [1e4, 2e4]
    p[..., 2:4] = 20.0
    x[6:], p[6:] = 0, 0  # the run ended
    path = tmp_path / "models.h5"
    with h5py.File(path, "w") as file:
        for name, values in (
            ("physics_array", p),
            ("chemical_abun_array", x),
            ("physics_values", physics),
            ("chemical_abun_values", species),
        ):
            file[f"cloud/{name}"] = values

    out = tmp_path / "out.h5"
    import_tracers(path, out, settings(), split=False)

    with TracerStore(out) as store:
        tracers = store.read(slice(None))
        assert store.species == tuple(species)
    assert tracers.length.tolist() == [6, 6]
    np.testing.assert_allclose(tracers.abundances[1], x[:6, 1], rtol=1e-6)
    np.testing.assert_allclose(tracers.physical[:, 0, 0], [1e4, 2e4])
