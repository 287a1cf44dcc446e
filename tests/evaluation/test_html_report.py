"""HTML report: complete, self-contained and escaped."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from standin import SPECIES, StandIn, Trusting, write_tracers

from astrokeras.cli.result_tables import print_evaluation
from astrokeras.evaluation.evaluate import evaluate
from astrokeras.evaluation.html_report import render_page


@pytest.fixture
def path(tmp_path):
    write_tracers(tmp_path / "tracers.h5", count=16)
    return tmp_path / "tracers.h5"


@pytest.fixture
def trusting():
    """A calibrated stand-in, whose states beyond the fifth are not reliable."""

    def expected(initial, physical):
        return np.tile(
            np.where(np.arange(physical.shape[1] + 1) > 5, 0.3, 0.1), (len(initial), 1)
        )

    return Trusting(np.full(len(SPECIES), 0.1), expected, error=0.05)


def test_report_is_complete_and_self_contained(path, trusting, tmp_path):
    folder = tmp_path / "report"
    result = evaluate(trusting, path, out=folder)

    stored = json.loads((folder / "metrics.json").read_text())
    assert stored["dex"] == result.metrics["dex"]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 12
    assert not re.search(r"(src|href)\s*=\s*\"?https?:|<script .*src|@import", page)
    assert page.index(result.verdict) < page.index("<img")
    assert "#CH3OH" in page
    drawn = sorted(file.name for file in (folder / "figures").iterdir())
    assert drawn == [
        "conservation.png",
        "coverage.png",
        "error_by_step.png",
        "error_map.png",
        "error_tail.png",
        "parity.png",
        "reconstruction.png",
        "sent_back.png",
        "tracer_1.png",
        "tracer_2.png",
        "tracer_3.png",
        "worst_species.png",
    ]
    assert all(
        (folder / "figures" / name).read_bytes().startswith(b"\x89PNG")
        for name in drawn
    )
    assert not list(folder.rglob("*partial*"))


@pytest.mark.parametrize("stress", [False, True])
def test_stress_tests_join_report_table_and_json_if_they_ran(
    path, trusting, capsys, stress
):
    found = evaluate(trusting, path, report=False, stress=stress)

    print_evaluation(found)
    printed = " ".join(capsys.readouterr().out.split())
    page = render_page(found, {})
    assert ("10000 steps with parameters held" in page) == stress
    assert ("parameters mixed between tracers" in page) == stress
    assert ("10,000 steps" in printed) == ("corrupted inputs" in printed) == stress
    for text in (page, printed):
        assert "90 % error bars" in text
    stored = json.loads(found.to_json())
    assert ("long" in stored) == ("corrupted" in stored["reliability"]) == stress


def test_everything_is_escaped(path):
    found = evaluate(StandIn(0.1), path, report=False)
    bad = "<script>alert(1)</script>"
    page = render_page(
        replace(
            found,
            surrogate=bad,
            file=bad,
            notes=[bad],
            species=(bad, *found.species[1:]),
        ),
        {},
    )

    assert page.count("<script") == 1  # that of the tables
    # Title, heading, surrogate and file of the headline, note, and species.
    assert page.count("&lt;script&gt;") == 6
