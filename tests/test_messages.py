"""Files of any make are read where that can be done in one way; causes are named."""

import gzip
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import ROOT
from frames import run, settings, write_csv
from tiny import write_tracers

import astrokeras
from astrokeras.astrochemnet.checkpoint import read_species
from astrokeras.chemistry.species import parse_species
from astrokeras.config import SolverConfig, compose, compose_tracks
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import factor
from astrokeras.errors import InputError
from astrokeras.export.export import export
from astrokeras.runs.directory import find_data, find_run
from astrokeras.runs.loading import find_surrogate
from astrokeras.solvers.solver import make_solver
from astrokeras.system.backend import select_backend
from astrokeras.system.close_names import suggest
from astrokeras.system.input_paths import check_input, content
from astrokeras.trajectories.make import make_tracks
from astrokeras.tuning.search_space import find_field

pytestmark = pytest.mark.neutral

PROGRAM = "from astrokeras.cli import main; main()"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return (
        write_csv(tmp_path_factory.mktemp("rows") / "run.csv", run())
        .read_text()
        .splitlines()
    )


def semicolons(rows):
    return [row.replace(",", ";") for row in rows]


def quoted(row):
    return ",".join(f'"{cell.strip()}"' for cell in row.split(","))


SPELLINGS = {
    "byte-order mark": lambda rows: "\ufeff" + "\n".join(rows),
    "quoted header": lambda rows: "\n".join([quoted(rows[0]), *rows[1:]]),
    "quoted numbers": lambda rows: "\n".join(map(quoted, rows)),
    "semicolons": lambda rows: "\n".join(semicolons(rows)),
    "tabs": lambda rows: "\n".join(rows).replace(",", "\t"),
    "decimal commas": lambda rows: "\n".join(
        [semicolons(rows)[0], *(row.replace(".", ",") for row in semicolons(rows[1:]))]
    ),
    "gzip": lambda rows: gzip.compress("\n".join(rows).encode()),
    "UTF-16": lambda rows: "\n".join(rows).encode("utf-16"),
    "Windows' line ends": lambda rows: "\r\n".join(rows),
    "old Macs' line ends": lambda rows: "\r".join(rows),
    "separators at the ends": lambda rows: "\n".join(f"{row}," for row in rows),
    "a header in a comment": lambda rows: "# " + "\n".join(rows),
    "D exponents": lambda rows: "\n".join(
        [rows[0], *(row.replace("E", "D") for row in rows[1:])]
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_table_is_read_however_it_is_spelled(tmp_path, rows, spelling):
    made = SPELLINGS[spelling](rows)
    path = tmp_path / "run.csv"
    path.write_bytes(made if isinstance(made, bytes) else made.encode())

    import_tracers(path, tmp_path / "out.h5", settings(), split=False)

    with TracerStore(tmp_path / "out.h5") as store:
        found = store.read(slice(None))
    table = np.array([[float(x) for x in row.split(",")] for row in rows[1:]])
    np.testing.assert_array_equal(found.abundances[0], table[:, 8:].astype("f4"))
    np.testing.assert_array_equal(found.time[0], table[:, 0])


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffH,CO\n0.5,1e-4\n",
        '"H","CO"\n0.5,1e-4\n',
        "H;CO\n0,5;1e-4\n",
        "H\tCO\n.5\t1D-4",
    ],
)
def test_abundances_are_read_however_they_are_spelled(tmp_path, text):
    path = tmp_path / "start.csv"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_initial(path, ["CO", "H"]), [1e-4, 0.5])


def test_a_mark_is_no_letter_of_a_species(tmp_path):
    path = tmp_path / "species.txt"
    path.write_text("\ufeffH\nCO\n", encoding="utf-8")
    assert read_species(path) == ("H", "CO")


# Where a path leads


def refusal(function, *arguments):
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_why_there_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    (tmp_path / "link").symlink_to("gone.h5")
    (tmp_path / "Data.h5").touch()

    def why(name):
        return refusal(check_input, type(tmp_path)(name))

    assert "it is a pipe or a device" in why("pipe")
    assert "it is a link to gone.h5, which is missing" in why("link")
    assert "did you mean 'Data.h5'?" in why("data.h5")
    assert "it is a folder" in why(".")
    assert "it is a URL" in why("https://example.org/data.h5")
    assert "its folder none does not exist" in why("none/data.h5")
    assert f"give {os.path.expanduser('~/none/x.h5')}" in why("~/none/x.h5")
    assert "cannot contain a NUL" in why("a\0b")
    assert "no such file" in why("x" * 5000)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write_tracers(tmp_path / "tiny.h5")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all
    assert "permission denied" in refusal(TracerStore, path)


def test_a_name_of_two_lines_is_told_in_one(tmp_path):
    message = refusal(TracerStore, tmp_path / "two\nlines.h5")

    assert "(it has line breaks); give the path of a file" in message


