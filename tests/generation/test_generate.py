"""`astrokeras data generate`: trajectories through a solver into a tracer file."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT
from processes import started, wait_for
from toy_solver import RATE, Charged, Toy

from astrokeras.config import compose_generation
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.errors import InputError, WorkError
from astrokeras.generation.generate import _solver_key, generate
from astrokeras.generation.results_log import ResultsLog
from astrokeras.generation.solver_inputs import SolverInputs
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.solvers.network import Network
from astrokeras.system.atomic_files import hash_file

pytest.importorskip("distributed")
TOY = "solver.kind=toy_solver:Toy"
PARAMETERS = ("Density", "gasTemp")
UNITS = ("H nuclei cm^-3", "K")
SUPPORT = str(ROOT / "tests" / "support")
# What Dask's own threads leave behind.
pytestmark = [
    pytest.mark.neutral,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # And what they say of a slow machine.
    pytest.mark.filterwarnings("ignore::UserWarning:distributed"),
    pytest.mark.filterwarnings("ignore:Creating scratch directories:UserWarning"),
]


def write_tracks(path, n=6, steps=4, temperature=None, species=(), **given):
    """Write trajectories of one simulation a tracer."""
    tracks = empty_tracers(n, steps + 1, len(species), len(PARAMETERS))
    rng = np.random.default_rng(1)
    tracks.physical[..., 0] = 10 ** rng.uniform(0, 2, (n, steps))
    tracks.physical[..., 1] = 10.0
    if temperature is not None:
        tracks.physical[..., 1] = np.asarray(temperature)[:, None]
    tracks.time[:] = 500 + 100.0 * np.arange(steps + 1)
    tracks.tracer[:], tracks.simulation[:] = 7000 + np.arange(n), 1000 + np.arange(n)
    for name, values in given.items():
        getattr(tracks, name)[:] = values
    solved = {"species": species, "solved": False}
    if species:
        tracks.abundances = tracks.abundances[:, :1]
    with TracerWriter(
        path,
        parameters=PARAMETERS,
        units=UNITS,
        states=steps + 1,
        attributes={"source": "a test"},
        **solved,
    ) as writer:
        writer.append(tracks)
    return path, tracks


@pytest.fixture(scope="module", autouse=True)
def importable():
    """Let the solver be found where it is run, too."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), SUPPORT])
    yield
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def scheduler(importable):
    """The address of a cluster that others run."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "120 s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


def solution(physical, time_, start=Toy.initial, zeta=1.0):
    """Return what the toy's one reaction makes, (T+1, 3)."""
    grown = np.cumsum(RATE * zeta * physical[:, 0].astype(float) * np.diff(time_))
    h = start[0] * np.exp(-np.append(0.0, grown))
    h2 = start[1] + (start[0] - h) / 2
    return np.stack([h, h2, np.full_like(h, start[2])], axis=1).clip(1e-20)


def test_each_tracer_is_solved_and_described(tmp_path, scheduler):
    path, tracks = write_tracks(tmp_path / "tracks.h5", n=20)
    seen = []

    made = generate(
        path,
        tmp_path / "out.h5",
        compose_generation([TOY, "solver.constants={zeta: 2.0}"]),
        scheduler=scheduler,
        progress=lambda *counts: seen.append(counts),
    )

    assert (made.solved, made.failed, made.failures) == (20, 0, None)
    assert (seen[0], seen[-1], len(seen)) == ((0, 0, 20), (20, 0, 20), 21)
    with TracerStore(made.path) as store:
        assert store.species == Toy.species
        assert store.tracer.tolist() == tracks.tracer.tolist()
        assert store.simulation.tolist() == tracks.simulation.tolist()
        assert np.bincount(store.split).tolist() == [14, 3, 3]
        solved = store.read(slice(None))
        told = store.attributes
    assert solved.time[3].tolist() == [0, 100, 200, 300, 400]
    np.testing.assert_array_equal(solved.physical, tracks.physical)
    expected = [solution(p, solved.time[0], zeta=2.0) for p in tracks.physical]
    np.testing.assert_allclose(solved.abundances, expected, rtol=1e-6)
    assert told["fixed"] == ["zeta = 2", "dustTemp = gasTemp"]
    assert (told["solver"], told["tolerances"]) == ("toy 1", "toy 1")
    assert (told["alignment"], told["source"]) == ("next", "a test")
    assert told["solver_steps_per_second"] == pytest.approx(20 * 4 / made.seconds)
    assert not ResumableOutput(made.path).folder.exists()


