"""What a search may try: read from YAML, checked, and handed to a configuration."""

import numpy as np
import pytest
from conftest import ROOT

from astrokeras.config import ConfigError, compose, compose_tuner
from astrokeras.tuning.search_space import Dimension, read_space, to_overrides

pytestmark = pytest.mark.neutral

VARIANTS = sorted(path.stem for path in (ROOT / "configs" / "tuner").glob("*.yaml"))


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read the space of a variant with the given YAML as its space."""
    monkeypatch.chdir(tmp_path)

    def read_yaml(space, *overrides, stage="both"):
        folder = tmp_path / "configs" / "tuner"
        folder.mkdir(parents=True, exist_ok=True)
        head = f"defaults: [schema, _self_]\nstage: {stage}\nspace:\n"
        lines = [f"  {line}\n" for line in space.splitlines()]
        (folder / "mine.yaml").write_text(head + "".join(lines))
        space = read_space(compose_tuner(["tuner=mine", *overrides]))
        return {one.path: one for one in space}

    return read_yaml


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_that_ships_can_be_searched(name):
    settings = compose_tuner([f"tuner={name}"])

    space = read_space(settings)

    assert len(space) == len(settings.space) > 5
    ends = {
        one.path: one.values[-1] if one.values else one.restore(one.high)
        for one in space
        if one.kind != "bool"
    }
    compose(to_overrides(ends))  # raises if a field does not take it


def test_what_is_not_said_the_field_says(read):
    space = read(
        "autoencoder.dropout: {}\n"
        "autoencoder.kind: {}\n"
        "emulator.finetune_autoencoder: {}\n"
        "emulator.stride: {max: 8}\n"
    )

    assert space["autoencoder.dropout"] == Dimension(
        "autoencoder.dropout", "float", (), 0, 0.95
    )
    assert space["autoencoder.kind"].values == ("projection", "dense")
    assert space["emulator.finetune_autoencoder"].kind == "bool"
    assert (space["emulator.stride"].kind, space["emulator.stride"].low) == ("int", 1)


def test_a_condition_comes_after_what_it_waits_for(read):
    space = read(
        "emulator.reconstruction: "
        "{max: 1, when: {emulator.finetune_autoencoder: true}}\n"
        "emulator.finetune_autoencoder: {when: {emulator.hidden: [[8], [16]]}}\n"
        "emulator.hidden: {values: [[8], [16], [32]]}\n"
    )

    order = [
        "emulator.hidden",
        "emulator.finetune_autoencoder",
        "emulator.reconstruction",
    ]
    assert list(space) == order
    assert space["emulator.finetune_autoencoder"].when == {
        "emulator.hidden": ([8], [16])
    }
    assert space["emulator.reconstruction"].when == {
        "emulator.finetune_autoencoder": (True,)
    }


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ("emulator.depth: {}", "emulator.depth: this key does .*hidden, activation"),
        ("emulator.fit: {}", "emulator.fit: this key .*emulator has hidden"),
        ("emulator: {}", "emulator: this key does not exist or has no value"),
        (
            "emulator.finetune_autoencoder.deep: {}",
            "emulator.finetune_autoencoder.deep: this key does not exist",
        ),
        ("dataset.floor: {}", "dataset.floor: .*autoencoder, emulator, seed"),
        (
            "emulator.native_step_fraction: {min: -1}",
            r"emulator.native_step_fraction is -1.*\[0, 1\]",
        ),
        (
            "emulator.native_step_fraction: {min: 0.5, max: 1.5}",
            r"emulator.native_step_fraction is 1.5.*\[0, 1\]",
        ),
        ("emulator.native_step_fraction: {min: 1, max: 0.5}", "1 and max is 0.5"),
        ("emulator.native_step_fraction: {log: true}", "min is 0; a log scale"),
        (
            "emulator.native_step_fraction: {kind: int}",
            "kind is int, the field's is float",
        ),
        (
            "emulator.native_step_fraction: {kind: real}",
            "kind is 'real'; allowed are: int, float",
        ),
        ("emulator.native_step_fraction: {step: -1}", "step is -1"),
        ("emulator.stride: {min: 1, max: 9, step: 1, log: true}", "step is 1;"),
        ("emulator.stride: {min: 1.5, max: 9}", "stride: .*'1.5'.* to Integer"),
        ("emulator.stride: {min: 1, max: 9, step: 1.5}", "step is 1.5; give a whole"),
        ("emulator.stride: {min: 1, max: 9, values: [3]}", "min has no effect on a ch"),
        (
            "emulator.finetune_autoencoder: {values: [maybe]}",
            "emulator.finetune_autoencoder: .*maybe",
        ),
        ("emulator.activation: {values: [silu, foo]}", "activation is 'foo'"),
        ("emulator.hidden: {}", "emulator.hidden: give the values"),
        ("emulator.hidden: {values: [[8], [0]]}", r"hidden is \[0\]"),
        ("emulator.hidden: {values: [[8, wide]]}", "emulator.hidden: .*wide"),
        ("seed: {values: [1.5]}", "seed: .*1.5"),
        ("emulator.native_step_fraction: {mean: 3}", "mean"),
        (
            "emulator.native_step_fraction: "
            "{when: {emulator.finetune_autoencoder: true}}",
            "emulator.finetune_autoencoder, which is no",
        ),
        (
            "emulator.native_step_fraction: {}\n"
            "emulator.finetune_autoencoder: {when: {emulator.native_step_fraction: 1}}",
            "emulator.native_step_fraction, which is a float",
        ),
        (
            "emulator.native_step_fraction: {when: {seed: 7}}\nseed: {min: 1, max: 3}",
            "when names seed=7, which is never tried",
        ),
        (
            "emulator.finetune_autoencoder: {when: {emulator.use_timestep: true}}\n"
            "emulator.use_timestep: {when: {emulator.finetune_autoencoder: true}}",
            "emulator.finetune_autoencoder, emulator.use_timestep depend on each",
        ),
    ],
    ids=lambda text: text.split(",")[0],
)
def test_a_mistake_is_one_line(space, named, read):
    with pytest.raises(ConfigError, match=named) as caught:
        read(space)

    assert "\n" not in str(caught.value)


def test_a_stage_alone_is_searched_by_its_own_fields(read):
    assert "emulator.native_step_fraction" in read(
        "emulator.native_step_fraction: {}", stage="emulator"
    )
    with pytest.raises(ConfigError, match=r"stage is emulator.*emulator, seed"):
        read("autoencoder.latents: {max: 9}", stage="emulator")


def test_hyperband_sets_the_epochs_itself(read):
    space = "emulator.fit.epochs: {min: 2, max: 9}"

    assert read(space, "tuner.algorithm=random")
    with pytest.raises(ConfigError, match="Hyperband sets the epochs itself"):
        read(space, "tuner.algorithm=hyperband")


def test_an_empty_space_is_refused(read):
    with pytest.raises(ConfigError, match=r"tuner\.space is empty"):
        read("{}")


def test_overrides_give_the_configuration_the_values():
    values = {
        "emulator.hidden": [8, 16],
        "emulator.finetune_autoencoder": False,
        "emulator.native_step_fraction": 1.25e-3,
        "emulator.activation": "tanh",
        "dataset.initial_abundances": None,
        "dataset.licence": "null",
        "dataset.source": 'of "mine", 1-D',
        "seed": 7,
    }

    config = compose(to_overrides(values))

    for path, value in values.items():
        found = config
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value, path


def test_values_survive_the_way_through_keras_tuner():
    """Between processes it keeps floats in single precision and bools as numbers."""
    rate = Dimension("emulator.fit.learning_rate", "float", (), 1e-4, 1e-3, log=True)
    latents = Dimension("autoencoder.latents", "int", (), 4, 9)
    widths = Dimension("autoencoder.widths", "choice", ([3, 2], [1]))
    finetune_autoencoder = Dimension("emulator.finetune_autoencoder", "bool")

    assert rate.restore(float(np.float32(3e-4))) == 3e-4
    assert rate.restore(float(np.float32(1e-3)) * 1.0001) == 1e-3
    assert latents.restore(10) == 9
    assert widths.restore(widths.store([3, 2])) == [3, 2]
    assert finetune_autoencoder.restore(1) is True
