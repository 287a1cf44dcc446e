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
    assert page.count("data:image/png;base64,") == 9
    assert not re.search(r"(src|href)\s*=\s*\"?https?:|<script|@import", page)
    assert "#CH3OH" in page
    drawn = sorted(file.name for file in (folder / "figures").iterdir())
    assert drawn == [
        "conservation.png",
        "coverage.png",
        "error_by_step.png",
        "error_map.png",
        "parity.png",
        "reconstruction.png",
        "sent_back.png",
        "trajectories.png",
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
    for text in (render_page(found, {}), printed):
        assert ("10000 steps with parameters held" in text) == stress
        assert ("parameters mixed between tracers" in text) == stress
        assert "90 % error bars cover" in text
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

    assert "<script" not in page
    # Title, heading, surrogate and file of the headline, note, and species.
    assert page.count("&lt;script&gt;") == 6
