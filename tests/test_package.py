"""What holds for the package as a whole: its direction, its imports, its names."""

import ast
import importlib
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT

import astrokeras

PACKAGE = ROOT / "astrokeras"
FILES = sorted(PACKAGE.rglob("*.py"))
BACKENDS = {"tensorflow", "jax", "torch"}
HEAVY = BACKENDS | {"keras", "pandas", "matplotlib", "hydra"}

# Who may import whom: a part imports from its own level and from those above.
LEVELS = [
    {
        "errors",
        "resources",
        "backend",
        "files",
        "interruption",
        "locks",
        "manifest",
        "memory",
        "metadata",
        "numpy_reader",
        "peers",
        "replacement",
    },
    {"chemistry", "config"},
    {"data", "solvers"},
    {"tracks"},
    {"layers"},
    {"models", "losses", "metrics", "callbacks", "optimizers", "distribution"},
    {"workflows", "serialization", "archive"},
    {"cli"},
]
LEVEL = {part: i for i, parts in enumerate(LEVELS) for part in parts}


def modules_imported(tree):
    """Yield the full name of every module that a file imports, lazily or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(path):
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return  # The table of public names reaches everywhere, lazily.

    for module in modules_imported(parse(path)):
        top, *rest = module.split(".")
        if top == "astrokeras" and rest and rest[0] != "__version__":
            assert LEVEL[rest[0]] <= LEVEL[part], f"{part} imports {module}"


def test_few_modules_import_a_backend():
    """Built on tf.data, asking for memory or what the backend does, spreading
    training, or writing for others.
    """
    importers = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in parse(path).body
        for module in modules_imported(node)
        if module.split(".")[0] in BACKENDS
    }

    assert {one for one in importers if "/export_" not in one} <= {
        "data/pipeline/tf_dataset.py",
        "data/pipeline/device_dataset.py",
        "distribution.py",
        "layers/recurrence.py",
        "monitoring/model_graph.py",
        "monitoring/profiler.py",
    }


def run_process(code, cwd):
    """Run code in a new process that knows the package and has no settings of ours."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(cwd)},
        timeout=300,
        check=False,
    )


def run_python(code, cwd):
    """Return the words that a new process prints."""
    done = run_process(code, cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOADED = f"""
import sys
print(*sorted({HEAVY!r} & set(sys.modules)))
"""
COMMAND = """
from astrokeras.cli import app
try:
    app(%r, prog_name="astrokeras")
except SystemExit as done:
    assert done.code == %d, done.code
"""


def test_importing_the_package_loads_no_library(tmp_path):
    code = "import astrokeras; dir(astrokeras); astrokeras.InputError" + LOADED

    assert run_python(code, tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["models", "--help"],
        ["tune", "--help"],
    ],
)
def test_help_loads_no_library(words, tmp_path):
    # Only the last line tells: help itself is printed before it.
    code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    code += "".join(
        f"    {line}\n" for line in (COMMAND % (words, 0)).strip().splitlines()
    )

    assert run_python(code + LOADED, tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["train", "--no-such-option"],
        ["train", "dataset.path=absent.h5"],
        ["train", "no_such_key=1"],
        ["train", "--config-dir", "absent"],
        ["tune", "tuner=absent"],
        ["tune", "tuner.trials=0"],
        ["tune", "no_such_key=1"],
        ["tune", "--show"],
        ["tune", "--worker", "w0"],
        ["evaluate", "absent"],
        ["predict", "absent", "absent.h5", "out.h5"],
        ["data", "inspect", "bad.h5"],
        ["data", "inspect", "absent.h5"],
        ["data", "verify", "absent.h5"],
        ["data", "verify", "bad.h5", "solver=network"],
        ["data", "tracks", "turbulent", "out.h5", "mach=[5,0]"],
        ["board", "absent"],
        ["models", "show", "absent"],
    ],
    ids=" ".join,
)
def test_a_refusal_loads_no_backend(words, tmp_path):
    (tmp_path / "bad.h5").write_text("no HDF5 file")

    loaded = run_python(COMMAND % (words, 2) + LOADED, tmp_path)

    assert not {"keras", *BACKENDS} & set(loaded)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.h5"]


@pytest.mark.tensorflow
def test_starting_keras_is_quiet(tmp_path):
    """TensorFlow's words on GPUs and CPU features look like failures to a newcomer."""
    code = (
        "from astrokeras.system.backend import start_keras\n"
        "start_keras('cpu')\n"
        "import keras\n"
        "print(keras.config.backend(), float(keras.ops.sum(keras.ops.ones(3))))"
    )

    done = run_process(code, tmp_path)

    assert done.stdout.split() == ["tensorflow", "3.0"]
    assert done.stderr == ""


def test_public_names_are_what_they_say():
    for name in astrokeras.__all__:
        assert getattr(astrokeras, name) is not None
    assert dir(astrokeras) == sorted(astrokeras.__all__)

    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        astrokeras.no_such_name  # noqa: B018


def test_type_checkers_see_the_same_names():
    """The table of lazy names and the imports for type checkers do not drift apart."""
    block = next(
        n for n in parse(PACKAGE / "__init__.py").body if isinstance(n, ast.If)
    )
    seen = {
        alias.name: node.module
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert set(seen) == set(astrokeras.__all__) - {"__version__"}
    for name, module in seen.items():
        value = getattr(astrokeras, name)
        assert value is getattr(importlib.import_module(module), name)


def test_each_public_name_is_documented():
    for name in set(astrokeras.__all__) - {"__version__"}:
        assert (getattr(astrokeras, name).__doc__ or "").strip(), name


def test_no_upper_bounds_and_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *chain(*extras.values())]

    assert not [r for r in requirements if "<" in r or "==" in r or "~=" in r]
    assert (
        f"version: {astrokeras.__version__}" in Path(ROOT / "CITATION.cff").read_text()
    )
    assert f"## {astrokeras.__version__}" in (ROOT / "CHANGELOG.md").read_text()
