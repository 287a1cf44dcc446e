"""Samplers as tf.data pipelines: the one module that imports TensorFlow.

tf.data feeds `fit` on all three backends. Where TensorFlow is not installed,
`astrokeras.data.pipeline.datasets` feeds the same batches without it.
"""

import numpy as np
import tensorflow as tf

from astrokeras.data.pipeline.sampler_dataset import EpochNumber
from astrokeras.data.pipeline.samplers import Arrays, Sampler


def tf_batches(sampler: Sampler, epoch: EpochNumber) -> tf.data.Dataset:
    """Return a prefetched `tf.data.Dataset` of an epoch of a sampler's batches.

    Args:
        sampler: Makes the batches.
        epoch: Says which epoch it is, each time the dataset begins.
    """
    types = [np.dtype(dtype) for _, dtype in sampler.spec]

    def batch(step: np.ndarray) -> Arrays:
        return sampler.batch(epoch.number, int(step))

    def fetch(step: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(batch, [step], types)
        for array, (shape, _) in zip(arrays, sampler.spec, strict=True):
            array.set_shape(shape)
        return sampler.arguments(tuple(arrays))

    options = tf.data.Options()
    # There is nothing to tune in three stages, and looking for it takes longer than
    # a small epoch; a thread of its own does not wait for those of the training.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.threading.private_threadpool_size = 1
    steps = tf.data.Dataset.range(sampler.steps)
    return steps.map(fetch).prefetch(sampler.ahead).with_options(options)
