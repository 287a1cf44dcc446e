"""`astrokeras benchmark`: what it counts and reports; no speed is tested."""

import json

import numpy as np
import pytest
from tiny import make_tracers, overrides, write_tracers
from typer.testing import CliRunner

from astrokeras.benchmarking import workloads
from astrokeras.benchmarking.benchmark import WORK, benchmark
from astrokeras.cli import app
from astrokeras.config import compose
from astrokeras.data.pipeline.training_cache import prepare
from astrokeras.errors import InputError
from astrokeras.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark")
    write_tracers(path / "tiny.h5")
    return path


@pytest.fixture(scope="module")
def run(folder):
    few = ("autoencoder.fit.epochs=1", "emulator.fit.epochs=1")
    return train(compose(overrides(folder, *few)))


def count_products(*shapes):
    """Count multiplications and additions of products (1, a) x (a, b), one by one."""
    return sum(2 for a, b in shapes for _ in np.ndindex(a, b))


@pytest.mark.parametrize("kind", ["projection", "dense"])
def test_autoencoder_operations_are_those_of_its_products(folder, kind):
    config = compose(overrides(folder, f"autoencoder.kind={kind}"))
    cache = prepare(folder / "tiny.h5", folder / "cache", 1e-20)
    made = workloads.train_autoencoder(config, cache)

    there = [(10, 16), (16, 3)] if kind == "dense" else [(10, 3)]
    back = [(3, 16), (16, 10)]
    back += [(10, 3), (3, 10)] * (kind == "projection")
    kernels = inputs = count_products(*there, *back)
    inputs -= count_products(there[0])  # of the data no gradient is needed
    assert made.flops == count_products(*there, *back) + kernels + inputs
    # 12 tracers of 13 states, in batches of 32.
    assert made.work % (12 * 13 // 32 * 32) == 0


@pytest.mark.parametrize(("finetune_autoencoder", "products"), [(False, 2), (True, 3)])
def test_emulator_operations_follow_what_is_trained(
    folder, finetune_autoencoder, products
):
    words = (
        "emulator.window=[8]",
        "emulator.states_per_window=3",
        f"emulator.finetune_autoencoder={finetune_autoencoder}",
    )
    words += ("emulator.reconstruction=0",)
    config = compose(overrides(folder, *words))
    cache = prepare(folder / "tiny.h5", folder / "cache", 1e-20)
    made = workloads.train_emulator(config, cache)

    cell = count_products((3, 16), (16, 3), (16, 3))  # a rate beside an equilibrium
    # Of what is told of intervals, which are data: 10 features and 4 of an extinction.
    drive = count_products((14, 16))
    decoder = count_products((3, 16), (16, 10), (10, 3), (3, 10))
    encoder = count_products((10, 3))
    if finetune_autoencoder:
        encoder = 3 * encoder - count_products((10, 3))
    # Of 8 steps three states are compared; state 0 has no weight.
    expected = 3 * cell + 2 * drive + products * decoder * 3 / 8 + encoder / 8
    assert made.flops == pytest.approx(expected)


def test_less_that_is_asked_for_is_less_work(folder, run):
    import astrokeras

    surrogate = astrokeras.load(run.path)
    path = folder / "tiny.h5"
    everything = workloads.roll_out(surrogate, path, 30)
    some = workloads.roll_out(surrogate, path, 30, species=["CO"])
    last = workloads.roll_out(surrogate, path, 30, state_indices=[-1])

    assert everything.work == 30 * 12
    assert everything.run().shape == (30, 13, 10)
    assert some.run().shape == (30, 13, 1)
    assert last.run().shape == (30, 1, 10)
    # 14 features of an interval, a rate beside an equilibrium.
    cell = count_products((3, 16), (14, 16), (16, 3), (16, 3))
    cell += count_products((10, 3)) / 12  # the encoder, once
    one = count_products((3, 16), (16, 1), (16, 3), (3, 1))
    whole = count_products((3, 16), (16, 10), (10, 3), (3, 10))
    assert some.flops == pytest.approx(cell + one)
    assert last.flops == pytest.approx(cell + whole / 12)


@pytest.mark.long
def test_the_command_reports_every_piece_of_work(folder, run):
    words = [str(run.path), *overrides(folder), "--tracers", str(folder / "tiny.h5")]
    result = CliRunner().invoke(
        app, ["benchmark", *words, "--repeats", "2", "--count", "20", "--json"]
    )

    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    names = [row["name"] for row in figures["rows"]]
    assert names == [
        "autoencoder training",
        "emulator training",
        "rollout",
        "rollout, 10 species",
        "rollout, 1 state",
    ]
    for row in figures["rows"]:
        rate = row["rate"]
        assert 0 < rate["low"] <= rate["median"] <= rate["high"]
        assert row["share"] == pytest.approx(rate["median"] / row["limit"])


def test_the_first_word_may_be_an_override(folder):
    result = CliRunner().invoke(
        app, ["benchmark", "autoencoder.latents=none", "--tracers", "absent.h5"]
    )

    assert result.exit_code == 2
    assert "autoencoder.latents" in result.output


def test_wrong_requests_are_refused(folder, run):
    config = compose(overrides(folder))
    with pytest.raises(InputError, match="absent"):
        benchmark(config, str(run.path), folder / "absent.h5", repeats=1)
    with pytest.raises(InputError, match=r"'input'.*autoencoder, emulator, rollout"):
        benchmark(config, str(run.path), folder / "tiny.h5", work=("input",))
    no_training = make_tracers()
    no_training.split[:] = 2
    path = write_tracers(folder / "test.h5", no_training)
    with pytest.raises(InputError, match="train"):
        benchmark(config, str(run.path), path, work=WORK[:1], repeats=1)
