"""`astrokeras data`, as it is typed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from frames import raw
from tiny import SPECIES, make_tracers, write_tracers

from astrokeras.cli.tables import sparkline
from astrokeras.data.tracers.reader import TracerStore

pytestmark = pytest.mark.neutral


@pytest.fixture
def raw_path(tmp_path):
    path = tmp_path / "raw.h5"
    raw(tracers=40, per_simulation=2).to_hdf(path, key="df")
    return path


@pytest.fixture
def tiny_path(tmp_path):
    return write_tracers(tmp_path / "tiny.h5")


def failed(result, code=2):
    """Return the one line of a failure."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


def test_import(cli, raw_path, tmp_path):
    result = cli("data", "import", raw_path, "--out", tmp_path / "out.h5")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().endswith("40 tracers, 12 states, 11 species")
    assert "split: 28 train, 6 validation, 6 test" in result.stderr
    assert "held fixed: zeta = 1" in result.stderr
    with TracerStore(tmp_path / "out.h5") as store:
        assert store.parameters == ("Density", "Radfield", "Av", "gasTemp")
        assert store.units[1] == "Habing"


def test_import_takes_several_files_and_overrides(cli, raw_path, tmp_path):
    frame = raw(tracers=10).assign(**{"13CO": 1e-9, "FE": 1e-9})
    frame.to_hdf(raw_path, key="df", mode="w")
    frame.assign(Tracer=frame["Tracer"] + 50).to_hdf(tmp_path / "2.h5", key="df")
    out = tmp_path / "out.h5"

    words = ("elements=[Fe,13C]", "split.by=tracer", "dataset.split.seed=4")
    result = cli("data", "import", raw_path, tmp_path / "2.h5", *words, "--out", out)

    assert result.exit_code == 0, result.stderr
    with TracerStore(out) as store:
        assert store.tracers == 20
        assert store.attributes["split_by"] == "tracer"
        assert store.attributes["split_seed"] == 4
        assert "13C" in store.attributes["elements"]


def test_import_prints_what_was_clipped(cli, raw_path, tmp_path):
    frame = raw(tracers=40)
    frame.loc[[1, 2], "CO"] = 0.0
    frame.loc[5, "radfield"] = 0.0
    frame.to_hdf(raw_path, key="df", mode="w")

    result = cli("data", "import", raw_path, "--out", tmp_path / "out.h5")

    assert "2 abundances raised to the floor" in result.stderr
    assert "1 values of Radfield raised to its minimum" in result.stderr


def test_import_without_split(cli, tmp_path):
    path = tmp_path / "raw.h5"
    raw(tracers=2).drop(columns="Simulation").to_hdf(path, key="df")
    out = tmp_path / "out.h5"

    message = failed(cli("data", "import", path, "--out", out))
    assert "holds no simulations" in message
    assert not out.exists()

    assert cli("data", "import", path, "--out", out, "--no-split").exit_code == 0
    with TracerStore(out) as store:
        assert not store.has_split


def test_a_wrong_alignment_is_a_warning_on_stderr(cli, tmp_path):
    path = tmp_path / "raw.h5"
    raw(tracers=40, states=40, alignment="this").to_hdf(path, key="df")

    result = cli("data", "import", path, "--out", tmp_path / "out.h5")

    assert result.exit_code == 0
    assert "Warning: where the parameters move, they explain" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("none.h5",), "no such file"),
        (("{raw}", "alignment=back"), "allowed are: next, this"),
        (("{raw}", "split.seed=-1"), "must lie in"),
        (("{raw}", "dataset.colour=red"), "colour"),
        (("{raw}", "parameters.Density=rho"), "column rho missing"),
    ],
)
def test_import_refuses(cli, raw_path, tmp_path, words, expected):
    words = [word.format(raw=raw_path) for word in words]
    message = failed(cli("data", "import", *words, "--out", tmp_path / "out.h5"))
    assert expected in message
    assert not list(tmp_path.glob("out.h5*"))


def test_inspect_for_people(cli, tiny_path):
    result = cli("data", "inspect", tiny_path)

    assert result.exit_code == 0, result.stderr
    for expected in (
        "20 tracers of 10 simulations, 13 states, 10 species",
        "8 gas, 1 surface, 1 bulk",
        "validation        4            2",
        "Radfield",
        "Habing",
        "█",
    ):
        assert expected in result.stdout


