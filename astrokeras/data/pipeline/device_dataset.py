"""Dataset on the accelerator: data are copied there once, and batches gathered there.

It depends on the backend: JAX or PyTorch. TensorFlow uses tf.data instead.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from astrokeras.data.pipeline.sampler_dataset import EpochNumber, SamplerDataset
from astrokeras.data.pipeline.samplers import Sampler

BACKENDS = ("jax", "torch")
# The other half is for the model, and for the concatenation of the data.
SHARE = 0.5


class DeviceDataset(SamplerDataset):
    """Batches of a sampler, gathered from all its data on the device.

    Args:
        sampler: The sampler, which draws the indices and would read the same values.
        epoch: The current epoch.
    """

    def __init__(self, sampler: Sampler, epoch: EpochNumber):
        super().__init__(sampler, epoch)
        # `pieces` yields new memory, which a backend may keep.
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
    """Return whether to copy the data of samplers to the device.

    Args:
        choice: `always`, `never`, or `auto`: if the backend is JAX or PyTorch, there is
            an accelerator, and the data take less than half of its free memory.
        samplers: All samplers that are used together.
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
