"""Event files of TensorBoard, written with NumPy and TensorBoard's protocol buffers.

TensorBoard's own writers import TensorFlow wherever it is installed, which costs
seconds and memory on another backend.
"""

import os
import socket
import struct
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    DATA_CLASS_SCALAR,
    DATA_CLASS_TENSOR,
)
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar import metadata as scalars
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

PATTERN = "events.out.tfevents.*"
BUCKETS = 30
# Bytes before and after an event: its length with a checksum, and a checksum of it.
HEADER, FOOTER = 12, 4
_numbers = count()


class EventWriter:
    """Writes one event file; TensorBoard reads those of a folder in order of time.

    Args:
        folder: Folder of the file, which TensorBoard calls a run.
        ending: Ending of the file's name.
    """

    def __init__(self, folder: Path, ending: str = ""):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / PATTERN.replace("*", f"{name}.{next(_numbers)}{ending}")
        self._file = open(self.path, "wb")  # noqa: SIM115 - closed by `close`
        self._records = RecordWriter(self._file)
        self.write(Event(file_version="brain.Event:2"))

    def write(self, event: Any) -> None:
        """Append an event, with the present time unless it has a time."""
        event.wall_time = event.wall_time or time.time()
        self._records.write(event.SerializeToString())

    def tensor(self, tag: str, value: Any, step: int, metadata: Any) -> None:
        """Append a tensor; the metadata name the plugin that shows it."""
        event = Event(step=step)
        event.summary.value.add(tag=tag, tensor=value, metadata=metadata)
        self.write(event)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Append a number."""
        metadata = scalars.create_summary_metadata("", "")
        metadata.data_class = DATA_CLASS_SCALAR
        self.tensor(tag, make_tensor_proto(np.float32(value)), step, metadata)

    def histogram(self, tag: str, values: ArrayLike, step: int) -> None:
        """Append a histogram of the finite values, with 30 bins of equal width."""
        finite = np.asarray(values, "float64")
        counts, edges = np.histogram(finite[np.isfinite(finite)], BUCKETS)
        buckets = np.stack([edges[:-1], edges[1:], counts], axis=-1)
        metadata = histograms.create_summary_metadata("", "")
        metadata.data_class = DATA_CLASS_TENSOR
        self.tensor(tag, make_tensor_proto(buckets), step, metadata)

    def image(self, tag: str, png: bytes, step: int) -> None:
        """Append a picture in PNG format, whose bytes 16 to 23 are width and height."""
        width, height = struct.unpack(">II", png[16:24])
        value = make_tensor_proto([str(width).encode(), str(height).encode(), png])
        metadata = images.create_summary_metadata("", "")
        metadata.data_class = DATA_CLASS_BLOB_SEQUENCE
        self.tensor(tag, value, step, metadata)

    def restart(self, step: int) -> None:
        """Make a running TensorBoard discard this step and all later ones."""
        log = SessionLog(status=SessionLog.START)
        self.write(Event(step=step, session_log=log))

    def flush(self) -> None:
        """Pass all appended events to the operating system."""
        self._records.flush()

    def close(self) -> None:
        """Close the file; closing it again has no effect."""
        if not self._records.closed:
            self._records.close()


def cut(folder: Path, step: int) -> None:
    """Shorten the event files of a folder to the records up to a step.

    Args:
        folder: The folder, which may be missing.
        step: Step of the last record to keep. An incomplete record is removed too.
    """
    for path in sorted(Path(folder).glob(PATTERN)):
        end = 0
        with open(path, "rb") as file:
            while header := file.read(HEADER):
                length = struct.unpack("<Q", header[:8])[0] if header[11:] else 0
                content = file.read(length + FOOTER)
                if not length or len(content) < length + FOOTER:
                    break
                if Event.FromString(content[:length]).step > step:
                    break
                end = file.tell()
        os.truncate(path, end)
