"""Old names: none of those that the package had is left in it.

Only `system/old_names.py` knows them, by which older files are read.
"""

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from astrokeras.config import Config, compose, compose_generation
from astrokeras.data.pipeline.window_sampler import WindowSampler
from astrokeras.layers.trust_model import Trust
from astrokeras.models.emulator import Emulator
from astrokeras.models.surrogate import Surrogate
from astrokeras.system import old_names

pytestmark = pytest.mark.neutral

PACKAGE = ROOT / "astrokeras"
FILES = sorted(PACKAGE.rglob("*.py"))
# The modules of former layouts, by their packages.
OLD_MODULES = {
    "": """
        archive backend distribution files interruption locks memory metadata
        numpy_reader peers resources serialization tracks workflows
    """,
    "cli": "solve",
    "data": """
        alignment batches cache chunks column_files columns findings frames guard hdf5
        initial inspect intervals journal limits raw render resident sampling scaling
        scan schema share sources split statistics store subset tables trajectories
        units validation windows writer
    """,
    "layers": "noise rates register trust",
    "models": "evolve facts graphs judgement program projection request",
    "tracks": "collapse draws gas make turbulent",
    "workflows": """
        astrochemnet astrochemnet_files astrochemnet_run baselines benchmark board
        calibrate card coupled cover describe epochs evaluate events export
        export_numpy export_onnx export_savedmodel export_torch figures fit generate
        graph histogram hparams hypotheses intervals judge leaderboard members oracles
        outside parts paths plots pool predict prepare profile progress propose record
        reliability report rollout runs sample space stages style survey target
        tensorboard torch_state tracks train trained trials tune verify workers
        workloads
    """,
}
OLD_CLASSES = {
    "Facts",
    "Judge",
    "Judgement",
    "Kept",
    "Known",
    "Outside",
    "Parts",
    "Target",
}
OLD_FUNCTIONS = {"flaw", "learned"}
OLD_KEYS = {
    "joint",
    "timed",
    "even",
    "decode",
    "carry",
    "tolerance",
    "resident",
    "time_limit",
}
OLD_ARGUMENTS = {
    Surrogate: {"box", "species_box", "starts", "step", "duration", "carry"},
    Surrogate.emulate: {"times", "return_trust"},
    Emulator: {"joint", "timed"},
    Trust: {"tolerance"},
    WindowSampler: {"even", "decode", "timed"},
}


def test_no_module_lies_where_it_lay():
    old = {
        f"{package}.{name}".removeprefix(".")
        for package, names in OLD_MODULES.items()
        for name in names.split()
    }
    parts = [path.relative_to(PACKAGE).with_suffix("").parts for path in FILES]
    modules = {".".join(part).removesuffix(".__init__") for part in parts}

    assert len(old) > 100
    assert modules & old == set()


def test_no_class_or_function_has_its_old_name():
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    old = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ClassDef) and node.name in OLD_CLASSES)
        or (isinstance(node, functions) and node.name in OLD_FUNCTIONS)
    ]

    assert old == []


@pytest.mark.parametrize(
    ("called", "old"), OLD_ARGUMENTS.items(), ids=[c.__name__ for c in OLD_ARGUMENTS]
)
def test_no_public_argument_has_its_old_name(called, old):
    assert set(inspect.signature(called).parameters) & old == set()


def keys_of(values):
    """Yield every key of nested dictionaries, and every part of a dotted one."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from str(key).split(".")
            yield from keys_of(value)


def test_no_key_of_the_configuration_has_its_old_name():
    keys = set(keys_of(dataclasses.asdict(compose())))
    keys |= set(keys_of(dataclasses.asdict(compose_generation())))
    new = old_names.STAGE | old_names.FIT | old_names.SOLVER | old_names.CONFIGURATION

    assert keys & OLD_KEYS == set()
    assert set(new) == OLD_KEYS
    assert set(new.values()) <= keys
    own = {field.name for field in dataclasses.fields(Config)}
    assert own & {*OLD_KEYS, *old_names.ENSEMBLE} == set()


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "configs").rglob("*.yaml")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_variant_has_an_old_key(path: Path):
    assert set(keys_of(yaml.safe_load(path.read_text()))) & OLD_KEYS == set()