def test_parameters_drive_what_comes_after_them(tmp_path, scheduler):
    path, tracks = write_tracks(tmp_path / "tracks.h5", n=2)
    changed = tracks.physical[:1].repeat(2, axis=0)
    changed[1, 2, 0] *= 3
    write_tracks(path, n=2, physical=changed)

    made = generate(
        path,
        tmp_path / "out.h5",
        compose_generation([TOY]),
        scheduler=scheduler,
        split=False,
    )

    with h5py.File(made.path) as file:
        one, other = file["abundances"][:, :, 0]
        assert "split" not in file
    assert (one == other).tolist() == [True, True, True, False, False]


def test_a_tracer_is_kept_as_far_as_it_was_solved(tmp_path, scheduler):
    hot = [10, 1001, 1002, 1003, 1006, 10, 1005, 1004]
    path, tracks = write_tracks(tmp_path / "tracks.h5", n=8, temperature=hot)

    made = generate(
        path,
        tmp_path / "out.h5",
        compose_generation([TOY, "solver.cpu_limit=1"]),
        scheduler=scheduler,
        split=False,
    )

    assert (made.solved, made.stopped, made.failed) == (4, 2, 4)
    with TracerStore(made.path) as store:
        assert store.tracer.tolist() == [7000, 7002, 7004, 7005]
        assert store.length.tolist() == [5, 3, 3, 5]
        solved = store.read(slice(None))
    expected = solution(tracks.physical[2], solved.time[0])
    np.testing.assert_allclose(solved.abundances[1, :3], expected[:3], rtol=1e-6)
    for values in (solved.abundances, solved.time, solved.physical[:, 1:]):
        assert np.isnan(values[1, -2:]).all()
    with made.failures.open() as file:
        listed = {
            row["tracer"]: (int(row["interval"]), row["reason"])
            for row in csv.DictReader(file)
        }
    assert listed == {
        "7001": (0, "the step size became too small"),
        "7002": (2, "it took more than 1 CPU seconds (solver.cpu_limit)"),
        "7003": (0, "its process ended with -11"),
        "7004": (2, "no step is small enough"),
        "7006": (0, "ValueError: three values where five are"),
        "7007": (0, "the abundance of H2 is -1 after 100 years"),
    }


WAITING = """
import time
from astrokeras.solvers.process import in_fresh_process

def wait(seconds):
    time.sleep(seconds)
    return "done"

print(in_fresh_process(wait, 1.1, limit=1))
in_fresh_process(wait, 1000, limit=0.01)
"""


def test_the_limit_is_one_of_computing_not_of_waiting():
    # In a process with a single thread, as every fork must begin.
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "done\n"
    assert "SolverError: not done after 0.2 s, 20 times solver" in done.stderr


def charged(path, electrons):
    """Write tracks that start from ions with some electrons."""
    start = np.array([[[0.5, 1e-4, 2e-5, e]] for e in electrons])
    names = ("H", "C+", "H3+", "E-")
    return write_tracks(path, n=len(electrons), species=names, abundances=start)[0]


def test_a_start_has_electrons_for_its_ions(tmp_path):
    config = compose_generation(["solver.kind=toy_solver:Charged"])
    good = charged(tmp_path / "good.h5", [1.2e-4, 1.209e-4])
    bad = charged(tmp_path / "bad.h5", [1.2e-4, 1.18e-4])
    own = tmp_path / "start.csv"
    own.write_text("H,C+,H3+,E-\n0.5,1e-4,0,0\n")

    def check(path, initial=None):
        with TracerStore(path, need_abundances=False) as store:
            SolverInputs(store, Charged(config.solver), config, initial).check_starts()

    check(good)
    check(bad, "network")
    with pytest.raises(InputError, match=r"start\.csv: E- is 0, but .* E- to 0\.0001"):
        check(good, own)
    line = f"{bad}: tracer 7001, state 0: E- is 0.000118, but .* to 0.00012; set"
    with pytest.raises(InputError, match=line):
        generate(bad, tmp_path / "out.h5", config)
    assert not list(tmp_path.glob("out*"))
    config.dataset.electrons = "neutral"
    check(bad)
    check(good, own)


