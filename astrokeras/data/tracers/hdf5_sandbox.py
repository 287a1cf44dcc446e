"""Sandbox for HDF5 files of unknown origin: a separate process checks each file first.

libhdf5 trusts the files that it reads: a damaged file can make it crash, hang or use
all memory. Therefore a worker process with limited time and memory opens each file
first (`hdf5_sandbox_worker.scan`). If the worker dies, the file is refused and this
process goes on. The first file costs a start of Python with h5py, later files a fork.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from astrokeras.errors import InputError
from astrokeras.system.input_paths import HDF5

_known: dict[tuple[str, ...], int] = {}
_helpers: list["_SandboxProcess"] = []
_lock = threading.Lock()


def is_hdf5(path: Path) -> bool:
    """Return whether a file has the signature of HDF5, without using libhdf5."""
    try:
        with open(path, "rb") as file:
            size, offset = os.fstat(file.fileno()).st_size, 0
            # A user block of 512, 1024, 2048 ... bytes may precede the signature.
            while offset < size:
                file.seek(offset)
                if file.read(len(HDF5)) == HDF5:
                    return True
                offset = 2 * offset or 512
    except OSError:
        return False
    return False


def check_file(path: Path, member: str = "") -> int:
    """Raise InputError if an HDF5 file is not safe to read.

    An unchanged file is checked once. Files that this process has written are not
    checked.

    Args:
        path: The file.
        member: If the file is a zip archive, the name of the HDF5 file in it.

    Returns:
        The number of values in its datasets.

    Raises:
        InputError: If the file is damaged, refers to other files, declares more data
            than it can hold, or makes the HDF5 library crash, hang or exhaust memory.
    """
    key = _key(path.stat(), member)
    if key not in _known:
        _known[key] = _ask(path, member)
    return _known[key]


def was_checked(descriptor: int) -> bool:
    """Return whether `check_file` accepted this very file, not one of the same name."""
    return _key(os.fstat(descriptor), "") in _known


def mark_verified(path: Path, member: str = "", values: int = 0) -> None:
    """Record that a file, just written by this process, needs no check."""
    _known[_key(path.stat(), member)] = values


def forget() -> None:
    """Forget all checks, so that every file is checked again."""
    _known.clear()


def unreadable(path: Path | str, error: object, kind: str = "") -> InputError:
    """Return the one-line error for a file that HDF5 cannot read.

    Args:
        path: The file.
        error: The error of the HDF5 library.
        kind: The actual kind of the file, if it is known.
    """
    reason = " ".join(str(error).split())
    if "unable to lock file" in reason:
        return InputError(
            f"{path}: is open in another process, which may be writing it "
            f"({reason}); close it there, or wait until that process ends."
        )
    if "already open for write" in reason:
        return InputError(
            f"{path}: is marked as open for writing: a process is writing it, or was "
            f"killed while writing ({reason}); wait until it ends, or try "
            "`h5clear -s` on a copy."
        )
    kind = kind or "another kind of file, truncated or damaged"
    return InputError(
        f"{path}: cannot be read as HDF5, it is {kind} ({reason}); fetch or make "
        "it again."
    )


def _key(state: os.stat_result, member: str) -> tuple[str, ...]:
    facts = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return (member, *map(str, facts))


def _ask(path: Path, member: str) -> int:
    """Return the number of values that the worker counts in a file."""
    name = f"{path}:{member}" if member else str(path)
    with _lock:
        try:
            answer = _helper().ask(path, member)
        except (OSError, ValueError):  # The worker had ended after its idle time.
            answer = _helper(anew=True).ask(path, member)
    if "refused" in answer:
        raise InputError(answer["refused"])
    if "damaged" in answer:
        raise unreadable(name, answer["damaged"])
    if "died" in answer:
        ways = {"SIGXCPU": "ran for ever", "SIGKILL": "took too long, or all memory"}
        way = ways.get(answer["died"], f"crashed ({answer['died']})")
        raise InputError(
            f"{name}: cannot be read as HDF5, the library {way}; it is damaged or "
            "hostile, fetch or make it again."
        )
    return int(answer["values"])


class _SandboxProcess:
    """Worker process that checks files; it ends with this process or when idle."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        path = os.pathsep.join(filter(None, sys.path))
        # The worker forks, so it must run in a single thread.
        single_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "astrokeras.data.tracers.hdf5_sandbox_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path, **single_thread},
        )

    def ask(self, path: Path, member: str) -> dict[str, Any]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        absolute = os.path.abspath(path)
        try:
            stdin.write(json.dumps([absolute, member]).encode() + b"\n")
            answer = json.loads(stdout.readline())
        except BaseException:
            # After an interruption it could send this answer to the next request.
            self.process.kill()
            raise
        # Messages show the path as the user gave it.
        return {
            key: value.replace(absolute, str(path), 1)
            if isinstance(value, str)
            else value
            for key, value in answer.items()
        }

    def close(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()


def _helper(anew: bool = False) -> _SandboxProcess:
    """Return the worker of this process; a forked process starts a new worker."""
    if not _helpers or anew or _helpers[-1].owner != os.getpid():
        if _helpers and _helpers[-1].owner == os.getpid():
            _helpers.pop().close()
        _helpers.append(_SandboxProcess())
    return _helpers[-1]


@atexit.register
def _close() -> None:
    for helper in _helpers:
        if helper.owner == os.getpid():
            helper.close()
