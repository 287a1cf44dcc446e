"""Samplers as datasets for `fit`, with TensorFlow or without."""

import importlib.util
from typing import Any

import keras

from astrokeras.data.sampling import Sampler, as_fit_arguments


class SamplerDataset(keras.utils.PyDataset):
    """A sampler's batches without TensorFlow, an epoch at a time.

    Args:
        sampler: Makes the batches.
        first_epoch: Number of the first epoch.
    """

    def __init__(self, sampler: Sampler, first_epoch: int = 0):
        super().__init__()
        self.sampler = sampler
        self.epoch = first_epoch

    def __len__(self) -> int:
        return self.sampler.steps

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        arrays = self.sampler.batch(self.epoch, step)
        return as_fit_arguments(arrays, self.sampler.inputs)

    def on_epoch_end(self) -> None:
        self.epoch += 1


def batches(sampler: Sampler, first_epoch: int = 0, endless: bool = True) -> Any:
    """Return a dataset for `fit`: tf.data where TensorFlow is installed.

    Args:
        sampler: Makes the batches.
        first_epoch: Number of the first epoch.
        endless: Whether tf.data goes on with the next epoch by itself; `fit` needs
            `steps_per_epoch` then, and accepts it in either case.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return SamplerDataset(sampler, first_epoch)
    from astrokeras.data.pipeline import tf_batches

    return tf_batches(sampler, first_epoch, endless)
