"""Progress bar over the epochs of a training, or lines where there is no terminal."""

import time

import keras
from rich.console import Console
from rich.progress import Progress

from astrokeras.system.progress import make_bar, report

# Without a terminal, as in the log of a batch job, this is the interval of lines.
SECONDS_BETWEEN_LINES = 20.0


class EpochBar(keras.callbacks.Callback):
    """Shows the epochs of a stage, the monitored metric and the learning rate.

    Args:
        stage: Name of the stage.
        epochs: Largest number of epochs.
        monitor: Name of the monitored metric.
    """

    def __init__(self, stage: str, epochs: int, monitor: str):
        super().__init__()
        self.stage = stage
        self.epochs = epochs
        self.monitor = monitor
        self.console = Console(stderr=True, highlight=False)
        self.last = -SECONDS_BETWEEN_LINES
        self.bar: Progress | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self.console.is_terminal:
            self.bar = make_bar(self.console)
            self.task = self.bar.add_task(self.stage, total=self.epochs, note="")
            self.bar.start()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        note = (
            f"loss {logs.get('loss', 0):.4f}  {self.monitor} "
            f"{logs.get(self.monitor, 0):.4f}  learning rate {rate:.1e}"
        )
        if self.bar is not None:
            self.bar.update(self.task, completed=epoch + 1, note=note)
        elif (
            epoch + 1 == self.epochs
            or time.monotonic() - self.last > SECONDS_BETWEEN_LINES
        ):
            self.last = time.monotonic()
            report(f"{self.stage}  epoch {epoch + 1}/{self.epochs}  {note}")

    def close(self) -> None:
        """Remove the bar from the terminal, however the training ended."""
        if self.bar is not None:
            self.bar.stop()
