"""HDF5 snapshots and saved models: particles that move, leave and return."""

import h5py
import numpy as np
import pytest
from frames import PARAMETERS, settings
from layouts import saved_model
from remedies import options
from snapshot_files import (
    AV,
    DENSITY,
    GAS,
    STAYS,
    TIME,
    WRITERS,
    bare,
    flash,
    gadget,
    parthenon,
    write_set,
)

from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


def read(paths, tmp_path, **options):
    parameters = PARAMETERS | {"Radfield": "1.7"}
    out = tmp_path / "out.h5"
    config = settings(parameters=parameters, **options)
    report = import_tracers(paths, out, config, split=False)
    with TracerStore(out, need_abundances=False) as store:
        return store.read(slice(None)), report


@pytest.mark.parametrize("write", WRITERS)
def test_snapshots_become_tracers(tmp_path, write):
    folder = write_set(tmp_path / "run", write)
    units = {"Time": "yr", "Density": "cm-3"} if write is parthenon else {}

    tracers, report = read(folder, tmp_path, raw_units=units)

    order = np.argsort(tracers.tracer)
    assert tracers.tracer[order].tolist() == [number for number, *_ in STAYS]
    for row, (_, column, first, last) in zip(order, STAYS, strict=True):
        length = tracers.length[row]
        assert length == last - first
        np.testing.assert_allclose(tracers.time[row, :length], TIME[first:last], 1e-6)
        found = tracers.physical[row, : length - 1]
        part = slice(first, last - 1)
        np.testing.assert_allclose(found[:, 0], DENSITY[part, column], rtol=1e-5)
        np.testing.assert_allclose(found[:, 2], AV[part, column], rtol=1e-5)
        np.testing.assert_allclose(found[:, 3], GAS[part, column], rtol=1e-5)
    assert any("particles leave and return: 1, first 12;" in n for n in report.notes)


@pytest.mark.parametrize("write", [bare, parthenon])
def test_units_that_snapshots_do_not_state_are_asked_for(tmp_path, write):
    folder = write_set(tmp_path / "run", write)

    with pytest.raises(InputError, match="state no unit of Time and Density") as error:
        read(folder, tmp_path)

    assert "\n" not in str(error.value)
    (option,) = options(str(error.value))
    assert option == "dataset.raw_units={Time:yr,Density:cm-3}"
    tracers, _ = read(folder, tmp_path, raw_units={"Time": "yr", "Density": "cm-3"})
    assert np.nanmax(tracers.time) == TIME[-1]


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


def test_points_of_a_saved_model_that_ended_early(tmp_path):
    path = saved_model(tmp_path)
    with h5py.File(path, "a") as file:
        for name in ("physics_array", "chemical_abun_array"):
            values = np.repeat(file[f"cloud/{name}"][:], 2, axis=1)
            values[4:] = 0
            del file[f"cloud/{name}"]
            file[f"cloud/{name}"] = values

    import_tracers(path, tmp_path / "out.h5", settings(), split=False)

    with TracerStore(tmp_path / "out.h5") as store:
        assert store.length.tolist() == [4, 4]
