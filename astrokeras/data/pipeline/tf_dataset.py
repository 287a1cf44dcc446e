"""Samplers as tf.data pipelines; the only module that imports TensorFlow.

tf.data feeds `fit` on all three backends. If TensorFlow is not installed,
`astrokeras.data.pipeline.datasets` feeds the same batches without it.
"""

import numpy as np
import tensorflow as tf

from astrokeras.data.pipeline.sampler_dataset import EpochNumber
from astrokeras.data.pipeline.samplers import Arrays, Sampler


def tf_batches(sampler: Sampler, epoch: EpochNumber) -> tf.data.Dataset:
    """Return a prefetched `tf.data.Dataset` with the batches of one epoch.

    Args:
        sampler: The sampler.
        epoch: The current epoch, read when the dataset begins.
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
    # Autotuning of three stages gains nothing and takes longer than a small epoch. A
    # private thread does not wait for the threads of the training.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.threading.private_threadpool_size = 1
    steps = tf.data.Dataset.range(sampler.steps)
    return steps.map(fetch).prefetch(sampler.ahead).with_options(options)
