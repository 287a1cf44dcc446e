"""`astrokeras data verify`: files that agree with a solver, and mistakes found."""

import json

import numpy as np
import pytest
from toy_solver import Clouds

from astrokeras.config import compose_generation
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.errors import InputError
from astrokeras.generation import verify as module
from astrokeras.generation.verify import INTERVALS, verify
from astrokeras.solvers.solver import SolverError, make_solver

pytestmark = pytest.mark.neutral

PARAMETERS = {"Density": "H nuclei cm^-3", "Radfield": "Habing", "Av": "mag"}
PARAMETERS |= {"gasTemp": "K"}
CLOUDS = "solver.kind=toy_solver:Clouds"
STATES, STEP = 24, 50.0


@pytest.fixture(scope="module")
def config():
    return compose_generation([CLOUDS])


def solve(tracks, zeta=1.0, dust=None, radfield=1.0, av=1.0, gas=1.0, pace=1.0):
    """Solve tracks, with other constants or units than the file will say."""
    tracks.abundances = np.empty((len(tracks), STATES, len(Clouds.species)), "f4")
    for i, values in enumerate(tracks.physical.astype(float)):
        physical = dict(zip(PARAMETERS, values.T, strict=True))
        physical["Radfield"] *= radfield
        physical["Av"] *= av
        physical["gasTemp"] *= gas
        physical["dustTemp"] = physical["gasTemp"]
        if dust is not None:
            physical["dustTemp"] = np.full(STATES - 1, dust)
        physical["zeta"] = np.full(STATES - 1, zeta)
        time = tracks.time[i] * pace
        tracks.abundances[i] = Clouds(None).solve(time, physical, Clouds.initial)
    return tracks


def make_tracks(tracers=3):
    """Return clouds whose conditions wander, one of a simulation."""
    tracks = empty_tracers(tracers, STATES, 0, len(PARAMETERS))
    rng = np.random.default_rng(3)
    wander = np.cumsum(rng.normal(0, 0.05, tracks.physical.shape), axis=1)
    tracks.physical[:] = np.array([3e4, 20.0, 1.0, 20.0]) * 10**wander
    tracks.time[:] = STEP * np.arange(STATES)
    tracks.tracer[:] = 70 + np.arange(tracers)
    tracks.simulation[:] = np.arange(tracers)
    return tracks


@pytest.fixture
def write(tmp_path):
    def write(tracks, name="tracers.h5", species=None, **attributes):
        with TracerWriter(
            tmp_path / name,
            species=Clouds.species if species is None else species,
            parameters=tuple(PARAMETERS),
            units=tuple(PARAMETERS.values()),
            states=STATES,
            attributes=attributes,
            solved=tracks.abundances.shape[1] == STATES,
        ) as writer:
            writer.append(tracks)
        return tmp_path / name

    return write


