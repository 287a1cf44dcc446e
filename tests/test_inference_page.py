"""The page on inference: its blocks run on the backend that they import."""

import importlib.util
import re

import numpy as np
import pytest
from conftest import BACKEND, ROOT
from test_docs import blocks

IMPORTED = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("torch", marks=[pytest.mark.torch, pytest.mark.slow]),
        pytest.param("tensorflow", marks=[pytest.mark.tensorflow, pytest.mark.long]),
        pytest.param("jax", marks=[pytest.mark.jax, pytest.mark.long]),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_its_python_runs(backend):
    first, *others = blocks(ROOT / "docs" / "inference.md", "python")
    given = {}
    exec(compile(first, "inference.md", "exec"), given)
    for code in others:
        needed = set(IMPORTED.findall(code))
        if BACKEND == "jax":
            alien = needed & {"torch", "tensorflow"}
            missing = [name for name in needed if not importlib.util.find_spec(name)]
            runs = not alien and not missing
        else:
            runs = BACKEND in needed
        if runs:
            exec(compile(code, "inference.md", "exec"), given)

    assert given["logs"].shape == (2, 1, 3) if backend == "jax" else (1, 3)
    if backend == "jax":
        low, high = np.quantile(given["chain"], [0.05, 0.95], axis=0)
        assert (low < given["truth"]).all()
        assert (given["truth"] < high).all()
        assert (np.abs(given["best"] - given["truth"]) < high - low).all()
