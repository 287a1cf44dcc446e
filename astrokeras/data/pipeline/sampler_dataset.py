"""Samplers as Keras `PyDataset`, and a callback that tracks the epoch."""

from typing import Any

import keras

from astrokeras.data.pipeline.samplers import Sampler


class EpochNumber(keras.callbacks.Callback):
    """Callback that tracks the current epoch for the datasets, which `fit` does not do.

    A dataset lasts one epoch. `fit` iterates over it anew for each epoch, and once more
    to inspect a batch before the first.

    Args:
        number: Number of the first epoch.
    """

    def __init__(self, number: int = 0):
        super().__init__()
        self.number = number

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.number = epoch


class SamplerDataset(keras.utils.PyDataset):
    """Batches of a sampler without TensorFlow.

    Args:
        sampler: The sampler.
        epoch: The current epoch.
    """

    def __init__(self, sampler: Sampler, epoch: EpochNumber):
        super().__init__()
        self.sampler = sampler
        self.epoch = epoch

    def __len__(self) -> int:
        return self.sampler.steps

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        arrays = self.sampler.batch(self.epoch.number, step)
        return self.sampler.arguments(arrays)
