"""Evaluation of a stand-in whose error is known."""

import json

import h5py
import numpy as np
import pytest
from score import score
from standin import SPECIES, StandIn, write_tracers

from astrokeras.cli.result_tables import print_evaluation
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.evaluation.error_metrics import KEYS
from astrokeras.evaluation.evaluate import evaluate
from astrokeras.prediction.tracer_rollout import name_initial_conditions


@pytest.fixture
def path(tmp_path):
    write_tracers(tmp_path / "tracers.h5", count=16)
    return tmp_path / "tracers.h5"


class Counting(StandIn):
    """Keeps the number of steps and the options of each rollout."""

    def emulate(self, initial, physical, time, **options):
        self.calls.append((physical.shape[1], bool(options.get("times"))))
        return super().emulate(initial, physical, time, **options)

    calls: list


@pytest.mark.parametrize("stress", [False, True])
def test_each_tracer_is_rolled_out_once_for_each_way_of_running(path, stress):
    surrogate = Counting()
    surrogate.calls = []
    found = evaluate(surrogate, path, report=False, batch_size=3, stress=stress)

    blocks = 2
    single, whole, later = 8 * blocks, blocks, 3 * blocks
    steps = [count for count, _ in surrogate.calls]
    assert steps.count(1) == single * (1 + stress)  # the closed loop, and with mixing
    assert steps.count(8) == whole + 1  # one measures the speed
    assert steps.count(10_000) == whole * stress
    assert len(steps) == single * (1 + stress) + whole + 1 + (whole + later) * stress
    assert (found.stress is not None) == stress
    assert ("long" in found.metrics) == stress
    assert ("mixed" in found.metrics["closed_loop"]) == stress


def test_known_errors_are_found(path, tmp_path):
    surrogate = StandIn(error=0.02, autoencoder=0.05)
    result = evaluate(surrogate, path, report=False, batch_size=4).metrics

    # Five tracers of 8 steps and one of 6: the mean number of a step is 4.38.
    steps = np.concatenate([np.tile(np.arange(1, 9), 5), np.arange(1, 7)])
    assert result["dex"] == pytest.approx(0.02 * steps.mean(), rel=1e-4)
    assert result["dex_final"] == pytest.approx(0.02 * (5 * 8 + 6) / 6, rel=1e-4)
    assert result["reconstruction"]["dex"] == pytest.approx(0.05, rel=1e-4)
    assert result["autoencoder_share"] == pytest.approx(0.05 / 0.02 / steps.mean())
    assert result["steps"]["median"][4] == pytest.approx(0.08, rel=0.02)
    assert (result["tracers"], result["simulations"], result["nonfinite"]) == (6, 3, 0)
    assert set(result["baselines"]) == {"nearest_tracer", "mean_trajectory"}
    assert result["times_better"]["nearest_tracer"] == pytest.approx(
        result["baselines"]["nearest_tracer"]["dex"] / result["dex"]
    )
    assert {k: v["tracers"] for k, v in result["starts"].items()} == {
        "poor": 3,
        "standard": 3,
    }
    assert result["elements"]["HE"]["max"] > 0
    assert result["notes"] == []
    assert not result["optimistic"]


def test_predictions_can_be_judged_by_score(path, tmp_path):
    surrogate = StandIn(error=-0.03)
    out = tmp_path / "predicted.h5"
    metrics = evaluate(surrogate, path, report=False, predictions=out).metrics

    with h5py.File(out) as p, h5py.File(tmp_path / "predicted.truth.h5") as t:
        assert len(p["tracer"]) == 6
        np.testing.assert_array_equal(p["tracer"], t["tracer"])
        np.testing.assert_array_equal(p["time"], t["time"])
        length = t["length"][:]
        expected = score(
            np.nan_to_num(t["abundances"][:], nan=0.5),
            p["abundances"][:],
            SPECIES,
            length,
        )
    for key in KEYS:
        if key == "worst_species":  # All are equally bad but for rounding.
            continue
        assert metrics[key] == pytest.approx(expected[key], rel=1e-6), key


def test_all_tracers_need_no_second_file(path, tmp_path):
    out = tmp_path / "predicted.h5"
    result = evaluate(StandIn(), path, "all", report=False, predictions=out).metrics

    assert result["tracers"] == 16
    assert "training tracers are among" in result["notes"][0]
    assert not (tmp_path / "predicted.truth.h5").exists()


def test_predictions_replace_nothing_unasked(path, tmp_path):
    class Unused(StandIn):
        def emulate(self, *args, **options):
            raise AssertionError("refused only after the rollout")

    def refusal(out, overwrite=False):
        options = {"predictions": out, "overwrite": overwrite, "report": False}
        with pytest.raises(InputError) as caught:
            evaluate(Unused(), path, **options)
        return str(caught.value)

    content = path.read_bytes()
    assert "is the input itself" in refusal(path, overwrite=True)
    own_truth = path.rename(tmp_path / "a.truth.h5")
    path.symlink_to(own_truth)
    assert "a.truth.h5: is the input itself" in refusal(tmp_path / "a.h5", True)
    assert path.read_bytes() == content
    out, truth = tmp_path / "out.h5", tmp_path / "out.truth.h5"
    truth.write_text("mine")
    assert f"{truth}: exists; give another name or --overwrite" in refusal(out)
    out.write_text("mine")
    assert f"{out}: exists; give another name or --overwrite" in refusal(out)
    assert "is a directory" in refusal(tmp_path)
    message = refusal(truth / "below" / "out.h5")
    assert f"cannot be written, {truth} is not a writable directory" in message
    assert out.read_text() == truth.read_text() == "mine"

    evaluate(StandIn(), path, report=False, predictions=out, overwrite=True)
    assert h5py.is_hdf5(out)
    assert h5py.is_hdf5(truth)