def test_a_huge_name_out_of_a_file_is_cut_in_messages(tmp_path):
    path = write_tracers(tmp_path / "tiny.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "y" * 60_000
    message = refusal(TracerStore, path)
    assert len(message) < 1500
    assert message.startswith(f"{path}: attribute 'format' is 'yyy")
    assert message.endswith("convert raw data with `astrokeras data import`.")


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"BZh9", "bzip2"),
        (b"PK\x03\x04", "zip archive"),
        (b"\x80\x05", "pickle"),
        (b"\n<HTML>", "web page"),
        (b"SIMPLE  =", "FITS"),
        (b"CDF\x01", "NetCDF-3"),
        (bytes(99), "zeros"),
        (b"", "empty (0 bytes)"),
    ],
)
def test_what_stands_in_place_of_a_tracer_file(tmp_path, first, kind):
    path = tmp_path / "data.h5"
    path.write_bytes(first)
    assert kind in content(path)
    message = refusal(TracerStore, path)
    assert kind in message
    assert "cannot be read as HDF5" in message


def test_a_file_that_another_process_holds(tmp_path, cli):
    path = write_tracers(tmp_path / "tiny.h5")
    hold = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(flush=True); input()"
    )
    words = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        message = cli("data", "inspect", path).stderr
        process.communicate(b"\n")
    assert "is open in another process" in message
    assert "damaged" not in message
    assert cli("data", "inspect", path).exit_code == 0


def test_a_file_whose_writer_was_killed(tmp_path):
    path = tmp_path / "tiny.h5"
    write = "import h5py, os, sys; f = h5py.File(sys.argv[1], 'w', libver='latest');"
    write += "f['x'] = 1; f.swmr_mode = True; f.flush(); os._exit(0)"
    subprocess.run([sys.executable, "-c", write, str(path)], check=True)
    assert "marked as open for writing" in refusal(TracerStore, path)


@pytest.mark.parametrize("name", ["model.pkl", "model.KERAS", "model.h5"])
def test_what_is_given_as_a_model(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x04K\x01.")
    message = refusal(find_surrogate, path)
    assert "is a pickle" in message
    assert ("rename it to model.keras" in message) == (name == "model.KERAS")


# Names


def test_suggestions():
    known = ["CO", "HCO+", "H2O", "#CO"]
    assert suggest("co", known) == "; did you mean 'CO'?"
    assert suggest("HCO+ ", known) == "; did you mean 'HCO+'?"
    assert suggest("Vorticity", known, "; look.") == "; look."
    assert suggest("", known) == "."


def test_names_come_with_the_one_that_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'CO'?" in refusal(parse_species, "co")
    assert "did you mean 'HCO+'?" in refusal(parse_species, "HCO+ ")
    assert "did you mean 'grav'?" in refusal(find_run, "Grav")
    assert "did you mean 'grav.h5'?" in refusal(find_data, "Grav.h5", "dataset.path")
    assert "did you mean 'g/cm^3'?" in refusal(
        factor, "Density", "g/cm^2", "H nuclei cm^-3"
    )
    start = tmp_path / "start.csv"
    start.write_text("H,co\n0.5,1e-4\n")
    assert "did you mean 'co'?" in refusal(read_initial, start, ["H", "CO"])


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("emulator.hiden=[3]", "'emulator.hidden'"),
        ("hidden=[3]", "'emulator.hidden'"),
        ("emulatr.window=3", "'emulator'"),
        ("dataset=Grav", "'grav'"),
        ("dataset.layout=Raw", "'raw'"),
    ],
)
def test_keys_and_variants_come_with_the_one_that_was_meant(override, meant):
    assert f"did you mean {meant}" in refusal(compose, [override])


@pytest.mark.parametrize(
    ("kind", "override", "meant"),
    [
        ("standard", "modls=[static4]", "'models'"),
        ("standard", "models=[hotcor]", "'hotcore'"),
        ("explore", "shares.wlk=1", "'walk'"),
        ("explore", "families=[shok]", "'shock'"),
        ("explore", "limits.Densty=[1,2]", "'Density'"),
    ],
)
def test_names_of_tracks_come_with_the_one_that_was_meant(
    tmp_path, kind, override, meant
):
    def make():
        return make_tracks(compose_tracks(kind, [f"tracks.{override}"]), path)

    path = tmp_path / "tracks.h5"
    assert f"did you mean {meant}" in refusal(make)
    assert not path.exists()


def test_other_names_come_with_the_one_that_was_meant(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mine = SolverConfig(kind="uclchm")
    assert "did you mean 'uclchem'?" in refusal(make_solver, mine)
    assert "did you mean 'hidden'?" in refusal(find_field, "emulator.hiden")
    assert "did you mean 'torch'?" in refusal(select_backend, "torhc")
    assert "did you mean 'numpy'?" in refusal(export, "grav", "numpyy")
    with pytest.raises(AttributeError, match="did you mean 'load'"):
        _ = astrokeras.laod


# The command line


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["PYTHONIOENCODING", "LC_ALL"],
)
def test_terminals_without_all_letters(tmp_path, settings):
    path = write_tracers(tmp_path / "tiny.h5")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "data", "inspect", str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"20 tracers" in done.stdout
    assert not done.stderr


def test_nobody_reads_the_output_to_its_end():
    words = [sys.executable, "-c", PROGRAM, "models", "list"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""