def test_a_start_has_all_hydrogen(tmp_path):
    config = compose_generation([TOY])
    path, _ = write_tracks(tmp_path / "t.h5", n=2)
    start = tmp_path / "start.csv"
    start.write_text("H,H2,CO\n0.4,0.8,2e-4\n")

    def inputs(initial):
        with TracerStore(path, need_abundances=False) as store:
            found = SolverInputs(store, Toy(config.solver), config, initial)
            found.check_starts()
            return found.start

    with pytest.raises(InputError, match=r"fractions of n.H2.: give `dataset.abun"):
        inputs(start)
    config.dataset.abundances = "per_h2"
    np.testing.assert_allclose(inputs(start), [0.2, 0.4, 1e-4])

    states = np.array([[[0.4, 0.8, 2e-4]]] * 2)
    write_tracks(path, n=2, species=Toy.species, abundances=states)
    with pytest.raises(InputError, match=r"state 0: hydrogen adds up to 2 .* n.H2"):
        inputs(None)


def test_columns_that_shield_are_the_files_or_follow_from_extinction(tmp_path):
    names = ("Density", "Radfield", "Av", "gasTemp")
    units = ("H nuclei cm^-3", "Habing", "mag", "K")
    given = {"NH2": np.float32(3e20), "NCO": np.float32(2e15)}
    config = compose_generation(["solver=network"])
    found = {}
    for own in (False, True):
        parameters = names + tuple(given) * own
        tracks = empty_tracers(1, 3, 0, len(parameters))
        tracks.physical[:] = [1e4, 1.0, 10.0, 20.0, *list(given.values()) * own]
        tracks.time[:] = [0, 100, 200]
        path = tmp_path / f"{own}.h5"
        with TracerWriter(
            path,
            parameters=parameters,
            units=units + ("cm^-2",) * 2 * own,
            states=3,
            attributes={},
        ) as writer:
            writer.append(tracks)
        with TracerStore(path, need_abundances=False) as store:
            host = Network(config.solver)
            inputs = SolverInputs(store, host, config)
            (job,) = inputs.jobs(np.ones(1, bool))
            found[own] = job.physical, inputs.fixed()

    hydrogen = 10 / 5.348e-22
    np.testing.assert_allclose(found[False][0]["NH2"], 0.5 * hydrogen)
    np.testing.assert_allclose(found[False][0]["NCO"], 1e-5 * hydrogen)
    assert found[False][1][-2:] == ["NH2 = 0.5 N(H)", "NCO = 1e-05 N(H)"]
    for name, value in given.items():
        np.testing.assert_array_equal(found[True][0][name], value)
    assert found[True][1] == ["zeta = 1", "dustTemp = gasTemp"]


def table_config(*words):
    config = compose_generation([TOY, *words])
    config.dataset.parameters = {"Density": "rho", "gasTemp": "T"}
    config.dataset.minimum = {}
    config.dataset.raw_units = {"Time": "kyr", "Density": "1000"}
    return config


def write_table(path, tracks, **columns):
    """Write tracks as a hydrodynamic code might, in units of its own."""
    n, steps = tracks.physical.shape[:2]
    rows = {
        "Tracer": tracks.tracer.repeat(steps + 1),
        "Time": tracks.time.ravel() / 1000,
        "rho": np.append(tracks.physical[..., 0], np.ones((n, 1)), 1).ravel() / 1000,
        "T": np.full(n * (steps + 1), 10.0),
        **{name: np.full(n * (steps + 1), value) for name, value in columns.items()},
    }
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
    return path


def test_a_table_is_solved_as_its_tracks_would_be(tmp_path, scheduler):
    _, tracks = write_tracks(tmp_path / "tracks.h5", n=3)
    path = write_table(tmp_path / "tracks.csv", tracks, zeta=3.0)
    given = {"scheduler": scheduler, "split": False}

    held = generate(path, tmp_path / "out.h5", table_config(), **given)
    other = table_config("solver.constants={zeta: 2.0}")
    named = generate(path, tmp_path / "other.h5", other, **given)

    # What the table holds fixed is that of the chemistry, unless told otherwise.
    for made, zeta in ((held, 3.0), (named, 2.0)):
        with TracerStore(made.path) as store:
            solved, told = store.read(slice(None)), store.attributes
        assert told["fixed"] == [f"zeta = {zeta:g}", "dustTemp = gasTemp"]
        assert told["files"] == ["tracks.csv"]
        expected = [solution(p, solved.time[0], zeta=zeta) for p in tracks.physical]
        np.testing.assert_allclose(solved.abundances, expected, rtol=1e-5)


