"""Model card: the figures of an evaluation, also of one by an earlier version."""

import json
import shutil
from pathlib import Path

import pytest

from astrokeras.runs.directory import Run
from astrokeras.runs.model_card import write_card

SURROGATE = Path(__file__).parents[1] / "old" / "format1.keras"
PLACE = {"tracers": 12, "split": "test", "simulations": 4, "file": "t.h5"}
OLD = {
    "auroc": 0.929,
    "flagged": 0.331,
    "flagged_large": 0.93,
    "flagged_good": 0.101,
    "remaining": 0.0531,
    "curve": {"sent": [0.0, 0.9], "dex": [0.09, 0.02]},
    "tolerance": 0.3,
    "wrong": {"mixed": 0.842},
}
NEW = {
    "auroc": 0.929,
    "unreliable": 0.331,
    "unreliable_large": 0.93,
    "unreliable_good": 0.101,
    "reliable_dex": 0.0531,
    "curve": {"sent": [0.0, 0.9], "dex": [0.09, 0.02]},
    "reliability_threshold": 0.3,
    "corrupted": {"mixed": 0.842},
}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(SURROGATE, folder / "surrogate.keras")
    return Run(folder)


@pytest.mark.parametrize("figures", [{"trust": OLD}, {"reliability": NEW}])
def test_figures_of_reliability_are_read_under_either_name(run, figures):
    figures = PLACE | {"dex": 0.0861, "error_bars": {"coverage": 0.919}} | figures
    run.metrics.write_text(json.dumps(figures))

    write_card(run)

    card = (run.path / "card.md").read_text()
    assert "| dex | 0.0861 |" in card
    assert "- 90 % error bars cover 91.9%\n" in card
    line = "- not reliable: 33.1% of the states; the others have a mean error of"
    assert f"{line} 0.0531 dex\n" in card
    assert "trust" not in card
    found = run.read_metrics()
    assert found["reliability"] == NEW
    assert "trust" not in found


def test_a_surrogate_of_which_no_state_is_reliable_has_no_error(run):
    none = NEW | {"unreliable": 1.0, "reliable_dex": None}
    figures = PLACE | {"error_bars": {"coverage": 0.9}, "reliability": none}
    run.metrics.write_text(json.dumps(figures))

    write_card(run)

    card = (run.path / "card.md").read_text()
    assert "- not reliable: 100.0% of the states; no state is reliable\n" in card
