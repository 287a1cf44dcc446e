"""Profile of some training batches, by the profiler of each backend."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from astrokeras.system.progress import report


class Profile(keras.callbacks.Callback):
    """Profiles some calls of the training step for TensorBoard.

    Args:
        folder: Folder of the profile; some backends write it in `plugins/profile`.
        calls: Numbers of the first and the last call, counted from 1 since the start of
            this process; empty for no profile. A call trains a batch, or
            `steps_per_execution` batches.
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
    """Start the profiler of the backend, and return the function that stops it."""
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
