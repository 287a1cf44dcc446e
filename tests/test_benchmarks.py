"""The benchmarks' arithmetic and that their scripts start; no figure is tested."""

import importlib.util
import json
import platform
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from tiny import make_tracers, write_tracers

from astrokeras import TracerStore

pytestmark = pytest.mark.neutral

FOLDER = ROOT / "benchmarks"
SCRIPTS = (
    "growth",
    "inference",
    "input",
    "memory",
    "propose",
    "speed",
    "start",
    "tables",
    "time_to_accuracy",
)


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measure():
    return load("measure")


def test_summary_is_median_and_range(measure):
    summary = measure.summarise([3.0, 1.0, 10.0])

    assert (summary["median"], summary["low"], summary["high"]) == (3.0, 1.0, 10.0)
    assert measure.rate(6.0, summary)["values"] == [2.0, 6.0, 0.6]
    assert measure.show(summary) == "3 (1 to 10)"
    assert measure.show(measure.summarise([1000.4, 2e6])) == (
        "1,000,500 (1,000 to 2,000,000)"
    )


def test_functions_take_turns(measure, monkeypatch):
    order = []
    clock = iter([0, 1, 10, 12, 20, 22, 30, 36])  # a: 1 and 2 s, b: 2 and 6 s
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))

    taken = measure.alternate(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, warm_up=1
    )

    assert order == ["a", "b"] * 3
    assert taken["a"]["values"] == [1, 2]
    assert taken["b"]["values"] == [2, 6]
    assert taken["ratios"]["b"]["values"] == [2.0, 3.0]


def test_warm_up_does_not_count(measure):
    calls = []

    summary = measure.repeat(lambda: calls.append(0), 3, warm_up=2)

    assert len(calls) == 5
    assert len(summary["values"]) == 3


def test_rate_of_products_is_a_number(measure):
    assert measure.matmul_rate(threads=1, size=64, repeats=1) > 0


def test_figures_name_no_host_and_no_path(measure, tmp_path):
    path = measure.write("speed", {"x": 1.5}, tmp_path / "new")

    text = path.read_text()
    facts = json.loads(text)
    assert (facts["benchmark"], facts["x"]) == ("speed", 1.5)
    assert facts["machine"]["cores"] >= 1
    assert platform.node() not in text.split('"')
    assert str(ROOT) not in text


def test_tracers_are_repeated_under_new_numbers(measure, tmp_path):
    source = write_tracers(tmp_path / "once.h5", make_tracers(simulations=5))

    measure.write_repeated(source, tmp_path / "more.h5", 3, states=6)

    with TracerStore(source) as one, TracerStore(tmp_path / "more.h5") as more:
        assert (more.tracers, more.states) == (3 * one.tracers, 6)
        assert len(set(more.tracer)) == more.tracers
        assert len(set(more.simulation)) == 3 * len(set(one.simulation))
        np.testing.assert_array_equal(more.split, np.tile(one.split, 3))
        tracers, copies = one.read(slice(0, 2)), more.read(slice(20, 22))
        np.testing.assert_array_equal(copies.abundances, tracers.abundances[:, :6])
        np.testing.assert_array_equal(copies.physical, tracers.physical[:, :5])


