"""Samplers as datasets for `fit`, with TensorFlow or without."""

import importlib.util
from typing import Any

import keras

from astrokeras.data.sampling import Sampler, as_fit_arguments


class SamplerDataset(keras.utils.PyDataset):
    """A sampler's batches without TensorFlow, an epoch at a time.

    `fit` looks at a batch ahead of the first epoch and calls `on_epoch_end` for it, so
    an `EpochNumber` callback says which epoch it is.

    Args:
        sampler: Makes the batches.
    """

    def __init__(self, sampler: Sampler):
        super().__init__()
        self.sampler = sampler
        self.epoch = 0

    def __len__(self) -> int:
        return self.sampler.steps

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        arrays = self.sampler.batch(self.epoch, step)
        return as_fit_arguments(arrays, self.sampler.inputs)


class EpochNumber(keras.callbacks.Callback):
    """Tells a `SamplerDataset` which epoch begins."""

    def __init__(self, dataset: SamplerDataset):
        super().__init__()
        self.dataset = dataset

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.dataset.epoch = epoch


def has_tensorflow() -> bool:
    """Whether TensorFlow, and so tf.data, is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def batches(sampler: Sampler, first_epoch: int = 0, endless: bool = True) -> Any:
    """Return a dataset for `fit`: tf.data where TensorFlow is installed.

    Args:
        sampler: Makes the batches.
        first_epoch: Number of the first epoch, for tf.data.
        endless: Whether tf.data goes on with the next epoch by itself; `fit` needs
            `steps_per_epoch` then, and accepts it in either case.
    """
    if not has_tensorflow():
        return SamplerDataset(sampler)
    from astrokeras.data.pipeline import tf_batches

    return tf_batches(sampler, first_epoch, endless)
