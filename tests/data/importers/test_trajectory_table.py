"""Tables of trajectories into files of tracks, and the check before they are solved."""

import shutil
import sys
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd
import pytest
from frames import COLUMNS, hdf, raw, run, settings, write_csv
from tiny import make_tracers, write_tracers

from astrokeras.config import compose
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.importers.trajectory_table import read_tracks
from astrokeras.data.readers.parquet_table import HDF5Table, ParquetTable
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.errors import InputError
from astrokeras.solvers import checks
from astrokeras.solvers.checks import check_tracks
from astrokeras.solvers.solver import Parameter

pytestmark = pytest.mark.neutral

MASS = 1.4 * 1.6735e-24  # g per H nucleus
PHYSICS = ["Time", *COLUMNS, "Tracer", "Simulation"]


def physics(**columns) -> pd.DataFrame:
    """Return a table of tracks with further columns that are no species."""
    frame = raw()[PHYSICS].assign(x=1.0, vx=-3.0)
    return frame.assign(**columns)


def in_raw_units(frame):
    """Return the table as a code in cgs units writes it."""
    return frame.assign(
        Time=frame["Time"] * 365.25 * 86400,
        Density=frame["Density"] * MASS,
        radfield=frame["radfield"] / 1.7,
        Av=frame["Av"] / 5.348e-22,
    )


RAW_UNITS = {"Time": "s", "Density": "g/cm^3", "Radfield": "Draine", "Av": "cm^-2"}


def write_columns(path, frame):
    with h5py.File(path, "w") as file:
        for name in frame:
            file[name] = frame[name].to_numpy()
        file["BoxSize"] = 3.0
        file["note"] = "not a column"
        file.create_group("Header")
    return path


def write_parquet(path, frame):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    columns = {name: frame[name].to_numpy() for name in frame}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=7)
    return path


WRITERS = {
    "csv": write_csv,
    "h5": hdf,
    "hdf5": write_columns,
    "parquet": write_parquet,
}


def check(path, frame, rtol=1e-5):
    with TracerStore(path, need_abundances=False) as store:
        assert (store.species, store.has_abundances) == ((), False)
        assert store.parameters == ("Density", "Radfield", "Av", "gasTemp")
        tracks = store.read(slice(None))
        attributes = store.attributes
    for number, (name, one) in enumerate(frame.groupby("Tracer")):
        assert tracks.tracer[number] == name
        np.testing.assert_allclose(tracks.time[number], one["Time"], rtol=rtol)
        # Row k's parameters drive row k to k + 1.
        np.testing.assert_allclose(
            tracks.physical[number], one[COLUMNS][:-1], rtol=rtol
        )
    return attributes


@pytest.mark.parametrize("kind", WRITERS)
def test_a_table_becomes_tracks_with_its_units_converted(tmp_path, kind):
    frame = physics()
    table = WRITERS[kind](tmp_path / f"raw.{kind}", in_raw_units(frame))

    made = read_tracks(table, settings(raw_units=RAW_UNITS), tmp_path / "t.h5")

    assert made == tmp_path / "t.h5"
    attributes = check(made, frame)
    assert "network" not in attributes
    assert "elements" not in attributes


def test_a_tracer_file_is_taken_as_it_is(tmp_path):
    path = write_tracers(tmp_path / "tiny.h5")

    assert read_tracks(path, settings(), tmp_path / "t.h5") == path
    assert not (tmp_path / "t.h5").exists()


def test_tables_of_species_give_their_physics(tmp_path):
    frame = raw()
    made = read_tracks(hdf(tmp_path / "f.h5", frame), settings(), tmp_path / "t.h5")
    check(made, frame)


def test_parameters_that_drove_the_step_before_move_up(tmp_path):
    frame = physics()
    config = settings(alignment="this")

    made = read_tracks(hdf(tmp_path / "f.h5", frame), config, tmp_path / "t.h5")

    with TracerStore(made, need_abundances=False) as store:
        tracks = store.read(slice(None))
    one = frame[frame["Tracer"] == 100]
    np.testing.assert_array_equal(tracks.time[0], [0.0, *one["Time"]])
    np.testing.assert_allclose(tracks.physical[0], one[COLUMNS], rtol=1e-6)