class Here:
    """A host in this process, which needs no other one for each solve."""

    def __init__(self, config):
        self.solver = make_solver(config)

    def __getattr__(self, name):
        return getattr(self.solver, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(module, "SolverProcess", Here)


def test_a_file_of_the_same_solver_agrees(here, write, config):
    path = write(solve(make_tracks()))

    found = verify(path, config, tracers=2)

    assert found.agrees
    assert found.dex < 1e-5  # the digits of float32
    assert found.better is None
    assert found.remark == ""
    wrong = [v for k, v in found.readings.items() if "years" not in k][1:]
    assert min(wrong) > 1e-3


def test_dex_is_between_the_last_states(here, write, config):
    path = write(solve(make_tracks(), zeta=2.0))
    seen = []

    found = verify(path, config, tracers=3, seed=5, progress=lambda *n: seen.append(n))

    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {one["simulation"] for one in found.tracers} == {0, 1, 2}
    solver = make_solver(config.solver)
    with TracerStore(path) as store:
        stored = store.read(slice(0, 3))
    for one in found.tracers:
        i, errors = one["tracer"] - 70, []
        assert len(set(one["states"])) == 2
        for start in one["states"]:
            rows = slice(start, start + INTERVALS)
            physical = stored.physical[i, rows].astype(float)
            physical = dict(zip(PARAMETERS, physical.T, strict=True))
            physical |= {"dustTemp": physical["gasTemp"], "zeta": np.ones(INTERVALS)}
            given = stored.abundances[i, start].astype(float)
            time = STEP * np.arange(INTERVALS + 1)
            end = solver.solve(time, physical, given)[-1]
            known = stored.abundances[i, start + INTERVALS].astype(float)
            errors.append(np.abs(np.log10(end) - np.log10(known)))
        assert one["dex"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert found.dex == pytest.approx(np.mean([one["dex"] for one in found.tracers]))
    assert list(found.species) == sorted(found.species, key=found.species.get)[::-1]


@pytest.mark.parametrize(
    ("mistake", "reading", "remedy"),
    [
        ({"zeta": 10.0}, "zeta = 10", "solver.constants.zeta=10"),
        ({"dust": 20.0}, "dustTemp = 20", "solver.constants.dustTemp=20"),
        ({"radfield": 1.7}, "Radfield times 1.7", "in Draine's fields; multiply"),
        ({"radfield": 1 / 1.7}, "Radfield times 0.588", "divide it by 1.7"),
        ({"av": 0.5}, "Av times 0.5", "multiply it by about 0.5"),
        ({"av": 1.2}, "Av times 1.17", "multiply it by about 1.17"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_constant_or_unit_is_found(
    here, write, config, mistake, reading, remedy
):
    found = verify(write(solve(make_tracks(), **mistake)), config, tracers=2)

    assert not found.agrees
    assert found.better.name == reading
    assert f"with {reading} by" in found.remark
    assert remedy in found.remark


@pytest.mark.parametrize(
    ("rows", "reading", "alignment"), [(-1, "before", "next"), (1, "after", "this")]
)
def test_rows_off_by_one_are_found(here, write, config, rows, reading, alignment):
    tracks = solve(make_tracks())
    # What drove an interval stands in the row before or after it.
    tracks.physical = np.roll(tracks.physical, rows, axis=1)

    # They are, even where the difference alone would pass.
    found = verify(write(tracks), config, tracers=2, threshold=1.0)

    assert not found.agrees
    assert found.better.name == f"parameters of the row {reading}"
    assert f"dataset.alignment={alignment}" in found.remark


def test_another_year_is_told_but_makes_no_difference(here, write, config):
    found = verify(write(solve(make_tracks(), pace=3.16 / 3.15576)), config, tracers=2)

    assert found.agrees
    assert found.better.name.startswith("years of 3.16e+07 s")
    assert "multiply time by 1.00134" in found.remark


def test_what_is_not_explained_names_species_and_versions(here, write, config):
    path = write(solve(make_tracks(), gas=2.0), solver="other 2.0", tolerances="1e-3")

    found = verify(path, config, tracers=2)

    assert found.better is None
    assert not found.agrees
    assert "no usual mistake explains it; the file is of other 2.0, 1e-3" in (
        found.remark
    )
    assert f"(most: {next(iter(found.species))}" in found.remark
    assert verify(path, config, tracers=2, threshold=10.0).agrees


def test_a_solver_that_fails(here, write, config, monkeypatch):
    path = write(solve(make_tracks()))

    def fail_when(wrong):
        def solve(self, time, physical, initial):
            if wrong(physical):
                raise SolverError("it stopped")
            return self.solver.solve(time, physical, initial)

        monkeypatch.setattr(Here, "solve", solve, raising=False)

    fail_when(lambda physical: physical["zeta"][0] == 10)
    found = verify(path, config, tracers=2)
    assert found.agrees
    assert found.readings["zeta = 10"] is None
    json.dumps(found.to_json(), allow_nan=False)

    fail_when(lambda physical: True)
    with pytest.raises(SolverError, match=r"tracer 7\d from state \d+: it stopped"):
        verify(path, config)


def test_files_that_cannot_be_verified(here, write, config):
    tracks = make_tracks()
    tracks.abundances = np.full((3, 1, 8), 1e-5, "f4")
    with pytest.raises(InputError, match="holds initial states only"):
        verify(write(tracks), config)

    tracks = solve(make_tracks())
    with pytest.raises(InputError, match="8 species of the solver: it lacks #H2O"):
        verify(write(tracks, species=(*Clouds.species[:-1], "@H2O")), config)

    tracks.length[:] = INTERVALS + 2
    with pytest.raises(InputError, match="no tracer has 8 states"):
        verify(write(tracks), config)


def test_command(cli, write, config):
    path = write(solve(make_tracks()))

    done = cli("data", "verify", path, CLOUDS, "--tracers", 1)

    assert done.exit_code == 0, done.stderr
    assert "agrees, " in done.stdout
    assert "parameters of the row after" in done.stdout
    assert done.stderr == ""

    words = (CLOUDS, "solver.constants.zeta=3", "--tracers", 1, "--json")
    failed = cli("data", "verify", path, *words)
    assert failed.exit_code == 1
    assert "give solver.constants.zeta=0.9, or its true value" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    told = json.loads(failed.stdout)
    assert told["better"] == "zeta = 0.9"
    assert told["dex"] > told["readings"]["zeta = 0.9"]


def test_command_refuses_what_is_no_tracer_file(cli, tmp_path):
    (tmp_path / "x.csv").write_text("Time, Density\n1, 2\n")
    done = cli("data", "verify", tmp_path / "x.csv")
    assert done.exit_code == 2
    assert "is no tracer file" in done.stderr
    assert "no such file" in cli("data", "verify", tmp_path / "none.h5").stderr
