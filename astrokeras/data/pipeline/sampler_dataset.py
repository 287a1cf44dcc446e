"""A sampler as a `PyDataset` of Keras, and the epoch that its batches belong to."""

from typing import Any

import keras

from astrokeras.data.pipeline.samplers import Sampler


class EpochNumber(keras.callbacks.Callback):
    """Knows which epoch is trained, for the datasets, which `fit` does not tell.

    A dataset lasts an epoch, and `fit` begins it anew for each, also to look at a batch
    ahead of the first.

    Args:
        number: Of the first epoch.
    """

    def __init__(self, number: int = 0):
        super().__init__()
        self.number = number

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.number = epoch


class SamplerDataset(keras.utils.PyDataset):
    """A sampler's batches without TensorFlow.

    Args:
        sampler: Makes the batches.
        epoch: Says which epoch it is.
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