def test_faults_of_a_table_name_the_table(tmp_path):
    _, tracks = write_tracks(tmp_path / "tracks.h5", n=2)
    tracks.physical[1, 2, 0] = 1e14
    path = write_table(tmp_path / "wrong.csv", tracks)

    with pytest.raises(InputError) as refused:
        generate(path, tmp_path / "out.h5", table_config())

    said = f"{path}: tracer 7001, row 2: Density is 1e+14 H nuclei cm^-3"
    assert str(refused.value).startswith(said)
    assert {one.name for one in tmp_path.iterdir()} == {"tracks.h5", "wrong.csv"}


def test_where_none_can_be_solved_nothing_is_written(tmp_path, scheduler):
    path, _ = write_tracks(tmp_path / "tracks.h5", n=2, temperature=[1001, 1001])
    out = tmp_path / "out.h5"

    with pytest.raises(WorkError, match="the first: the step size became too small"):
        generate(path, out, compose_generation([TOY]), scheduler=scheduler, split=False)

    assert not out.exists()


def test_starts_are_the_networks_given_or_the_files(tmp_path, scheduler):
    plain, tracks = write_tracks(tmp_path / "plain.h5", n=2)
    own = np.array([[[1e-4, 0.6, 0.2]], [[2e-4, 0.4, 0.3]]])
    started, _ = write_tracks(
        tmp_path / "started.h5", n=2, species=("CO", "H", "H2"), abundances=own
    )
    (tmp_path / "start.csv").write_text("H,H2,CO,SURFACE\n0.5,0.25,1e-5,0\n")
    config = compose_generation([TOY])

    def first(tracks_, initial=None):
        out = tmp_path / "out.h5"
        given = {"initial": initial, "scheduler": scheduler, "split": False}
        generate(tracks_, out, config, overwrite=True, **given)
        with h5py.File(out) as file:
            return file["abundances"][:]

    for tracks_, initial, start in (
        (plain, None, [Toy.initial, Toy.initial]),
        (plain, tmp_path / "start.csv", [[0.5, 0.25, 1e-5]] * 2),
        (started, None, own[:, 0, [1, 2, 0]]),
        (started, "network", [Toy.initial, Toy.initial]),
    ):
        time_ = np.arange(5) * 100.0
        expected = [
            solution(p, time_, np.asarray(s))
            for p, s in zip(tracks.physical, start, strict=True)
        ]
        np.testing.assert_allclose(first(tracks_, initial), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "words", "line"),
    [
        (
            {"temperature": [10, 1e9]},
            [],
            r"tracks.h5: tracer 7001, row 0: gasTemp is 1e\+09 K",
        ),
        (
            {"time": [0, 100, 100, 200, 300]},
            [],
            "tracks.h5: tracer 7000, row 1: the next row is 0 years later",
        ),
        (
            {"time": [0, 100, 100.1, 200, 300]},
            [],
            "increase by at least 0.5 years",
        ),
        ({"physical": np.nan}, [], "tracer 7000, row 0: Density is nan"),
        (
            {},
            ["solver.constants={gasTemp: 10}"],
            "gasTemp: the file holds this parameter",
        ),
        (
            {},
            ["solver.constants={zetta: 1}"],
            "zetta: the solver has no such parameter",
        ),
        ({"physical": 0.0}, [], "tracer files hold positive values, correct the value"),
        (
            {},
            ["solver.constants={zeta: 1.3e-17}"],
            r"zeta is 1.3e-17 1.3e-17 s\^-1, which no cloud has",
        ),
        ({}, ["solver.kind=toy_solver:Broken"], "ValueError: its `facts` lack network"),
        ({}, ["solver.constants={zeta: 1000}"], "zeta is 1000; the solver takes 0"),
        ({}, ["solver.kind=absent"], "give one of uclchem, network, or your own"),
        ({}, ["solver.kind=absent:One"], "No module named 'absent'"),
        ({}, ["solver=uclchem", "solver.kind=uclchem"], "UCLCHEM is not installed"),
    ],
)
def test_what_cannot_be_solved_is_refused_before_anything_is(
    tmp_path, given, words, line
):
    if "not installed" in line and find_spec("uclchem"):
        pytest.skip("UCLCHEM is installed here")
    path, _ = write_tracks(tmp_path / "tracks.h5", n=2, **given)

    with pytest.raises(InputError, match=line):
        generate(path, tmp_path / "out.h5", compose_generation([TOY, *words]))

    assert [one.name for one in tmp_path.iterdir()] == ["tracks.h5"]


