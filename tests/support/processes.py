"""Python and the command line in processes of their own, to kill and to wait for."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import BACKEND, ROOT

COMMAND = "from astrokeras.cli import main; main()"


@contextmanager
def started(
    *arguments: object, folder: Path, code: str = COMMAND
) -> Iterator[subprocess.Popen]:
    """Run the command line, or other code, and never leave it behind."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "KERAS_BACKEND": str(BACKEND)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(
    happened: Callable[[], bool], process: subprocess.Popen, seconds: float = 180
) -> None:
    """Wait until something is true; fail if the process ends before, or time does."""
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
