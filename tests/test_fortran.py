"""The Fortran loop of examples/ gives what the one in Python gives.

It runs where gfortran is, and a release of ONNX Runtime unpacked under $ONNXRUNTIME.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

RUNTIME = Path(os.environ.get("ONNXRUNTIME", "nowhere"))
EXAMPLES = ROOT / "examples"
pytestmark = [
    pytest.mark.skipif(
        shutil.which("gfortran") is None
        or not (RUNTIME / "include" / "onnxruntime_c_api.h").exists(),
        reason="needs gfortran, and $ONNXRUNTIME with include/ and lib/",
    ),
    pytest.mark.tensorflow,  # which writes ONNX
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning"
    ),  # of tf2onnx
]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Build the example as its first lines say."""
    folder = tmp_path_factory.mktemp("grid")
    sources = [EXAMPLES / "fortran" / name for name in ("surrogate.c", "grid.f90")]
    lib = RUNTIME.resolve() / "lib"
    flags = [f"-I{RUNTIME.resolve()}/include", f"-L{lib}", "-lonnxruntime"]
    flags += [f"-Wl,-rpath,{lib}", "-o", folder / "grid"]
    command = ["gfortran", "-O2", "-Wall", "-Wextra", "-Werror", *sources, *flags]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "grid"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Write the step of the preset, as `astrokeras export` does."""
    import astrokeras
    from astrokeras.export.export import describe
    from astrokeras.export.functions import make_functions
    from astrokeras.export.onnx import write

    folder = tmp_path_factory.mktemp("onnx")
    surrogate = astrokeras.load("grav")
    write(surrogate, {"step": make_functions(surrogate)["step"]}, folder)
    (folder / "about.json").write_text(json.dumps(describe(surrogate.metadata)))
    run(sys.executable, EXAMPLES / "fortran" / "about.py", folder)
    return folder


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_fortran_gives_what_python_gives(grid, exported):
    fortran = run(grid, exported).splitlines()
    python = run(sys.executable, EXAMPLES / "onnx_grid.py", exported).splitlines()

    for ours, theirs in zip(fortran[:3], python[:3], strict=True):
        name, *values = ours.split()
        expected, *numbers = theirs.split()
        assert name == expected
        numbers = np.array(numbers, float)
        np.testing.assert_allclose(np.array(values, float), numbers, rtol=2e-3)
    assert fortran[3] == python[3] != ""
    assert fortran[3].endswith(" of 100000 states are not reliable")


def test_what_does_not_fit_is_told_in_a_line(grid, exported, tmp_path):
    shutil.copy(exported / "about.txt", tmp_path)
    (tmp_path / "step.onnx").write_bytes(b"none")
    done = subprocess.run([grid, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("surrogate: Load model from ")

    shutil.copy(exported / "step.onnx", tmp_path)
    text = (exported / "about.txt").read_text()
    (tmp_path / "about.txt").write_text(text.replace("333 4", "332 4", 1))
    done = subprocess.run([grid, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "does not take 332 species and 4 parameters" in done.stderr.splitlines()[0]