def test_a_start_with_other_species_is_refused(tmp_path):
    path, _ = write_tracks(tmp_path / "tracks.h5", n=2)
    start = tmp_path / "start.csv"
    start.write_text("H,H2,CO,#CO\n0.5,0.25,1e-5,1e-6\n")

    with pytest.raises(InputError, match="#CO = 1e-06 is not a species"):
        generate(path, tmp_path / "out.h5", compose_generation([TOY]), initial=start)


def test_nobody_at_the_address_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("astrokeras.system.dask_cluster.CONNECT_SECONDS", 1)
    path, _ = write_tracks(tmp_path / "tracks.h5", n=2)

    with pytest.raises(InputError, match="no scheduler of Dask answers there"):
        generate(
            path,
            tmp_path / "out.h5",
            compose_generation([TOY]),
            scheduler="tcp://127.0.0.1:9",
            split=False,
        )

    assert [one.name for one in tmp_path.iterdir()] == ["tracks.h5"]


def test_workers_that_join_later_are_given_tasks_too(monkeypatch):
    from astrokeras.system import dask_cluster

    class Cluster:
        """A client whose every question finds another worker there."""

        asked = 0

        def nthreads(self):
            self.asked += 1
            return dict.fromkeys(range(self.asked), 1)

    room = dask_cluster._Capacity(Cluster())
    assert (
        room.tasks() == room.tasks() == dask_cluster.TASKS_PER_THREAD
    )  # Not asked again at once.
    monkeypatch.setattr(dask_cluster, "RECOUNT_SECONDS", -1)
    assert room.tasks() == 2 * dask_cluster.TASKS_PER_THREAD


def test_a_scheduler_that_ends_is_one_line_and_what_was_solved_is_kept(tmp_path):
    from distributed import LocalCluster

    path, _ = write_tracks(tmp_path / "tracks.h5", n=40)
    given = {"split": False, "resume": False}
    config = compose_generation([TOY])
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as own:

        def end(done, failed, total):
            if done == 3:
                own.close()

        with pytest.raises(WorkError, match=r"is gone; .*--resume"):
            generate(
                path,
                tmp_path / "o.h5",
                config,
                scheduler=own.scheduler_address,
                progress=end,
                **given,
            )

    counts = []
    made = generate(
        path,
        tmp_path / "o.h5",
        config,
        workers=1,
        progress=lambda done, *_: counts.append(done),
        **given | {"resume": True},
    )
    assert counts[0] >= 3
    assert made.solved == 40


# --- interrupted ---


def workers_of(pid):
    """Return the workers of a command: the parents of its solvers' hosts."""
    parent, hosts = {}, []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent[path.name] = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if b"astrokeras.solvers.process" in (path / "cmdline").read_bytes():
                hosts.append(path.name)
        except OSError:
            continue  # It ended meanwhile.
    workers = {parent[host] for host in hosts if host in parent}
    return [int(one) for one in workers if parent.get(one) == str(pid)]


