"""Settings and results of a training for TensorBoard's HParams, without TensorFlow."""

import time
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.monitoring.event_files import PATTERN, EventWriter

ENDING = ".hparams"


def write_hparams(
    folder: Path,
    values: Mapping[str, object],
    figures: Mapping[str, float],
    failed: bool = False,
) -> None:
    """Write a training as a session of TensorBoard's HParams.

    A folder has one session, which another call replaces. HParams shows all other
    scalars of the folder as results of the session too.

    Args:
        folder: Folder of the session, which TensorBoard calls a run.
        values: Settings by name. Numbers, booleans and strings are written as they are,
            other values as strings; `None` is left out.
        figures: Results by name, written as scalars.
        failed: Whether the training failed.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )

    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        if value is not None:
            _set(start.hparams[name], value)
    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    end = SessionEndInfo(status=status, end_time_secs=time.time())
    sessions = {
        metadata.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=start),
        metadata.SESSION_END_INFO_TAG: HParamsPluginData(session_end_info=end),
    }

    before = list(Path(folder).glob(PATTERN + ENDING))
    writer = EventWriter(folder, ENDING)
    for tag, data in sessions.items():
        about = metadata.create_summary_metadata(data)
        writer.tensor(tag, metadata.NULL_TENSOR, 0, about)
    for name, figure in figures.items():
        writer.scalar(name, figure, 0)
    writer.close()
    for path in before:
        path.unlink()


def _set(target: Any, value: object) -> None:
    """Set a protocol buffer `Value` to a boolean, a number or a string."""
    if isinstance(value, bool | np.bool_):  # A bool is also a number in Python.
        target.bool_value = bool(value)
    elif isinstance(value, Real):
        target.number_value = float(value)
    else:
        target.string_value = str(value)
