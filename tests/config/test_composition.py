"""Composition by Hydra, and the one line that each mistake gets."""

import pytest
from conftest import ROOT

from astrokeras.config import ConfigError, compose, compose_generation

pytestmark = pytest.mark.neutral


def test_defaults_compose():
    config = compose()

    assert config.dataset.name == "grav"
    assert config.name == "my_grav"
    assert config.dataset.alignment == "next"
    assert config.dataset.parameters["Radfield"] == "radfield"


def test_overrides_reach_nested_keys():
    config = compose(["emulator.fit.learning_rate=3e-4", "seed=3", "emulator.window=7"])

    assert config.emulator.fit.learning_rate == 3e-4
    assert config.seed == 3
    assert config.emulator.window == [7]


def test_the_reference_variant_is_astrochemnets():
    config = compose(["autoencoder=reference", "emulator=reference"])

    assert config.autoencoder.latents == 14
    assert config.autoencoder.output == "sigmoid"
    assert config.autoencoder.loss.kind == config.emulator.loss.kind == "reference"
    assert config.autoencoder.loss.conservation == 100
    assert config.emulator.loss.conservation == 500
    assert config.emulator.window == [240]
    assert (config.emulator.use_timestep, config.emulator.stride) == (False, 1)
    assert config.emulator.hidden == [180, 180]


@pytest.mark.parametrize(
    ("override", "named", "allowed"),
    [
        ("emulator.depth=2", "emulator.depth", "hidden, activation, window"),
        ("name=../elsewhere", "name is '../elsewhere'", "letters, digits"),
        ("name=''", "name is ''", "letters, digits"),
        ("autoencoder.activation=foo", "activation is 'foo'", "gelu, silu, relu"),
        ("precision=float16", "precision is 'float16'", "float32, mixed_bfloat16"),
        ("seed=many", "seed", "Integer"),
        ("emulator.fit.epochs=0", "emulator.fit.epochs is 0", "[1, "),
        ("autoencoder.dropout=1.5", "autoencoder.dropout is 1.5", "[0, 0.95]"),
        ("emulator.window=[]", "emulator.window is empty", "at least one"),
        ("emulator.window=[30,0]", "emulator.window is [30, 0]", "[1, "),
        ("emulator.stride=0", "emulator.stride is 0", "[1, 10000]"),
        (
            "emulator.native_step_fraction=1.5",
            "emulator.native_step_fraction is 1.5",
            "[0, 1]",
        ),
        ("dataset.alignment=last", "dataset.alignment is 'last'", "next, this"),
        ("emulator=huge", "emulator/huge", "default finetune ism reference"),
        ("emulator.fit.epochs=1.5", "emulator.fit.epochs", "Integer"),
        ("no equals sign", "no equals sign", "configs/"),
    ],
)
def test_a_mistake_is_one_line(override, named, allowed):
    with pytest.raises(ConfigError) as caught:
        compose([override])

    message = str(caught.value)
    assert "\n" not in message
    assert named in message
    assert allowed in message


def test_old_names_of_the_solver_are_read(tmp_path):
    (tmp_path / "solver").mkdir()
    own = tmp_path / "solver" / "own.yaml"
    own.write_text("defaults: [schema, _self_]\ntime_limit: 50\n")

    for words in (["solver=own"], ["solver.time_limit=50"]):
        assert compose_generation(words, tmp_path).solver.cpu_limit == 50


def test_own_variants_come_first(tmp_path):
    folder = tmp_path / "configs" / "emulator"
    folder.mkdir(parents=True)
    text = "defaults:\n  - schema\n  - _self_\nhidden: [8]\n"
    (folder / "small.yaml").write_text(text)
    (folder / "default.yaml").write_text(text.replace("8", "9"))

    own = tmp_path / "configs"
    assert compose(["emulator=small"], own).emulator.hidden == [8]
    assert compose([], own).emulator.hidden == [9]


def test_own_variant_that_is_no_yaml(tmp_path):
    (tmp_path / "emulator").mkdir()
    (tmp_path / "emulator" / "wrong.yaml").write_text("hidden: [8\n  x: }")

    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        compose(["emulator=wrong"], tmp_path)


def test_own_dataset_is_no_other(tmp_path):
    (tmp_path / "dataset").mkdir()
    own = tmp_path / "dataset" / "own.yaml"
    own.write_text("parameters: {Density: rho}")
    with pytest.raises(ConfigError, match=r"begin it with `defaults: \[schema, _self_"):
        compose_generation(["dataset=own"], tmp_path)

    own.write_text("defaults: [schema, _self_]\nparameters: {Density: rho}")
    made = compose_generation(["dataset=own"], tmp_path).dataset
    assert made.parameters == {"Density": "rho"}
    assert made.path == ""  # Nothing is trained on the sample unasked.


def test_own_variant_with_a_misspelt_key(tmp_path):
    folder = tmp_path / "emulator"
    folder.mkdir()
    text = "defaults:\n  - schema\n  - _self_\nhiden: [8]\n"
    (folder / "wrong.yaml").write_text(text)

    with pytest.raises(ConfigError, match="hiden"):
        compose(["emulator=wrong"], tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("emulator.timed=false", "emulator.use_timestep=false"),
        ("tolerance=0.2", "reliability_threshold=0.2"),
        ("emulator.fit.resident=never", "emulator.fit.device_cache=never"),
    ],
)
def test_an_old_key_is_the_new_one(old, new):
    assert compose([old]) == compose([new]) != compose()


@pytest.mark.parametrize("key", ["members", "ensemble_size"])
def test_one_whole_surrogate_may_be_named_and_several_are_refused(key, tmp_path):
    text = (ROOT / "configs" / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(f"{text}{key}: 1\n")

    assert compose([f"{key}=1"], tmp_path) == compose()
    with pytest.raises(ConfigError, match=f"^{key} is 3, .* give emulator.members"):
        compose([f"{key}=3"])
    (tmp_path / "config.yaml").write_text(f"{text}{key}: 3\n")
    with pytest.raises(ConfigError, match=rf"config.yaml: {key} is 3, and this"):
        compose([], tmp_path)


def test_a_users_file_with_old_keys_is_read(tmp_path):
    (tmp_path / "emulator").mkdir()
    variant = tmp_path / "emulator" / "mine.yaml"
    variant.write_text(
        "defaults: [default, _self_]\njoint: false\nfit: {resident: never}\n"
    )

    emulator = compose(["emulator=mine"], tmp_path).emulator

    assert not emulator.finetune_autoencoder
    assert emulator.fit.device_cache == "never"
    assert "joint" in variant.read_text()