@pytest.mark.long
def test_killed_at_any_moment_what_was_solved_is_kept(tmp_path):
    """The command by SIGKILL, a worker, and a solver's process."""
    path, tracks = write_tracks(tmp_path / "tracks.h5", n=24)
    out, words = tmp_path / "out.h5", (TOY, "solver.options={pause: 0.15}")
    words = ("data", "generate", path, out, *words, "--workers", 2, "--json")
    journal = tmp_path / "out.h5.parts" / "solved.journal"
    with started(*words, folder=tmp_path) as process:
        wait_for(lambda: journal.is_file() and journal.stat().st_size > 500, process)
        process.kill()
    with ResultsLog(journal, 24, 3) as half:
        before = int(half.done.sum())
    assert 0 < before < 24

    with started(*words, folder=tmp_path) as refused:
        assert "continue it with --resume" in refused.communicate()[1]
    assert refused.returncode == 2
    with started(*words, "--resume", folder=tmp_path) as process:
        wait_for(lambda: journal.stat().st_size > 1000, process)
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        said, errors = process.communicate()

    assert process.returncode == 0, errors
    assert json.loads(said)["solved"] == 24
    assert f"Solved {before} of 24" in errors
    with h5py.File(out) as file:
        assert file["tracer"][:].tolist() == tracks.tracer.tolist()
        expected = [solution(p, file["time"][0]) for p in tracks.physical]
        np.testing.assert_allclose(file["abundances"][:], expected, rtol=1e-6)
    assert not journal.parent.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("solver.constants.zeta=2",),
        ("solver.reltol=1e-3",),
        ("solver.options.pause=0.001",),
        ("solver.files.a=tracks.h5",),
        ("dataset.alignment=this",),
    ],
)
def test_what_is_resumed_is_solved_as_before(tmp_path, scheduler, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    path, _ = write_tracks(Path("tracks.h5"), n=4)
    given = {"scheduler": scheduler, "split": False}

    def stop(done, *_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(path, "out.h5", compose_generation([TOY]), progress=stop, **given)
    other = compose_generation([TOY, *words])
    key = ".".join(words[0].partition("=")[0].split(".")[:2])
    with pytest.raises(InputError, match=f"{key} was .* is .* now; give the same"):
        generate(path, "out.h5", other, resume=True, **given)

    longer = compose_generation([TOY, "solver.cpu_limit=7"])
    assert generate(path, "out.h5", longer, resume=True, **given).solved == 4


def test_what_failed_before_an_interruption_is_tried_again(tmp_path, scheduler):
    path, _ = write_tracks(tmp_path / "tracks.h5", n=3)
    out, config = tmp_path / "out.h5", compose_generation([TOY])
    given = {"scheduler": scheduler, "split": False}

    def stop(done, *_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(path, out, config, progress=stop, **given)
    with ResultsLog(ResumableOutput(out).folder / "solved.journal", 3, 3) as journal:
        row = int(journal.done.argmax())
        journal.add(row, 1.0, None, "the machine went down")

    made = generate(path, out, config, resume=True, **given)

    assert (made.solved, made.failed, made.failures) == (3, 0, None)


def test_a_result_of_another_shape_fails_its_tracer(tmp_path, scheduler):
    path, _ = write_tracks(tmp_path / "tracks.h5", n=2, temperature=[10, 1000])
    config = compose_generation([TOY])

    made = generate(path, tmp_path / "o.h5", config, scheduler=scheduler, split=False)

    assert (made.solved, made.failed) == (1, 1)
    assert "returned the shape (2, 3), not (5, 3)" in made.failures.read_text()


def test_a_full_disk_leaves_whole_records(tmp_path):
    path = tmp_path / "solved.journal"
    values = np.random.default_rng(0).random((3, 50, 2)).astype("f4")
    with ResultsLog(path, 3, 2) as journal:
        journal.add(0, 1.0, values[0])
        size = path.stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                journal.add(1, 1.0, values[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        assert path.stat().st_size == size
        assert journal.done.tolist() == [True, False, False]
        journal.add(2, 1.0, values[2])
    with ResultsLog(path, 3, 2) as journal:
        np.testing.assert_array_equal(journal.abundances(2), values[2])


def test_a_journal_drops_the_record_that_was_being_written(tmp_path):
    path = tmp_path / "solved.journal"
    rng = np.random.default_rng(0)
    values = rng.random((3, 5, 2)).astype("f4")
    with ResultsLog(path, 4, 2) as journal:
        for row in (2, 0):
            journal.add(row, 1.5, values[row])
        journal.add(3, 2.0, None, "too stiff")
        whole = path.stat().st_size
        journal.add(1, 1.0, values[1])
    torn = path.read_bytes()

    for cut in (whole + 1, whole + 20, len(torn) - 1):
        path.write_bytes(torn[:cut])
        with ResultsLog(path, 4, 2) as journal:
            assert journal.done.tolist() == [True, False, True, True]
            assert path.stat().st_size == whole
            np.testing.assert_array_equal(journal.abundances(2), values[2])
            assert journal.failed.nonzero()[0].tolist() == [3]
            assert [journal.reason(row) for row in (0, 3)] == ["", "too stiff"]
            journal.add(1, 1.0, values[1])
            np.testing.assert_array_equal(journal.abundances(1), values[1])
        damaged = bytearray(path.read_bytes())
        damaged[-1] ^= 1
        path.write_bytes(damaged)
        with ResultsLog(path, 4, 2) as journal:
            assert journal.done.tolist() == [True, False, True, True]


def test_the_files_of_a_solver_are_found_before_they_are_hashed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no small/reactions.csv lies
    solver = compose_generation(["solver=network"]).solver

    files = _solver_key(solver)["files"]

    shipped = ROOT / "configs" / "solver" / solver.files["reactions"]
    assert files["reactions"] == hash_file(shipped)
    solver.files["reactions"] = "none.csv"
    with pytest.raises(InputError, match=r"solver\.files\.reactions is 'none\.csv'"):
        _solver_key(solver)
