"""Samplers as tf.data pipelines: the one module that imports TensorFlow.

tf.data feeds `fit` on all three backends. Where TensorFlow is not installed,
`astrokeras.data.batches` feeds the same batches without it.
"""

import numpy as np
import tensorflow as tf

from astrokeras.data.sampling import Sampler, as_fit_arguments


def tf_batches(
    sampler: Sampler, first_epoch: int = 0, endless: bool = True
) -> tf.data.Dataset:
    """Return a prefetched `tf.data.Dataset` of a sampler's batches.

    The epoch is counted inside the dataset, so that its order depends on nothing else.

    Args:
        sampler: Makes the batches.
        first_epoch: Number of the first epoch.
        endless: Whether epoch follows epoch (pass `steps_per_epoch` to `fit`), or the
            dataset ends after one.
    """
    types = [np.dtype(dtype) for _, dtype in sampler.spec]

    def fetch(epoch: tf.Tensor, step: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(
            lambda e, s: sampler.batch(int(e), int(s)), [epoch, step], types
        )
        for array, (shape, _) in zip(arrays, sampler.spec, strict=True):
            array.set_shape(shape)
        return as_fit_arguments(arrays, sampler.inputs)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        steps = tf.data.Dataset.range(sampler.steps)
        return steps.map(lambda step: fetch(epoch, step))

    if endless:
        dataset = tf.data.Dataset.counter(first_epoch).flat_map(one_epoch)
    else:
        dataset = one_epoch(tf.constant(first_epoch, tf.int64))
    return dataset.prefetch(2)
