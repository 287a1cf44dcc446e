"""The frame of the command line: global options, exit codes, one line an error."""

import json
import os
import subprocess
import sys

import pytest
import typer

from astrokeras import cli
from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run
from astrokeras.system import backend

pytestmark = pytest.mark.neutral

COMMANDS = {"train", "tune", "evaluate", "predict", "benchmark", "data", "models"}


@pytest.fixture
def failing(monkeypatch):
    """Make `models list` fail with a given error."""

    def fail_with(error):
        def fail(*_):
            raise error

        monkeypatch.setattr("astrokeras.runs.listing.list_models", fail)

    return fail_with


def test_help_names_every_command_and_the_global_options(cli):
    result = cli("--help")

    assert result.exit_code == 0
    words = result.stdout.split()
    assert set(words) >= COMMANDS | {"--backend", "--threads", "--debug", "--version"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("evaluate grav --strees", "--stress"),
        ("models list --bakend jax", "--backend"),
        ("--thread 2 models list", "--threads"),
    ],
)
def test_options_come_with_the_one_that_was_meant(words, meant, cli):
    result = cli(*words.split())

    assert result.exit_code == 2
    assert f"did you mean '{meant}'?" in result.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_explains_itself(command, cli):
    result = cli(command, "--help")

    assert result.exit_code == 0
    assert f"Usage: astrokeras {command}" in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("file.h5: no such file."), 2, "Error: file.h5: no such file."),
        (InputError("two\n  lines"), 2, "Error: two lines"),
        (InputError("\x1b[2J\udcff\a."), 2, "Error: ?[2J??."),
        (WorkError("training diverged"), 1, "Error: training diverged"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero (--debug shows"),
        (ModuleNotFoundError("x", name="tensorflow"), 2, "astrokeras[tensorflow]"),
        (ModuleNotFoundError("No module x", name="x"), 1, "ModuleNotFoundError"),
    ],
    ids=["input", "lines", "escapes", "work", "disk", "bug", "backend", "module"],
)
def test_an_error_is_one_line_and_a_code(error, code, line, cli, failing):
    failing(error)

    result = cli("models", "list")

    assert result.exit_code == code
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(cli, failing):
    failing(InputError("file.h5: no such file."))

    result = cli("models", "list", "--debug")

    assert isinstance(result.exception, InputError)


def test_an_interruption_ends_with_130(cli, failing):
    failing(KeyboardInterrupt())

    assert cli("models", "list").exit_code == 130


@pytest.mark.parametrize(
    "words",
    [
        ["--backend", "jax", "models", "list"],
        ["models", "--backend=jax", "list"],
        ["models", "list", "--backend", "jax"],
    ],
    ids=" ".join,
)
def test_the_backend_is_taken_anywhere(words, cli, monkeypatch):
    chosen = []
    monkeypatch.setattr(
        "astrokeras.cli.select_backend", lambda name, **_: chosen.append(name)
    )

    result = cli(*words)

    assert (result.exit_code, chosen) == (0, ["jax"])


def test_words_after_two_dashes_are_left_alone():
    words = ["train", "--", "--backend", "jax", "--threads", "2", "--debug"]

    rest, chosen = cli._lift_globals(words)

    assert rest == words
    assert set(chosen.values()) == {None}


@pytest.mark.parametrize(
    "words", [["--backend"], ["--backend="], ["--backend", "mxnet"]]
)
def test_a_wrong_backend_names_the_right_ones(words, cli):
    result = cli("models", "list", *words)

    assert result.exit_code == 2
    for name in backend.BACKENDS:
        assert name in result.stderr


class TestSelectBackend:
    @pytest.fixture(autouse=True)
    def machine(self, monkeypatch, tmp_path):
        """A machine with JAX and PyTorch, and Keras not loaded."""
        self.patch = monkeypatch
        self.keras_json = tmp_path / "keras.json"
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("KERAS_BACKEND", "")
        self.install("jax", "torch")
        monkeypatch.setattr(backend, "_running", lambda: None)

    def install(self, *names):
        self.patch.setattr(backend, "_installed", names.__contains__)

    def test_the_first_that_is_installed(self):
        assert backend.select_backend() == "jax"
        assert os.environ["KERAS_BACKEND"] == "jax"

    def test_the_users_own_choice_comes_first(self):
        self.keras_json.write_text('{"backend": "torch"}')
        assert backend.select_backend() == "torch"

    @pytest.mark.parametrize("text", ['{"backend": "tensorflow"}', "{", "[]"])
    def test_a_choice_that_cannot_be_had_is_passed_over(self, text):
        self.keras_json.write_text(text)
        assert backend.select_backend() == "jax"

    def test_the_environment_comes_before_the_users_file(self, monkeypatch):
        self.keras_json.write_text('{"backend": "jax"}')
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        assert backend.select_backend() == "torch"

    def test_an_absent_backend_names_its_extra(self):
        with pytest.raises(InputError, match=r"astrokeras\[tensorflow\]"):
            backend.select_backend("tensorflow")

    def test_none_at_all_names_the_extras(self):
        self.install()
        assert backend.select_backend(required=False) is None
        with pytest.raises(InputError, match="No Keras backend is installed"):
            backend.select_backend()

    def test_keras_cannot_change_its_backend(self):
        self.patch.setattr(backend, "_running", lambda: "torch")
        assert backend.select_backend("torch") == "torch"
        with pytest.raises(InputError, match="already runs on 'torch'"):
            backend.select_backend("jax")


def test_the_cpu_hides_every_accelerator(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "KERAS_TORCH_DEVICE"):
        monkeypatch.setenv(name, "")

    backend.select_device("cpu")

    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["JAX_PLATFORMS"] == os.environ["KERAS_TORCH_DEVICE"] == "cpu"
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        backend.select_device("tpu")


def test_models_lists_and_shows_runs(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path / "saved_models" / "mine")
    run.path.mkdir(parents=True)
    run.autoencoder.touch()
    run.metrics.write_text(json.dumps({"dex": 0.1234, "species": {"CO": 0.1}}))
    run.config.write_text("seed: 3\n")
    (run.path / "card.md").write_text("# The card\n")

    table = cli("models", "list").stdout
    listed = json.loads(cli("models", "list", "--json").stdout)
    brief = cli("models", "show", "mine").stdout
    shown = cli("models", "show", "mine", "--all").stdout
    (run.path / "card.md").unlink()
    bare = cli("models", "show", "mine").stdout
    missing = cli("models", "show", "yours")

    assert "mine" in table
    assert "0.123" in table
    # The presets are listed with the gas that they cover.
    assert "Density 1e4 to 1.3e9 H nuclei cm^-3" in table
    assert "zeta 0.2 to 28 times" in " ".join(table.split())
    assert all(len(line) <= 80 or "/" in line for line in table.splitlines())
    assert {"dex": 0.1234, "species": {"CO": 0.1}} in [one["metrics"] for one in listed]
    for text in ("# The card", "no surrogate yet", "dex: 0.1234", "seed: 3"):
        assert text in shown
    assert "# The card" in brief
    assert "dex: 0.1234" not in brief
    assert "dex: 0.1234" in bare
    assert "seed: 3" not in bare
    assert missing.exit_code == 2
    assert "known here:" in missing.stderr
    assert "mine" in missing.stderr


def test_the_entry_point_is_the_application():
    """In a process of its own, whose signals and memory limits it sets."""
    code = "from astrokeras.cli import main; main()"
    words = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("astrokeras ")
    assert isinstance(cli.app, typer.Typer)
