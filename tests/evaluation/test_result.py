"""JSON of an evaluation."""

import json

from astrokeras.evaluation.result import to_json


def test_json_has_no_nan():
    text = to_json({"a": float("nan"), "b": [1.0, float("inf")], "c": {"d": 1}})
    assert json.loads(text) == {"a": None, "b": [1.0, None], "c": {"d": 1}}