@pytest.mark.parametrize("wrong", [0.0, np.nan], ids=["perfect", "broken"])
def test_extremes_are_drawn_and_printed(path, tmp_path, capsys, wrong):
    """No error at all, nothing finite: logarithmic axes have nothing to show."""
    result = evaluate(StandIn(wrong, wrong if wrong == 0 else 0.1), path, out=tmp_path)

    print_evaluation(result)
    printed = capsys.readouterr().out
    assert result.verdict in " ".join(printed.split())
    assert json.loads((tmp_path / "metrics.json").read_text())["tracers"] == 6
    if wrong == 0:
        assert (
            result.metrics["times_better"]
            == {
                "nearest_tracer": None,
                "mean_trajectory": None,
            }
            or result.metrics["dex"] > 0
        )
    else:
        assert result.metrics["nonfinite"] == 46 * len(SPECIES)


@pytest.mark.parametrize("how", ["one simulation", "by tracer", "shared"])
def test_a_split_without_simulations_is_called_optimistic(path, tmp_path, capsys, how):
    changes = {
        "one simulation": {"simulation": np.full(16, 7)},
        "by tracer": {"attributes": {"split_by": "tracer"}},
        "shared": {"simulation": np.arange(16) % 7},
    }[how]
    write_tracers(path, count=16, **changes)

    drawn = how == "by tracer"
    found = evaluate(StandIn(0.1), path, out=tmp_path, report=drawn)

    assert found.optimistic
    assert "optimistic" in found.notes[0]
    print_evaluation(found)
    assert "optimistic" in capsys.readouterr().out
    if drawn:
        assert "optimistic" in (tmp_path / "report.html").read_text()


def test_a_file_of_another_simulation_is_evaluated_whole(path):
    write_tracers(path, split=np.full(12, 255, "u1"), simulation=np.zeros(12, int))

    with pytest.raises(InputError, match=r"no dataset 'split'.*--split all"):
        evaluate(StandIn(), path, report=False)
    metrics = evaluate(StandIn(), path, "all", report=False).metrics

    assert metrics["baselines"] == {}
    assert "no baselines" in metrics["notes"][0]
    assert metrics["dex_standard_error"] is None
    assert not metrics["optimistic"]


def test_wrong_requests_are_refused(path, tmp_path):
    surrogate = StandIn()
    write_tracers(path, split=np.zeros(12, "u1"))
    with pytest.raises(InputError, match=r"none of 12 tracers into 'test'.*split all"):
        evaluate(surrogate, path, report=False)
    with pytest.raises(InputError, match="split is 'exam'"):
        evaluate(surrogate, path, "exam", report=False)
    with pytest.raises(InputError, match="give `out`"):
        evaluate(surrogate, path)
    with pytest.raises(InputError, match="no such run"):
        evaluate("nobody", path)
    write_tracers(path, abundances=np.full((12, 1, len(SPECIES)), 0.1, "float32"))
    with pytest.raises(InputError, match="state 0 alone"):
        evaluate(surrogate, path, report=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        evaluate(surrogate, path, out=tmp_path / "file")


def test_a_wrong_value_is_refused_before_the_surrogate_is_loaded(path):
    tracers = write_tracers(path, count=16)
    tracers.abundances[13, 4, 2] = 3.0
    write_tracers(path, count=16, abundances=tracers.abundances)

    with pytest.raises(InputError, match="tracer 113, state 4: HE is 3"):
        evaluate(StandIn(), path, report=False)


def test_what_is_outside_is_noted(path):
    physical = np.full((12, 8, 4), 10.0, "float32")
    physical[10, 3, 0] = 1e5
    write_tracers(path, physical=physical)

    metrics = evaluate(StandIn(), path, report=False).metrics

    assert metrics["outside_box"] == 1
    assert "Density = 100000 H nuclei cm^-3 lies outside" in metrics["notes"][0]


def test_starts_are_named_within_a_tenth_of_a_decade():
    starts = {"a": np.full(4, 1e-4), "b": np.full(4, 1e-9)}
    initial = np.array([[1e-4] * 4, [1.1e-9] * 4, [1e-6] * 4])

    assert name_initial_conditions(initial, starts) == ["a", "b", "other"]
    assert name_initial_conditions(initial, {}) == ["other"] * 3


def test_evaluation_reads_what_prediction_writes(path, tmp_path):
    from astrokeras.prediction.predict import predict

    predict(StandIn(), path, tmp_path / "out.h5")
    with TracerStore(tmp_path / "out.h5") as store:
        assert store.solved
    metrics = evaluate(StandIn(), tmp_path / "out.h5", report=False).metrics
    assert metrics["dex"] == pytest.approx(0.0, abs=1e-6)
