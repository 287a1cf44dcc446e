"""Data that live on the accelerator: put there once, and gathered there.

One of the few places that know the backend; TensorFlow has tf.data instead.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from astrokeras.data.pipeline.sampler_dataset import EpochNumber, SamplerDataset
from astrokeras.data.pipeline.samplers import Sampler

BACKENDS = ("jax", "torch")
# The rest is for the model, and for the moment in which the data are put together.
SHARE = 0.5


class DeviceDataset(SamplerDataset):
    """A sampler's batches, gathered from all its data on the device.

    Args:
        sampler: Draws the batches; their values are those that it reads itself.
        epoch: Says which epoch it is.
    """

    def __init__(self, sampler: Sampler, epoch: EpochNumber):
        super().__init__(sampler, epoch)
        # What `pieces` yields is used nowhere else, so that a backend may keep it.
        pieces = [
            [ops.convert_to_tensor(array) for array in piece]
            for piece in sampler.reader.pieces()
        ]
        self.arrays = tuple(ops.concatenate(each) for each in zip(*pieces, strict=True))
        self.gather = partial(sampler.gather, xp=ops)
        if keras.config.backend() == "jax":
            import jax

            self.gather = jax.jit(self.gather)

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        drawn = self.sampler.choose(self.epoch.number, step)
        drawn = tuple(ops.convert_to_tensor(array) for array in drawn)
        return self.sampler.arguments(self.gather(self.arrays, 0, drawn))


def fits_on_device(choice: str, samplers: Sequence[Sampler]) -> bool:
    """Whether the data of samplers are to be put on the device.

    Args:
        choice: `always`, `never`, or `auto`: where the backend is JAX or PyTorch, there
            is an accelerator, and the data take less than half of its free memory.
        samplers: All that are used together.
    """
    if choice != "auto" or keras.config.backend() not in BACKENDS:
        return choice == "always"
    free = _free_bytes()
    needed = sum(sampler.reader.nbytes for sampler in samplers)
    return free is not None and needed < SHARE * free


def _free_bytes() -> int | None:
    """Return the accelerator's free memory, `None` if it is unknown or zero."""
    device = ops.zeros(()).device
    if keras.config.backend() == "jax":
        if device.platform == "cpu":
            return None
        memory = device.memory_stats() or {}
        if "bytes_limit" not in memory:
            return None
        return memory["bytes_limit"] - memory.get("bytes_in_use", 0)
    if device.type != "cuda":
        return None
    import torch

    return torch.cuda.mem_get_info(device)[0]
