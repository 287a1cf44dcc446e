"""What holds for the package as a whole: its direction, its imports, its names."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT

import astrokeras

pytestmark = pytest.mark.neutral

PACKAGE = ROOT / "astrokeras"
FILES = sorted(PACKAGE.rglob("*.py"))
BACKENDS = {"tensorflow", "jax", "torch"}
HEAVY = BACKENDS | {"keras", "pandas", "matplotlib", "hydra"}

# The order of the packages: each imports from itself and from those before it.
ORDER = [
    {"errors"},
    {"system"},
    {"chemistry", "config"},
    {"data.tracers"},
    {"data.checks", "data.readers"},
    {"data.importers", "data.pipeline", "solvers", "trajectories"},
    {"layers"},
    {"losses", "metrics", "callbacks", "optimizers"},
    {"models"},
    {"runs"},
    {"prediction"},
    {"generation", "export", "astrochemnet", "plotting"},
    {"evaluation"},
    {"monitoring"},
    {"training"},
    {"tuning", "benchmarking"},
    {"cli"},
]
RANK = {package: rank for rank, packages in enumerate(ORDER) for package in packages}
# The commands alone use these.
LEAVES = {"generation", "export", "astrochemnet", "benchmarking", "tuning"}


def module_name(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def package_of(module):
    """Return the package of a module in `ORDER`, `None` for the table of names."""
    parts = module.split(".")[1:]
    names = (".".join(parts[:count]) for count in (2, 1))
    return next((name for name in names if name in RANK), None)


def imports_of(path):
    """Return the modules of astrokeras that a file imports, lazily or not."""
    found = set()
    for name in modules_imported(parse(path)):
        while name not in MODULES and "." in name:
            name = name.rpartition(".")[0]
        if name.startswith("astrokeras."):
            found.add(name)
    return found


def modules_imported(tree):
    """Yield the full name of every module that a file imports, lazily or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level
            yield from (f"{start}{node.module}.{alias.name}" for alias in node.names)


def parse(path):
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"astrokeras"}))
def test_imports_follow_the_order_of_the_packages(module):
    own = package_of(module)
    assert own is not None or module == "astrokeras.data", "it belongs to no package"

    for imported in imports_of(MODULES[module]):
        other = package_of(imported)
        assert other == own or RANK[other] < RANK[own], f"{module} imports {imported}"
        if other in LEAVES:
            assert own in (other, "cli"), f"{module} imports {imported}"


def test_only_what_is_copied_imports_relatively():
    """The NumPy runtime lies beside an export, under another name."""
    for path in FILES:
        relative = [name for name in modules_imported(parse(path)) if name[0] == "."]
        assert not relative or path.parent.name == "numpy_runtime", path


def test_no_two_modules_import_each_other():
    graph = {module: imports_of(path) for module, path in MODULES.items()}
    circles = [
        (one, other)
        for one in graph
        for other in graph[one]
        if one < other and one in graph[other] and "astrokeras" not in (one, other)
    ]

    assert circles == []


def test_folders_and_files_are_of_a_size_that_can_be_read():
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]
    for folder in folders:
        modules = [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        assert len(modules) <= (7 if folder == PACKAGE else 16), folder
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 300, path


def test_the_map_shows_the_order_and_names_what_exists():
    spec = importlib.util.spec_from_file_location(
        "packages", ROOT / "docs" / "hooks" / "packages.py"
    )
    packages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packages)
    ranks, leaves = packages.read_order()
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[: page.index("\n## Train")]
    rows = re.findall(r"^\| (`.*`) \|", table, re.MULTILINE)
    named = re.findall(r"`([\w/.]+/[\w.]*)`", page)

    assert [set(rank) for rank in ranks] == ORDER
    assert leaves == LEAVES
    assert packages.FIGURE.read_text() == packages.draw(ranks, leaves)
    assert set(re.findall(r"[\w.]+", " ".join(rows))) == set(RANK)
    assert len(named) > 10
    for path in named:
        folder = path.partition("NAME")[0].partition("PACKAGE")[0]
        assert (ROOT / folder).exists(), path


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

    assert {one for one in importers if not one.startswith("export/")} <= {
        "data/pipeline/device_dataset.py",
        "data/pipeline/tf_dataset.py",
        "layers/recurrence.py",
        "models/compiled_functions.py",
        "monitoring/model_graph.py",
        "monitoring/profiler.py",
        "training/distribution.py",
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
    code = "import astrokeras; dir(astrokeras); astrokeras.InputError\n"
    code += "import astrokeras.plotting" + LOADED

    assert run_python(code, tmp_path) == []


def test_figures_need_no_keras_when_drawn():
    for path in PACKAGE.glob("plotting/*.py"):
        libraries = {m.split(".")[0] for m in modules_imported(parse(path))}
        assert not libraries & (HEAVY - {"matplotlib"}), path
        assert "matplotlib.pyplot" not in set(modules_imported(parse(path))), path


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
