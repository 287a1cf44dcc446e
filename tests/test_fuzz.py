"""The targets of `fuzz/`, on what inputs fit into seconds; `just fuzz` tries more."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from conftest import ROOT

pytestmark = pytest.mark.neutral


def run(words, folder):
    """Run a command that knows the package, and return its output."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.parametrize(("target", "runs"), [("species", 5_000), ("tracers", 150)])
def test_inputs_at_random_are_read_or_refused(target, runs, tmp_path):
    pytest.importorskip("atheris")
    words = [sys.executable, ROOT / "fuzz" / f"{target}.py", f"-runs={runs}", "-seed=1"]
    # Through a shell: what a process starts inherits the peak of its memory, and
    # libFuzzer would take that of the tests for its own.
    words = ["sh", "-c", '"$@"; exit $?', "sh", *words]

    done = run(words, tmp_path)

    assert f"Done {runs} runs" in done.stderr


@pytest.mark.filterwarnings("ignore")
def test_arguments_at_random_are_taken_or_refused(tmp_path, monkeypatch):
    spec = spec_from_file_location("fuzz_arguments", ROOT / "fuzz" / "arguments.py")
    fuzz = module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    monkeypatch.chdir(tmp_path)

    tally = fuzz.fuzz_cases(2000, seed=1) + fuzz.fuzz_calls(40, seed=1, settings=2)

    assert {name.partition(" ")[2] for name in tally} >= {"taken", "refused"}
    assert tally["emulate answered"] > 10
    assert {path.name for path in tmp_path.iterdir()} <= {"named.h5"}


def test_damaged_files_are_read_or_refused(tmp_path):
    words = [sys.executable, ROOT / "fuzz" / "damaged.py", "--files=36", "--seed=2"]

    done = run(words, tmp_path)

    assert '"files": 36, "faults": 0' in done.stdout
    assert not list(tmp_path.iterdir())
