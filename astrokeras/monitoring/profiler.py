"""A profile of some training batches: one of the few places that know the backend."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from astrokeras.system.progress import report


class Profile(keras.callbacks.Callback):
    """Records what the backend does in some calls of a training, for TensorBoard.

    Args:
        folder: Where the profile goes, below `plugins/profile` if the backend chooses.
        calls: The first and the last, counted from 1 since the process began to train
            (a call is a batch, or `steps_per_execution` of them); empty for none.
    """

    def __init__(self, folder: Path, calls: Sequence[int] = ()):
        super().__init__()
        self.folder = Path(folder)
        self.first, self.last = calls or (0, 0)
        self.count = 0
        self._stop: Callable[[], object] | None = None

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        self.count += 1
        if self.count == self.first:
            self._stop = _start(self.folder)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        if self.count == self.last:
            self.close()

    def close(self) -> None:
        """Write the profile, if one is being recorded."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
            report(f"Profile of batches {self.first} to {self.count}: {self.folder}")


def _start(folder: Path) -> Callable[[], object]:
    """Start the backend's own profiler and return what stops it."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.profiler.experimental.start(str(folder))
        return tf.profiler.experimental.stop
    if backend == "jax":
        import jax

        jax.profiler.start_trace(str(folder))
        return jax.profiler.stop_trace
    from torch import profiler

    recorded = profiler.profile(
        on_trace_ready=profiler.tensorboard_trace_handler(str(folder))
    )
    recorded.start()
    return recorded.stop