def test_inspect_for_machines(cli, tiny_path):
    found = json.loads(cli("data", "inspect", tiny_path, "--json").stdout)

    tracers = make_tracers()
    physical, abundances = tracers.physical, tracers.abundances
    assert (found["tracers"], found["states"], found["species"]) == (20, 13, 10)
    assert found["splits"]["test"] == {"tracers": 4, "simulations": 2}
    for index, one in enumerate(found["parameters"]):
        assert one["low"] == pytest.approx(physical[..., index].min())
        assert one["high"] == pytest.approx(physical[..., index].max())
        logs = np.log10(physical[..., index].astype(float))
        expected = np.histogram(logs, len(one["counts"]))[0]
        # Drawn from fine bins: a value may fall into the next one.
        assert sum(one["counts"]) == logs.size
        assert np.abs(np.subtract(one["counts"], expected)).sum() < 0.1 * logs.size
    low = abundances <= np.float32(1e-20)
    assert found["abundances"]["at_floor"] == pytest.approx(low.mean())
    counted = np.histogram(np.log10(abundances[~low]), range(-20, 1))[0]
    assert found["abundances"]["counts"] == counted.tolist()
    assert found["starts"] == [
        {"time": 0.0, "tracers": 20, "at_floor": pytest.approx(low[:, 0].mean())}
    ]
    assert found["time"]["last"] == 1200
    hydrogen = [1, 2, 0, 1, 2, 0, 0, 2, 2, 0]
    totals = abundances.astype(float) @ hydrogen
    drift = np.abs(totals / totals[:, :1] - 1).max()
    assert found["elements"]["H"]["drift"] == pytest.approx(drift)
    assert len(SPECIES) == len(hydrogen)


def test_inspect_reads_some_tracers_of_a_large_file(cli, tmp_path):
    path = write_tracers(tmp_path / "many.h5", make_tracers(700, 2, states=3))
    found = json.loads(cli("data", "inspect", path, "--json").stdout)
    assert (found["tracers"], found["tracers_read"]) == (1400, 1000)
    assert "1000 evenly spaced tracers" in cli("data", "inspect", path).stdout
    found = json.loads(cli("data", "inspect", path, "--json", "--all").stdout)
    assert found["tracers_read"] == 1400


def test_inspect_the_sample(cli, sample_path):
    result = cli("data", "inspect", sample_path)

    assert result.exit_code == 0, result.stderr
    assert "333 species (167 gas, 83 surface, 83" in result.stdout
    assert "H nuclei cm^-3" in result.stdout


@pytest.mark.parametrize("command", ["inspect", "split"])
def test_a_file_that_is_no_tracer_file(cli, raw_path, tmp_path, command):
    assert "astrokeras data import" in failed(cli("data", command, raw_path))
    assert "no such file" in failed(cli("data", command, tmp_path / "none.h5"))


@pytest.mark.parametrize("words", [("inspect",), ("split",), ("sample", "out.h5")])
def test_a_text_file_is_no_tracer_file(cli, tmp_path, words):
    path = tmp_path / "x.csv"
    path.write_text("Time, Density\n1, 2\n")
    message = failed(cli("data", words[0], path, *words[1:]))
    assert "x.csv: is no tracer file" in message
    assert f"`astrokeras data import {path}" in message


def test_inspect_refuses_impossible_values(cli, tmp_path):
    tracers = make_tracers()
    tracers.abundances[3, 4, 5] = -1
    path = write_tracers(tmp_path / "bad.h5", tracers)
    assert "tracer 103, state 4: C is -1" in failed(cli("data", "inspect", path))


def test_split(cli, tmp_path):
    tracers = make_tracers()
    tracers.split[:] = 255
    path = write_tracers(tmp_path / "unsplit.h5", tracers)

    result = cli("data", "split", path, "--seed", 3, "--test", 0.3)
    assert result.exit_code == 0, result.stderr
    assert "10 train, 4 validation, 6 test" in result.stdout

    assert "has a split already" in failed(cli("data", "split", path))
    assert cli("data", "split", path, "--by", "tracer", "--force").exit_code == 0
    assert "by is 'row'" in failed(cli("data", "split", path, "--by", "row", "--force"))


def test_sample(cli, tiny_path, tmp_path):
    out = tmp_path / "few.h5"
    result = cli("data", "sample", tiny_path, out, "--per-simulation", 1)

    assert result.exit_code == 0, result.stderr
    assert "10 tracers" in result.stdout
    with TracerStore(out) as store:
        assert store.tracers == 10
    limit = ("--max-mb", 0.01, "--overwrite")
    assert "increase the limit" in failed(cli("data", "sample", tiny_path, out, *limit))


@pytest.mark.parametrize("command", ["import", "sample"])
def test_a_file_that_is_there_is_kept(cli, raw_path, tiny_path, tmp_path, command):
    def write(given, out, *words):
        place = ("--out", out) if command == "import" else (out,)
        return cli("data", command, given, *place, *words)

    out = tmp_path / "out.h5"
    out.write_bytes(b"an older result")
    given = raw_path if command == "import" else tiny_path

    assert "out.h5: exists; give another name or --overwrite" in failed(
        write(given, out)
    )
    assert out.read_bytes() == b"an older result"
    before = given.read_bytes()
    for words in ((), ("--overwrite",)):
        assert "is the input itself" in failed(write(given, given, *words))
    assert given.read_bytes() == before
    assert write(given, out, "--overwrite").exit_code == 0
    with TracerStore(out) as store:
        assert store.tracers


def test_bars_are_as_high_as_the_counts():
    assert sparkline([0, 1, 50, 100]) == " ▁▅█"
    assert sparkline([]) == ""


def test_no_keras_to_handle_data(tiny_path):
    code = (
        "import sys; from astrokeras.cli import app\n"
        f"app(['data', 'inspect', {str(tiny_path)!r}], standalone_mode=False)\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax', 'pandas'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
