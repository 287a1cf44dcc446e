"""JSON of an evaluation."""

import json

import pytest

from astrokeras.evaluation.result import to_json

pytestmark = pytest.mark.neutral


def test_json_has_no_nan():
    text = to_json({"a": float("nan"), "b": [1.0, float("inf")], "c": {"d": 1}})
    assert json.loads(text) == {"a": None, "b": [1.0, None], "c": {"d": 1}}
