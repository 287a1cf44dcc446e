"""Datasets for `fit` from samplers, with or without TensorFlow."""

import importlib.util
from typing import Any

from astrokeras.data.pipeline.sampler_dataset import EpochNumber, SamplerDataset
from astrokeras.data.pipeline.samplers import Sampler


def has_tensorflow() -> bool:
    """Return whether TensorFlow, which provides tf.data, is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def batches(
    sampler: Sampler, epoch: EpochNumber | None = None, device_cache: bool = False
) -> Any:
    """Return a dataset of one epoch for `fit`.

    Args:
        sampler: The sampler.
        epoch: The current epoch, read when the dataset begins; always 0 if `None`.
        device_cache: Whether to copy all data to the device. Otherwise they are
            streamed from the cache, by tf.data if TensorFlow is installed.
    """
    epoch = epoch or EpochNumber()
    if device_cache:
        from astrokeras.data.pipeline.device_dataset import DeviceDataset

        return DeviceDataset(sampler, epoch)
    if not has_tensorflow():
        return SamplerDataset(sampler, epoch)
    from astrokeras.data.pipeline.tf_dataset import tf_batches

    return tf_batches(sampler, epoch)