@pytest.fixture
def script(monkeypatch):
    """Load a script, which imports what lies beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return load


def test_growth_is_fitted(script):
    fit = script("growth").fit

    law = fit([1, 2, 4], [3.0, 5.0, 9.0])

    assert law["seconds_at_0"] == pytest.approx(1.0)
    assert law["seconds_each"] == pytest.approx(2.0)
    assert law["largest_deviation"] == pytest.approx(0.0, abs=1e-9)
    assert fit([1, 2, 4], [3.0, 6.0, 12.0])["exponent"] == pytest.approx(1.0)


def test_intervals_are_those_of_the_posterior(script):
    module = script("inference")
    truth, sigma = np.array([0.3, -0.4]), np.array([0.02, 0.3])

    def log_likelihood(points):
        return -0.5 * np.square((points - truth) / sigma).sum(-1)

    found = module.infer(log_likelihood, [[-2, 2], [-2, 2]])

    wanted = np.stack([truth - 1.645 * sigma, truth + 1.645 * sigma], axis=1)
    assert (np.abs(found - wanted) < 0.1 * sigma[:, None]).all()


def test_time_to_accuracy_is_that_of_the_first_epoch_at_the_mark(script):
    compare = script("time_to_accuracy").compare
    peer = [(5.0, "autoencoder", 0.1), (20.0, "emulator", 0.5), (30.0, "emulator", 0.6)]
    ours = [(1.0, "autoencoder", 0.2), (4.0, "emulator", 0.5), (6.0, "emulator", 0.3)]

    row = compare((peer, 0.5), (ours, 1.0))

    assert (row["mark"], row["peer"], row["peer_stop"]) == (0.5, 20.0, 30.0)
    assert (row["ours"], row["faster"], row["faster_in_cpu_time"]) == (4.0, 5.0, 2.5)
    never = compare((peer, 1.0), ([*ours[:1], (9.0, "emulator", 0.51)], 1.0))
    assert (never["ours"], never["faster"]) == (None, 0.0)


def test_tracers_needed_are_interpolated_on_their_logarithm(script):
    module = script("propose")
    curve = [(10, 0.4), (40, 0.2), (160, 0.3), (640, 0.1)]

    assert module.needed(curve, 0.4) == pytest.approx(10)
    assert module.needed(curve, 0.3) == pytest.approx(20)
    assert module.needed(curve, 0.2) == pytest.approx(40)
    assert module.needed(curve, 0.15) == pytest.approx(160 * 4**0.75)
    assert module.needed(curve, 0.05) is None
    assert module.needed(curve, 0.5) is None


def test_proposals_are_compared_at_the_errors_of_random_choices(script):
    module = script("propose")
    sizes = {"propose": [10, 20, 30], "random": [10, 20, 40]}
    experiment = module.Experiment(FOLDER, (1, 1), [], sizes, 1)
    done = {f"seed{s}-10": {"dex": 0.4} for s in (0, 1, 2)}
    for seed, times in ((0, 1.0), (2, 0.5)):
        done |= {f"seed{seed}-{n}": {"dex": times * 4 / n} for n in (20, 40)}
        done[f"seed{seed}-10-20"] = {"dex": times * 0.15}
        done[f"seed{seed}-10-20-30"] = {"dex": times * 0.1}

    found = module.collect(experiment, [0, 1, 2], done)

    assert [part["seed"] for part in found["seeds"]] == [0, 2]  # the other is not done
    assert found["mean"]["random"] == [
        (10, pytest.approx(0.4)),
        (20, pytest.approx(0.15)),
        (40, pytest.approx(0.075)),
    ]
    first, last = found["seeds"][0]["by_size"]
    assert first["propose"] == pytest.approx(10 * 2 ** (0.2 / 0.25))
    assert last["propose"] == pytest.approx(30)
    assert last["ratio"] == pytest.approx(30 / 40)
    assert found["mean"]["by_size"][1]["ratio"] == pytest.approx(30 / 40)


def test_a_pool_keeps_every_other_state_of_the_training_tracers(script, tmp_path):
    module = script("propose")
    source = write_tracers(tmp_path / "tiny.h5")
    experiment = module.Experiment(tmp_path, (1, 1), [], {}, 1)

    module.prepare(source, experiment, 3)

    tracers = make_tracers()
    training = tracers.split == 0
    with TracerStore(experiment.data) as store:
        assert sorted(set(store.split)) == [0, 1]
        solved = store.read(store.rows("train"))
    with TracerStore(experiment.pool) as store:
        assert (store.solved, store.states) == (False, 5)
        pool = store.read(slice(None))
    expected = tracers.abundances[training][:, ::3]
    np.testing.assert_array_equal(solved.abundances, expected)
    np.testing.assert_array_equal(pool.abundances, expected[:, :1])
    np.testing.assert_array_equal(pool.time, tracers.time[training][:, ::3])
    density = tracers.physical[training][..., 0].reshape(12, 4, 3)  # a linear mean
    np.testing.assert_allclose(pool.physical[..., 0], density.mean(-1), rtol=1e-5)
    np.testing.assert_array_equal(pool.tracer, tracers.tracer[training])


@pytest.mark.parametrize("turn", [False, True])
def test_trainings_share_the_cores_by_turns(script, monkeypatch, turn):
    module = script("time_to_accuracy")
    monkeypatch.setattr(module, "alone", lambda core, *call: (call, core))
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {3, 7}, raising=False)
    calls = {"peer": (1,), "ours": (2,), "second": (3,)}

    pinned = module.run(calls, pin=True, turn=turn)
    free = module.run(calls, pin=False, turn=turn)

    one, other = (7, 3) if turn else (3, 7)
    assert pinned == {
        "peer": ((1,), one),
        "ours": ((2,), other),
        "second": ((3,), other),
    }
    assert list(free) == list(calls)[:: -1 if turn else 1]
    assert free["ours"] == ((2,), None)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_loads_no_library(name):
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, '.'); sys.argv = [{name!r}, '--help']\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0] + '.py', run_name='__main__')\n"
        "finally:\n"
        "    assert not {'keras', 'numpy', 'h5py'} & set(sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "--repeats" in done.stdout
