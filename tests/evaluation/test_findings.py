"""Figures against their thresholds, and the verdict."""

import math

import numpy as np
import pytest
from standin import SPECIES, StandIn, Trusting, write_tracers

from astrokeras.config import ConfigError, EvaluationConfig, compose_evaluation
from astrokeras.evaluation.evaluate import evaluate
from astrokeras.evaluation.findings import grade

pytestmark = pytest.mark.neutral


@pytest.fixture
def path(tmp_path):
    write_tracers(tmp_path / "tracers.h5", count=16)
    return tmp_path / "tracers.h5"


def test_a_figure_is_graded_from_either_side():
    small, large = [0.2, 0.5], [4.0, 2.0]
    assert [grade(x, small) for x in (0.2, 0.21, 0.5, 0.51, None)] == [
        "PASS", "NOTE", "NOTE", "WARN", "NOTE"
    ]  # fmt: skip
    assert [grade(x, large) for x in (math.inf, 4, 3, 2, 1.9)] == [
        "PASS", "PASS", "NOTE", "NOTE", "WARN"
    ]  # fmt: skip
    assert grade(math.nan, small) == grade(math.nan, large) == "WARN"
    assert [grade(x, [0, 0]) for x in (0, 1)] == ["PASS", "WARN"]


def test_the_shipped_thresholds_are_those_of_the_code():
    assert compose_evaluation() == EvaluationConfig()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dex: [0.1]", r"evaluation\.dex is \[0\.1\]; give 2 numbers\."),
        ("dex: [0.1, -1]", r"evaluation\.dex is \[0\.1, -1\.0\]; it must lie in"),
        ("dexx: [1, 2]", "dexx"),
    ],
)
def test_own_thresholds_are_checked_before_anything_runs(
    path, tmp_path, monkeypatch, line, message
):
    folder = tmp_path / "configs" / "evaluation"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text(f"defaults: [schema, _self_]\n{line}\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=message):
        evaluate(StandIn(), path, report=False)


def test_own_thresholds_decide(path, tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "evaluation"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def grades(text):
        (folder / "default.yaml").write_text(f"defaults: [schema, _self_]\n{text}\n")
        found = evaluate(StandIn(0.05, 0.01), path, report=False)
        return {finding.name: finding.grade for finding in found.findings}

    # The mean error is 0.05 dex times 4.38 steps, 0.4 dex at the end.
    assert grades("dex: [0.22, 0.3]\ndex_seen: [0.22, 0.3]")["mean error"] == "PASS"
    assert grades("dex: [0.21, 0.3]")["mean error"] == "NOTE"
    assert grades("dex: [0.1, 0.2]")["mean error"] == "WARN"


def test_the_verdict_names_what_fails_and_what_to_believe(path):
    def expected(initial, physical):
        steps = np.arange(physical.shape[1] + 1)
        return np.tile(np.where(steps > 6, 0.3, 0.1), (len(initial), 1))

    trusting = Trusting(np.full(len(SPECIES), 0.1), expected, error=0.02)
    found = evaluate(trusting, path, report=False)

    grades = {finding.name: finding.grade for finding in found.findings}
    topics = list(dict.fromkeys(finding.topic for finding in found.findings))
    assert topics == ["accuracy", "trust", "conservation", "speed"]
    assert grades["mean error"] == grades["reliable states"] == "PASS"
    # All states gain 0.02 dex a step, and their element totals with it.
    assert grades["element totals"] == "WARN"
    share = 1 - found.reliability.unreliable
    assert "fails here: expected errors, element totals" in found.verdict
    assert f"Believe the {share:.0%} of the states" in found.verdict
    assert found.metrics["verdict"] == found.verdict
    assert found.metrics["findings"][0]["name"] == "mean error"

    blind = evaluate(StandIn(), path, report=False)
    assert "calibration" in blind.verdict
    assert "Believe" not in blind.verdict


def test_quick_leaves_out_the_loop_and_the_maps(path, tmp_path):
    found = evaluate(StandIn(0.02), path, out=tmp_path / "report", quick=True)

    assert found.closed_loop is None
    assert "closed_loop" not in found.metrics
    assert "grid code" not in {finding.name for finding in found.findings}
    assert (tmp_path / "report" / "report.html").is_file()
    with pytest.raises(ValueError, match="exclude each other"):
        evaluate(StandIn(), path, report=False, quick=True, stress=True)


def test_the_speed_is_compared_with_that_of_the_files_solver(path):
    write_tracers(path, count=16, attributes={"solver_steps_per_second": 1e12})
    found = evaluate(StandIn(), path, report=False)

    assert found.solver_steps_per_second == 1e12
    (speed,) = (one for one in found.findings if one.topic == "speed")
    assert (speed.name, speed.grade) == ("rollouts", "WARN")
