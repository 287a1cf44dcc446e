"""Prediction of a tracer file by a stand-in, whose answers are known."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from processes import COMMAND
from standin import (
    PARAMETERS,
    SPECIES,
    UNITS,
    StandIn,
    Trusting,
    solve,
    write_tracers,
)

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.models.status import Status
from astrokeras.prediction import tracer_rollout
from astrokeras.prediction.predict import predict
from astrokeras.runs.surrogate_reference import SurrogateReference


@pytest.fixture
def given(tmp_path):
    return tmp_path / "given.h5", tmp_path / "out.h5"


def run(given, surrogate=None, warned=None, **options):
    warn = [].append if warned is None else warned.append
    return predict(surrogate or StandIn(), *given, warn=warn, **options)


def read(path):
    with h5py.File(path) as file:
        return {name: data[()] for name, data in file.items()}, dict(file.attrs)


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize("batch", [1, 5, 256])
def test_writes_the_rollout_of_every_tracer(given, solved, batch):
    tracers = write_tracers(given[0])
    if not solved:
        first = tracers.abundances[:, :1]
        tracers = write_tracers(given[0], abundances=first.copy())
    surrogate = StandIn()

    done = run(given, surrogate, batch_size=batch)

    content, attributes = read(given[1])
    expected = solve(tracers.abundances[:, 0], np.nan_to_num(tracers.physical, nan=1.0))
    expected[-1, 7:] = np.nan
    np.testing.assert_allclose(content["abundances"], expected, rtol=1e-5)
    for name in ("physical", "time", "length", "tracer", "simulation", "split"):
        np.testing.assert_array_equal(content[name], getattr(tracers, name), name)
    assert content["status"].dtype == np.uint8
    assert not content["status"].any()
    assert (done.tracers, done.states, done.reliable) == (12, 12 * 8 - 2, 94)
    assert done.status == {}
    assert attributes["surrogate"] == "standin"
    assert attributes["astrokeras_version"]
    assert max(surrogate.batches) == min(batch, 12)
    assert sum(surrogate.batches) == 12
    with TracerStore(given[1]) as store:
        assert store.read(store.rows()).abundances.shape == (12, 9, len(SPECIES))


class TakesColumns(StandIn):
    """Takes N(H2) and N(CO) too, which it ignores."""

    def get_config(self):
        config = super().get_config()
        columns = {"NCO": [1e5, 1e30], "NH2": [1e10, 1e30]}
        return config | {
            "parameters": [*columns, *PARAMETERS],
            "units": ["cm^-2"] * 2 + list(UNITS),
            "parameter_ranges": columns | config["parameter_ranges"],
        }

    def emulate(self, initial, physical, time, **options):
        first, second, extinction = physical[..., 0], physical[..., 1], physical[..., 4]
        np.testing.assert_allclose(first, 2e-5 * second, rtol=1e-5)
        np.testing.assert_allclose(second, extinction / 1.0696e-21, rtol=1e-5)
        return super().emulate(initial, physical, time, **options)

    def evolve(self, initial, physical, time):
        return super().evolve(initial, physical[..., 2:], time)


def test_columns_that_a_file_lacks_are_assumed(given):
    tracers = write_tracers(given[0])
    warned = []

    run(given, TakesColumns(), warned)

    valid = np.arange(8) < tracers.length[:, None] - 1
    field = tracers.physical[..., 1] * np.exp(-3.02 * tracers.physical[..., 2])
    light = (field > 1e-4) & valid
    (line,) = [line for line in warned if "are assumed" in line]
    assert f"in {light.sum() / valid.sum():.0%} of the time steps" in line
    assert f"({light.any(1).sum()} of 12 tracers)" in line
    plain = read(given[1])[0]["abundances"]
    run((given[0], given[1].with_name("plain.h5")))
    np.testing.assert_array_equal(
        plain, read(given[1].with_name("plain.h5"))[0]["abundances"]
    )


def test_memory_bounds_the_batch(given, monkeypatch):
    write_tracers(given[0])
    monkeypatch.setattr(tracer_rollout, "BATCH_BYTES", 2 * 9 * len(SPECIES) * 4)
    surrogate = StandIn()

    run(given, surrogate)

    assert set(surrogate.batches) == {2}


def test_outside_is_announced_and_flagged_from_there_on(given):
    physical = write_tracers(given[0]).physical
    physical[3, 4, 1] = 2e4  # Radfield, driving state 4 to state 5.
    physical[5, 2, 3] = 0.5  # gasTemp
    physical[6, 1, 3] = 0.25
    abundances = np.full((12, 1, len(SPECIES)), 1e-3, "float32")
    abundances[7, 0, 4] = 0.9
    write_tracers(given[0], physical=physical, abundances=abundances)

    warned = []
    done = run(given, warned=warned)

    status = read(given[1])[0]["status"]
    expected = np.zeros((12, 9), int)
    expected[3, 5:] = expected[5, 3:] = expected[6, 2:] = Status.PARAMETER
    expected[7] = Status.UNLIKE
    np.testing.assert_array_equal(status, expected)
    assert len(done.warnings) == 3
    (unusual,) = warned[3:]
    assert "gasTemp is 0.25 to" in unusual
    assert "with values that no cloud has" in unusual
    assert (
        "Radfield = 20000 Habing lies outside the training range 1 to 10000"
        in (warned[0])
    )
    assert "gasTemp = 0.25 to 0.5 K" in warned[1]
    assert "(2 of 12 tracers)" in warned[1]
    assert "CO = 0.9 in state 0 lies outside" in warned[2]
    assert done.status == {"parameter": 4 + 6 + 7, "unlike": 8}
    assert done.reliable == done.states - (4 + 6 + 7 + 8)


def test_strict_refuses_before_writing(given):
    write_tracers(given[0], physical=np.full((12, 8, 4), 2e4, "float32"))

    with pytest.raises(InputError, match=r"Density = 20000 .*--strict"):
        run(given, strict=True)

    assert not list(given[1].parent.glob("out*"))


def test_beyond_the_trained_duration_is_outside(given):
    write_tracers(given[0], count=11, states=30)
    warned = []

    run(given, warned=warned)

    status = read(given[1])[0]["status"]
    assert (status[0] == Status.TIME * (np.arange(30) > 20)).all()
    assert "time reaches 2900 yr after state 0, training lasted 2000 yr" in warned[0]


def test_what_is_not_finite_is_flagged(given):
    class Broken(StandIn):
        def evolve(self, *args):
            predicted = super().evolve(*args)
            predicted[2, 5, 1] = np.nan
            predicted[3, 6, 1] = -1.0
            return predicted

    write_tracers(given[0])
    done = run(given, Broken())

    status = read(given[1])[0]["status"]
    assert (status[2, 5], status[3, 6]) == (Status.TOTALS, Status.TOTALS)
    assert (done.status, done.reliable) == ({"totals": 2}, 92)
    assert status[2, 6] == 0


def test_the_file_holds_expected_errors_and_every_reason(given):
    """The larger the warmer: each tracer has its own expected errors."""
    physical = write_tracers(given[0]).physical
    physical[3, 4, 1] = 2e4  # Radfield, driving state 4 to state 5.
    write_tracers(given[0], physical=physical)

    def expected_error(initial, physical):
        expected = np.zeros((len(physical), 9), "float32")
        expected[:, 1:] = np.log10(physical[..., 3]) / 10
        return expected

    trusting = Trusting(np.ones(len(SPECIES)), expected_error)
    done = run(given, trusting, batch_size=5)

    content, attributes = read(given[1])
    expected = expected_error(None, np.nan_to_num(physical, nan=1.0))
    expected[-1, 7:] = np.nan
    assert content["expected_error"].dtype == np.float32
    np.testing.assert_allclose(content["expected_error"], expected, rtol=1e-6)
    large = expected > 0.2
    status = Status.ERROR * large
    status[3, 5:] |= Status.PARAMETER
    assert {*status[3], *status[2]} == {0, 1, 8, 9}
    np.testing.assert_array_equal(content["status"], status)
    assert done.status == {"parameter": 4, "error": large[:, 1:].sum()}
    assert done.reliable == 94 - (status[:, 1:] > 0).sum()
    assert "8 the expected error is above the threshold" in attributes["status"]


def test_who_is_not_calibrated_expects_no_error(given):
    write_tracers(given[0])
    done = run(given)

    content, _ = read(given[1])
    assert content["expected_error"].shape == content["status"].shape
    assert np.isnan(content["expected_error"]).all()
    assert (done.status, content["status"].max()) == ({}, 0)


@pytest.mark.parametrize("kind", ["name", "file"])
def test_initial_replaces_every_start(given, tmp_path, kind):
    write_tracers(given[0])
    initial, expected = "poor", np.full(len(SPECIES), 1e-7)
    if kind == "file":
        initial = tmp_path / "start.csv"
        expected[SPECIES.index("H2")] = 0.5  # Hydrogen adds up to 1.
        initial.write_text(f"{','.join(SPECIES)}\n{','.join(map(str, expected))}")

    run(given, initial=initial)

    found = read(given[1])[0]["abundances"][:, 0]
    np.testing.assert_allclose(found, np.tile(expected, (len(found), 1)), rtol=1e-6)


@pytest.mark.parametrize("kept", ["no dataset", "nan", "zeros"])
def test_initial_makes_up_for_missing_starts(given, kept):
    tracers = write_tracers(given[0])
    with h5py.File(given[0], "r+") as file:
        if kept == "no dataset":
            del file["abundances"]
        else:
            file["abundances"][:, 0] = np.nan if kept == "nan" else 0.0

    with pytest.raises(InputError, match=r"state 0.*give .* with --initial\.$"):
        run(given)
    assert not given[1].exists()
    done = run(given, initial="poor", batch_size=5)

    assert done.reliable == 94
    expected = solve(
        np.full((12, len(SPECIES)), 1e-7), np.nan_to_num(tracers.physical, nan=1.0)
    )
    expected[-1, 7:] = np.nan
    found = read(given[1])[0]["abundances"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_parameters_are_matched_by_name(given):
    tracers = write_tracers(given[0])
    order = [3, 0, 2, 1]
    more = np.concatenate([tracers.physical[..., order], tracers.physical[..., :1]], 2)
    write_tracers(
        given[0],
        physical=more,
        parameters=[*(PARAMETERS[i] for i in order), "zeta"],
        units=[*(UNITS[i] for i in order), "1.3e-17 s^-1"],
    )

    run(given)

    found = read(given[1])[0]["abundances"]
    np.testing.assert_allclose(found, tracers.abundances, rtol=1e-5)


def swapped(names):
    return (*names[:2], names[3], names[2], *names[4:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"species": swapped(SPECIES)}, r"order.* column 2: C\+ instead of HE"),
        ({"species": ("CH4", *SPECIES[1:])}, r"lacks 1 \(H2\).* besides 1 \(CH4\)"),
        ({"parameters": ("Density", "UV", "Av", "gasTemp")}, "lacks Radfield"),
        ({"units": ("g cm^-3", *UNITS[1:])}, r"Density is in 'g cm\^-3'"),
        ({"time": 50.0 * np.arange(9) * np.ones((12, 1))}, "50 yr.* steps of 100 yr"),
        ({"physical": np.full((12, 8, 4), np.inf)}, "Density is inf"),
        ({"physical": np.zeros((12, 8, 4))}, "Density is 0"),
        ({"abundances": np.full((12, 1, 11), 1.5)}, "H2 is 1.5"),
    ],
    ids=["order", "species", "parameter", "unit", "step", "infinite", "zero", "above"],
)
def test_wrong_files_are_refused(given, changes, message):
    write_tracers(given[0], **changes)
    with pytest.raises(InputError, match=message) as caught:
        run(given)

    assert str(given[0]) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(given[1].parent.glob("out*"))


def test_wrong_arguments_are_refused(given, tmp_path):
    write_tracers(given[0])
    with pytest.raises(InputError, match="is the input itself"):
        run((given[0], given[0]), overwrite=True)
    with pytest.raises(InputError, match="is a directory"):
        run((given[0], tmp_path))
    with pytest.raises(InputError, match=r"given\.h5 is not a writable directory"):
        run((given[0], given[0] / "out.h5"))
    with pytest.raises(InputError, match=r"'rich' is neither a file .* standard, poor"):
        run(given, initial="rich")
    with pytest.raises(InputError, match="compression is 'zip'"):
        run(given, compression="zip")
    given[1].write_text("mine")
    with pytest.raises(InputError, match="exists"):
        run(given)
    assert given[1].read_text() == "mine"

    run(given, overwrite=True, compression="none")
    assert h5py.is_hdf5(given[1])


def test_json_is_plain(given):
    write_tracers(given[0])
    found = json.loads(json.dumps(run(given).to_json()))
    assert (found["reliable"], found["status"]) == (94, {})


class Substepping(StandIn):
    """Takes intervals of two steps, if they may be split."""

    def emulate(self, initial, physical, time, substep=False, **options):
        if not substep:
            return super().emulate(initial, physical, time, **options)
        halves = np.arange(2 * time.shape[1] - 1) / 2
        fine = np.stack([np.interp(halves, np.arange(len(t)), t) for t in time])
        physical = np.repeat(physical, 2, axis=1)
        states, status = super().emulate(initial, physical, fine, **options)
        return states[:, ::2], status[:, ::2]


def test_long_intervals_are_split_when_asked(given):
    times = 50.0 + 200.0 * np.arange(9) * np.ones((12, 1))
    tracers = write_tracers(given[0], time=times)

    with pytest.raises(InputError, match=r"steps by 200 yr.*predict --substep"):
        run(given, Substepping())
    done = run(given, Substepping(), substep=True)

    content, _ = read(given[1])
    physical = np.repeat(np.nan_to_num(tracers.physical, nan=1.0), 2, axis=1)
    expected = solve(tracers.abundances[:, 0], physical)[:, ::2]
    expected[-1, 7:] = np.nan
    np.testing.assert_allclose(content["abundances"], expected, rtol=1e-5)
    np.testing.assert_array_equal(content["time"], tracers.time)
    assert done.states == 12 * 8 - 2
    # Intervals of one step and a half are no sum of trained ones.
    write_tracers(given[0], time=50.0 + 150.0 * np.arange(9) * np.ones((12, 1)))
    with pytest.raises(InputError, match="steps by 150 yr"):
        run(given, Substepping(), substep=True, overwrite=True)


LOGARITHMIC = 50.0 + np.concatenate([[0], np.geomspace(40, 1600, 8)])


@pytest.mark.parametrize(
    ("step", "dt_range", "times", "option"),
    [
        (200.0, [100.0, 100.0], None, "--max-dt"),
        (0.0, [100.0, 100.0], LOGARITHMIC, "--times"),
        (0.0, [50.0, 100.0], LOGARITHMIC, "--times"),
    ],
)
def test_the_command_of_the_message_gives_known_steps(
    given, cli, step, dt_range, times, option
):
    times = 50.0 + step * np.arange(9) if times is None else times
    write_tracers(given[0], time=times * np.ones((12, 1)))

    class Surrogate(StandIn):
        def get_config(self):
            return super().get_config() | {"dt_range": dt_range}

        def evolve(self, initial, physical, time):
            return solve(initial, physical)

    with pytest.raises(InputError) as error:
        run(given, Surrogate())
    (command,) = (
        text
        for text in str(error.value).split("`")
        if text.startswith("astrokeras data resample") and option in text
    )
    other = given[1].with_name("other.h5")
    words = command.replace("OUT.h5", str(other)).split()[1:]

    assert cli(*words).exit_code == 0
    done = predict(Surrogate(), other, given[1], warn=[].append)

    assert done.tracers == 12


def test_workers_write_the_same_file(given, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from distributed import Client, LocalCluster

    from astrokeras.prediction import blocks

    write_tracers(given[0])
    run(given, batch_size=5)
    alone, _ = read(given[1])
    (tmp_path / "surrogate.keras").touch()

    class File(SurrogateReference):
        def load(self):
            return StandIn()

    file = File("standin", tmp_path / "surrogate.keras", StandIn().metadata)
    for module in (blocks, sys.modules[predict.__module__]):
        monkeypatch.setattr(module, "find_surrogate_reference", lambda _: file)

    @contextmanager
    def connect(scheduler, workers):
        assert (scheduler, workers) == (None, 2)
        here = {"processes": False, "dashboard_address": None}
        with LocalCluster(workers, 1, **here) as cluster, Client(cluster) as client:
            yield client

    monkeypatch.setattr(blocks, "connect", connect)
    done = run(given, "standin", batch_size=5, workers=2, overwrite=True)

    assert (done.tracers, done.states, done.reliable) == (12, 12 * 8 - 2, 94)
    together, attributes = read(given[1])
    assert attributes["surrogate"] == "standin"
    for name, values in alone.items():
        np.testing.assert_array_equal(together[name], values, name)


def test_workers_need_a_file_of_the_surrogate(given):
    write_tracers(given[0])
    with pytest.raises(InputError, match="workers load a surrogate from its file"):
        run(given, workers=2)


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_are_killed_and_go_on(sample_path, tmp_path):
    """With the real surrogate, Dask and the command; what was finished is kept."""
    pytest.importorskip("distributed")
    out = tmp_path / "out.h5"
    command = [sys.executable, "-c", COMMAND, "predict", "grav", str(sample_path)]
    command += [str(out), "--batch-size", "8", "--workers", "2"]
    blocks = tmp_path / "out.h5.parts"
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None and len(list(blocks.glob("0*.h5"))) < 3:
            time.sleep(0.1)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in blocks.glob("0*.h5")}
    assert len(kept) >= 3

    subprocess.run([*command, "--resume"], check=True)

    single = tmp_path / "single.h5"
    predict("grav", sample_path, single, warn=lambda _: None)
    content, expected = read(out)[0], read(single)[0]
    np.testing.assert_array_equal(content["status"], expected["status"])
    logs = [np.log10(each["abundances"]) for each in (content, expected)]
    np.testing.assert_allclose(*logs, atol=1e-3)
    assert not blocks.exists()


def test_starts_of_another_definition_are_refused(tmp_path):
    start = np.full(len(SPECIES), 1e-3)
    start[SPECIES.index("H2")] = 0.4955  # of 1, less 9e-3 in other species

    class Whole(StandIn):
        def get_config(self):
            return super().get_config() | {"initial_conditions": {"own": start}}

    for factor in (1, 2):
        path, warned = tmp_path / f"{factor}.h5", []
        write_tracers(path, abundances=np.tile(factor * start, (12, 1, 1)))
        if factor == 1:
            predict(Whole(), path, tmp_path / "out.h5", warn=warned.append)
            assert not [line for line in warned if "hydrogen" in line]
        else:
            with pytest.raises(
                InputError, match=r"fractions of n\(H2\): import the raw"
            ):
                predict(Whole(), path, tmp_path / "other.h5")
