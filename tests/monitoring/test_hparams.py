"""TensorBoard's own server finds the sessions that are written for its HParams."""

import json
import urllib.parse

import numpy as np
import pytest
from boards import ask, serving

from astrokeras.monitoring.event_files import PATTERN
from astrokeras.monitoring.hparams import write_hparams

pytestmark = pytest.mark.neutral

VALUES = {
    "fit.learning_rate": 2e-3,
    "epochs": 60,
    "finetune_autoencoder": True,
    "even": np.float32(0.5),
    "kind": "projection",
    "widths": [320, 160],
    "floor": None,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A TensorBoard over two sessions, the second of which failed."""
    folder = tmp_path_factory.mktemp("hparams")
    write_hparams(folder / "first", {"epochs": 1}, {"val_dex": 9.0})
    write_hparams(folder / "first", VALUES, {"val_dex": 0.25, "wall_seconds": 12.5})
    later = VALUES | {"kind": "dense", "epochs": 30}
    write_hparams(folder / "second", later, {"val_dex": 0.5}, failed=True)
    with serving(folder, cwd=folder, runs=2) as address:
        yield folder, address


def ask_hparams(server, route, **request):
    """Return the answer of the plugin."""
    query = urllib.parse.urlencode({"request": json.dumps(request)})
    return ask(server[1], f"plugin/hparams/{route}?{query}")


def test_the_experiment_has_a_column_for_each_setting_and_figure(server):
    experiment = ask_hparams(server, "experiment", experimentName="")

    types = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert types == {
        "fit.learning_rate": "DATA_TYPE_FLOAT64",
        "epochs": "DATA_TYPE_FLOAT64",
        "finetune_autoencoder": "DATA_TYPE_BOOL",
        "even": "DATA_TYPE_FLOAT64",
        "kind": "DATA_TYPE_STRING",
        "widths": "DATA_TYPE_STRING",
    }
    tags = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert tags == {"val_dex", "wall_seconds"}


def test_each_session_is_listed_with_its_values_and_how_it_ended(server):
    answer = ask_hparams(
        server,
        "session_groups",
        experimentName="",
        allowedStatuses=["STATUS_SUCCESS", "STATUS_FAILURE"],
        colParams=[{"metric": {"tag": "val_dex", "group": ""}}],
        startIndex=0,
        sliceSize=10,
    )

    groups = {g["sessions"][0]["name"]: g for g in answer["sessionGroups"]}
    assert set(groups) == {"first", "second"}
    assert groups["first"]["sessions"][0]["status"] == "STATUS_SUCCESS"
    assert groups["second"]["sessions"][0]["status"] == "STATUS_FAILURE"
    assert groups["first"]["hparams"] == {
        "fit.learning_rate": 2e-3,
        "epochs": 60,
        "finetune_autoencoder": True,
        "even": 0.5,
        "kind": "projection",
        "widths": "[320, 160]",
    }
    values = {
        name: {m["name"]["tag"]: m["value"] for m in group["metricValues"]}
        for name, group in groups.items()
    }
    assert values["first"] == {"val_dex": 0.25, "wall_seconds": 12.5}
    assert values["second"]["val_dex"] == 0.5


def test_a_second_session_of_a_folder_replaces_the_first(server):
    assert len(list((server[0] / "first").glob(PATTERN))) == 1
