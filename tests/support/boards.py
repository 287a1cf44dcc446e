"""`astrokeras board` as a process: started, asked, and interrupted as people do."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import BACKEND, ROOT


def start(*words: object, cwd: Path) -> subprocess.Popen:
    """Start the command where TensorFlow cannot slow it."""
    code = (
        "import sys, types\n"
        "sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf')\n"
        "from astrokeras.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "board", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND, "HOME": str(cwd)},
    )


@contextmanager
def serving(*words: object, cwd: Path, runs: int) -> Iterator[str]:
    """Give the address that the command prints, once so many runs are read."""
    process = start(*words, "--port", 0, cwd=cwd)
    try:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://localhost:\d+/", address), process.stderr.read()
        end = time.monotonic() + 120
        while len(ask(address, "runs")) < runs:
            assert time.monotonic() < end, "the runs are not read"
            time.sleep(0.2)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=60)[1]
        assert process.returncode == 0


def ask(address: str, route: str) -> object:
    """Return the answer of TensorBoard's HTTP interface."""
    with urllib.request.urlopen(f"{address}data/{route}") as answer:
        return json.loads(answer.read())