def test_what_varies_and_is_no_parameter_is_a_warning(tmp_path):
    frame = physics(zeta=np.linspace(1, 2, 96))
    warned = []

    table = hdf(tmp_path / "f.h5", frame)
    read_tracks(table, settings(), tmp_path / "t.h5", warn=warned.append)

    (line,) = warned
    assert line.startswith(f"{table}: zeta (1 to 2): varies")


def test_units_are_converted_before_the_minimum_and_the_interval(tmp_path):
    frame = physics()
    frame.loc[3, "radfield"] = 5e-5
    table = hdf(tmp_path / "f.h5", in_raw_units(frame))

    report = import_tracers(
        table, tmp_path / "t.h5", settings(raw_units=RAW_UNITS), tracks=True
    )

    assert report.statistics.floored == {"Radfield": 1}
    assert not [line for line in report.warnings if "time steps" in line]


def test_solved_tables_are_converted_too(tmp_path):
    frame = raw()
    table = hdf(tmp_path / "f.h5", in_raw_units(frame))

    import_tracers(table, tmp_path / "t.h5", settings(raw_units=RAW_UNITS))

    with TracerStore(tmp_path / "t.h5") as store:
        tracers = store.read(slice(None))
    one = frame[frame["Tracer"] == 100]
    np.testing.assert_allclose(tracers.time[0], one["Time"], rtol=1e-9)
    np.testing.assert_allclose(tracers.physical[0], one[COLUMNS][:-1], rtol=1e-6)
    np.testing.assert_allclose(tracers.abundances[0, :, 4], one["CO"], rtol=1e-6)


def test_tracks_are_joined_and_keep_their_split(tmp_path):
    tracers = make_tracers()
    one = write_tracers(tmp_path / "1.h5", tracers, species=())
    tracers.tracer += 1000
    tracers.simulation += 1000
    two = write_tracers(tmp_path / "2.h5", tracers, species=())

    report = import_tracers([one, two], tmp_path / "t.h5", settings())

    assert (report.tracers, report.species) == (40, 0)
    with TracerStore(tmp_path / "t.h5", need_abundances=False) as store:
        assert np.bincount(store.split).tolist() == [24, 8, 8]


def test_tracks_and_tracers_do_not_join(tmp_path):
    one = write_tracers(tmp_path / "1.h5", species=())
    tracers = make_tracers()
    tracers.tracer += 1000
    two = write_tracers(tmp_path / "2.h5", tracers)

    with pytest.raises(InputError, match="has H, H2, O"):
        import_tracers([one, two], tmp_path / "t.h5", settings())
    import_tracers([one, two], tmp_path / "t.h5", settings(), tracks=True)


def test_command(cli, tmp_path):
    table = write_csv(tmp_path / "hydro.csv", in_raw_units(physics()))
    out = tmp_path / "t.h5"
    units = [f"raw_units.{name}={unit}" for name, unit in RAW_UNITS.items()]
    units = [one.replace("^", "") for one in units]
    words = ("data", "import", table, "--out", out, *units, "--no-split")

    species, done = cli(*words), cli(*words, "--tracks")

    assert species.exit_code == 2
    assert "species 'x' cannot be read" in species.stderr
    assert "`--tracks` imports only the physics" in species.stderr
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == f"{out}: 8 tracers, 12 states, no species"
    assert "a file of tracks; solve it with `astrokeras data" in done.stderr
    check(out, physics())


def test_a_table_without_species_needs_no_option(cli, tmp_path):
    frame = physics().drop(columns=["x", "vx"])
    table = write_csv(tmp_path / "hydro.csv", frame)

    done = cli("data", "import", table, "--out", tmp_path / "t.h5", "--no-split")

    assert done.exit_code == 0, done.stderr
    check(tmp_path / "t.h5", frame)


