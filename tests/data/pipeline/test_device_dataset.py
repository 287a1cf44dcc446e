"""When data are put on the device, and that a training there is the same."""

import json
from types import SimpleNamespace

import pytest
from conftest import BACKEND
from keras import ops
from tiny import overrides, write_tracers

from astrokeras.config import ConfigError, compose
from astrokeras.data.pipeline import device_dataset
from astrokeras.training.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("device_cache")
    write_tracers(path / "tiny.h5")
    return path


def settings(folder, choice, *more):
    both = [
        f"{stage}.fit.device_cache={choice}" for stage in ("autoencoder", "emulator")
    ]
    return compose(overrides(folder, f"name={choice}", *both, *more))


def read_history(run):
    return json.loads((run.path / "history.json").read_text())


@pytest.mark.jax
@pytest.mark.torch
def test_training_is_the_same_as_streamed(folder):
    here, there = (train(settings(folder, name)) for name in ("always", "never"))

    for stage, epochs in read_history(there).items():
        for a, b in zip(read_history(here)[stage], epochs, strict=True):
            assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.jax
@pytest.mark.torch
def test_a_training_goes_on_where_the_data_lie_elsewhere(folder, monkeypatch):
    """Which says too that each epoch has its own batches, wherever they come from."""
    whole = train(settings(folder, "never", "name=whole"))
    stop = "astrokeras.callbacks.HistoryWriter.on_epoch_end"
    with monkeypatch.context() as patch:
        patch.setattr(stop, interrupt_after(2))
        with pytest.raises(KeyboardInterrupt):
            train(settings(folder, "never", "name=cut"))

    cut = train(settings(folder, "always", "name=cut"), resume=True)

    for stage, epochs in read_history(whole).items():
        for a, b in zip(read_history(cut)[stage], epochs, strict=True):
            assert a == pytest.approx(b, rel=1e-6)


def interrupt_after(epochs):
    def stop(self, epoch, logs=None):
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    return stop


@pytest.mark.tensorflow
def test_tensorflow_refuses_what_it_cannot_do(folder):
    with pytest.raises(
        ConfigError, match=r"autoencoder\.fit\.device_cache is 'always'"
    ):
        train(settings(folder, "always"))


class TestChoice:
    @pytest.fixture(autouse=True)
    def samplers(self, monkeypatch):
        """Two samplers of 100 bytes together, and what memory is free."""
        self.patch = monkeypatch
        self.made = [
            SimpleNamespace(reader=SimpleNamespace(nbytes=n)) for n in (60, 40)
        ]

    def choose(self, choice, free):
        self.patch.setattr(device_dataset, "_free_bytes", lambda: free)
        return device_dataset.fits_on_device(choice, self.made)

    def test_always_and_never_are_taken_at_their_word(self):
        assert self.choose("always", free=None)
        assert not self.choose("never", free=10**9)

    @pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has tf.data")
    @pytest.mark.parametrize(
        ("free", "expected"), [(None, False), (200, False), (201, True)]
    )
    def test_auto_leaves_half_of_the_memory(self, free, expected):
        assert self.choose("auto", free) is expected

    @pytest.mark.tensorflow
    def test_auto_streams_to_tensorflow(self):
        assert not self.choose("auto", free=10**9)

    @pytest.mark.jax
    def test_jax_knows_how_much_is_free(self, monkeypatch):
        memory = {"bytes_limit": 1000, "bytes_in_use": 300}
        for stats, free in ((memory, 700), ({}, None), (None, None)):
            device = SimpleNamespace(platform="gpu", memory_stats=lambda s=stats: s)
            monkeypatch.setattr(
                device_dataset.ops,
                "zeros",
                lambda _, d=device: SimpleNamespace(device=d),
            )
            assert device_dataset._free_bytes() == free

    @pytest.mark.jax
    @pytest.mark.torch
    def test_a_processor_is_no_accelerator(self):
        if "cpu" in str(ops.zeros(()).device).lower():
            assert device_dataset._free_bytes() is None