def test_units_by_hydra():
    config = compose(["dataset.raw_units.Density=g/cm3", "dataset.raw_units.Time=3e5"])
    assert config.dataset.raw_units == {"Density": "g/cm3", "Time": "300000.0"}


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"density": "g/cm^3"}, r"raw_units\.density: .* Time, Density, Radfield"),
        ({"Density": "stone"}, r"raw_units\.Density is 'stone'.*g/cm\^3"),
        ({"Time": "K"}, r"raw_units\.Time is 'K'.* yr, kyr, Myr"),
    ],
)
def test_unknown_units_are_refused(tmp_path, units, message):
    table = hdf(tmp_path / "f.h5", physics())
    with pytest.raises(InputError, match=message):
        read_tracks(table, settings(raw_units=units), tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_hdf5_columns_of_different_lengths(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["Density"], file["Time"] = np.ones(3), np.ones(4)

    with pytest.raises(InputError, match="'Time' has 4 rows, but 'Density' has 3"):
        read_tracks(tmp_path / "c.h5", settings(), tmp_path / "t.h5")


def test_hdf5_columns_read_what_is_asked_for(tmp_path):
    path = write_columns(tmp_path / "c.h5", physics())
    with h5py.File(path) as file:
        table = HDF5Table(file)
        assert {"BoxSize", "note", "Header"}.isdisjoint(table.columns)
        columns = [table.columns.index(name) for name in ("Av", "Time")]
        values = table.read(5, 9, columns)
    np.testing.assert_array_equal(values, physics()[["Av", "Time"]][5:9])


def test_hdf5_columns_in_other_files_are_passed_over(tmp_path):
    path = write_columns(tmp_path / "c.h5", physics())
    shutil.copy(path, tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        del file["Av"]
        file["Av"] = h5py.ExternalLink("other.h5", "Av")

    with pytest.raises(InputError, match="Av"):
        read_tracks(path, settings(), tmp_path / "t.h5")


def test_parquet_is_read_by_row_groups_once_each(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    frame = physics()
    table = ParquetTable(write_parquet(tmp_path / "f.parquet", frame))
    read, groups = parquet.ParquetFile.read_row_group, []
    monkeypatch.setattr(
        parquet.ParquetFile,
        "read_row_group",
        lambda self, group, **given: groups.append(group) or read(self, group, **given),
    )
    columns = [table.columns.index(name) for name in ("Av", "Time")]

    parts = [table.read(start, start + 4, columns) for start in range(5, 29, 4)]

    np.testing.assert_array_equal(np.concatenate(parts), frame[["Av", "Time"]][5:29])
    assert groups == [0, 1, 2, 3, 4]


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "f.parquet").write_bytes(b"PAR1" + bytes(100))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(InputError, match="needs pyarrow; `pip install pyarrow`"):
        read_tracks(tmp_path / "f.parquet", settings(), tmp_path / "t.h5")


def test_damaged_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "f.parquet").write_bytes(b"PAR1" + bytes(100))

    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_tracks(tmp_path / "f.parquet", settings(), tmp_path / "t.h5")


def test_parquet_columns_of_text(tmp_path):
    frame = physics(radfield="low")
    table = write_parquet(tmp_path / "f.parquet", frame)
    with pytest.raises(InputError, match="column 'radfield' must hold numbers"):
        read_tracks(table, settings(), tmp_path / "t.h5")


def test_a_run_of_one_parcel_needs_no_numbers(tmp_path):
    frame = run()[["Time", *COLUMNS]]
    table = write_csv(tmp_path / "one.csv", frame)

    check(read_tracks(table, settings(), tmp_path / "t.h5"), frame.assign(Tracer=0))


# The check before the first tracer is solved.

LIMITS = {
    "Density": Parameter("H nuclei cm^-3", 1e-2, 1e12),
    "Radfield": Parameter("Habing", 0.0, 1e7),
    "Av": Parameter("mag", 0.0, 1e5),
    "gasTemp": Parameter("K", 5.0, 1e4),
    "zeta": Parameter("1.3e-17 s^-1", 0.0, 1e6, default=1.0),
}
GOOD = {"Density": 1e4, "Radfield": 1.0, "Av": 3.0, "gasTemp": 10.0, "zeta": 1.0}


@dataclass
class Case:
    """What is done to one value, or to all of them, and what is said of it."""

    parameter: str
    value: float
    message: str
    everywhere: bool = False


def write_tracks(path, case=None, time=None):
    tracks = empty_tracers(3, 7, 0, len(GOOD))
    tracks.physical[:] = list(GOOD.values())
    tracks.tracer[:] = [7, 8, 9]
    tracks.time[:] = 100.0 * np.arange(7) if time is None else time
    if case is not None:
        column = [*GOOD].index(case.parameter)
        rows = np.s_[:, :] if case.everywhere else np.s_[1, 4]
        tracks.physical[(*rows, column)] = case.value
    tracks.length[2] = 5
    tracks.physical[2, 4:] = np.nan
    tracks.time[2, 5:] = np.nan
    with TracerWriter(
        path,
        parameters=[*GOOD],
        units=[LIMITS[name].unit for name in GOOD],
        states=7,
        attributes={},
    ) as writer:
        writer.append(tracks)
    return path


def refused(path, **options):
    with TracerStore(path, need_abundances=False) as store:
        with pytest.raises(InputError) as caught:
            check_tracks(store, LIMITS, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_good_tracks_pass(tmp_path):
    with TracerStore(write_tracks(tmp_path / "t.h5"), need_abundances=False) as store:
        check_tracks(store, LIMITS, shortest=100.0)


@pytest.mark.parametrize(
    "case",
    [
        Case(
            "Density", np.nan, "Density is nan H nuclei cm^-3; the solver accepts 0.01"
        ),
        Case("Density", np.inf, "Density is inf"),
        Case("Density", 1e-20, "Density is 1e-20"),
        Case(
            "Density", 1e-20, "looks like g/cm3: set dataset.raw_units.Density=", True
        ),
        Case("Av", 6e21, "Av is 6e+21 mag; .* raw_units.Av=cm-2 when", True),
        Case("gasTemp", 1e9, "gasTemp is 1e+09 K; .* 5 to 10000, correct the value"),
        Case("gasTemp", 2.0, "gasTemp is 2 K"),
        Case("gasTemp", -2.0, "gasTemp is -2 K"),
        Case("zeta", 1.3e-17, "no cloud has such a value. .* raw_units.zeta=s-1", True),
    ],
    ids=lambda case: f"{case.parameter}={case.value}",
)
def test_values_are_refused(tmp_path, monkeypatch, case):
    path = write_tracks(tmp_path / "t.h5", case)
    monkeypatch.setattr(checks, "BLOCK", 1)

    message = refused(path)

    where = (7, 0) if case.everywhere else (8, 4)
    assert message.startswith(f"{path}: tracer {where[0]}, row {where[1]}: ")
    first, *rest = case.message.split(" .* ")
    assert first in message
    for part in rest:
        assert part in message


def test_nan_beyond_the_end_of_a_tracer_is_none_of_it(tmp_path):
    path = write_tracks(tmp_path / "t.h5")
    with h5py.File(path, "r+") as file:
        file["length"][2] = 6

    assert "tracer 9, row 4: Density is nan" in refused(path)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ([0, 1, 2, 2, 3, 4, 5], "tracer 7, row 2: the next row is 0 years later"),
        ([0, 1, 2, 1, 3, 4, 5], "row 2: the next row is -1 years later"),
        ([0, 1, 2, np.nan, 3, 4, 5], "row 3: time is nan years"),
        (
            2e11 * np.arange(7),
            "row 6: time is 1.2e+12 years after the first, beyond ",
        ),
        (2e11 * np.arange(7), "looks like s: set dataset.raw_units.Time=s"),
        (1e-4 * np.arange(7), "looks like Myr: set dataset.raw_units.Time=Myr"),
    ],
)
def test_times_are_refused(tmp_path, time, message):
    path = write_tracks(tmp_path / "t.h5", time=np.array(time, float))
    assert message in refused(path, shortest=0.5)


def test_the_table_is_named_where_there_was_one(tmp_path):
    path = write_tracks(tmp_path / "t.h5", Case("Av", -1.0, ""))
    assert refused(path, name="hydro.csv").startswith("hydro.csv: tracer 8, row 4: Av")


def test_units_of_known_parameters_need_not_be_given(tmp_path):
    given = settings(raw_units=RAW_UNITS, units={})
    path = write_csv(tmp_path / "hydro.csv", in_raw_units(physics()))

    read_tracks(path, given, tmp_path / "tracks.h5")

    check(tmp_path / "tracks.h5", physics())
