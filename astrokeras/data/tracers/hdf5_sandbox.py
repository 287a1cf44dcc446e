"""Files of unknown origin are looked through elsewhere before they are read here.

libhdf5 trusts the files it reads: some bytes make it crash, run for ever or take all
memory.  So another process, under limits of time and memory, opens each file first
(`scan`); when it dies, the file is refused and this one lives on.  The first file costs
a start of Python with h5py, each further one a fork.
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

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_known: dict[tuple[str, ...], int] = {}
_helpers: list["_Helper"] = []
_lock = threading.Lock()


def is_hdf5(path: Path) -> bool:
    """Whether a file has the signature of HDF5, told without libhdf5."""
    try:
        with open(path, "rb") as file:
            size, place = os.fstat(file.fileno()).st_size, 0
            # A block of somebody else's may stand in front, of 512 bytes or a double.
            while place < size:
                file.seek(place)
                if file.read(len(SIGNATURE)) == SIGNATURE:
                    return True
                place = 2 * place or 512
    except OSError:
        return False
    return False


def check_file(path: Path, member: str = "") -> int:
    """Refuse an HDF5 file that is not safe to read.

    A file is looked through once as long as it stays the same, and never one that this
    process has written.

    Args:
        path: The file.
        member: Name of the HDF5 file in it where it is a zip archive.

    Returns:
        The number of values that its datasets hold.

    Raises:
        InputError: If it is damaged, refers to other files, declares more than it can
            hold, or makes the HDF5 library crash, run for ever or exhaust memory.
    """
    key = _key(path.stat(), member)
    if key not in _known:
        _known[key] = _ask(path, member)
    return _known[key]


def was_checked(descriptor: int) -> bool:
    """Whether an open file is what `check_file` let pass, no other by its name."""
    return _key(os.fstat(descriptor), "") in _known


def mark_verified(path: Path, member: str = "", values: int = 0) -> None:
    """Take a file as good that this process has just written."""
    _known[_key(path.stat(), member)] = values


def forget() -> None:
    """Look through every file anew, also those that this process has written."""
    _known.clear()


def unreadable(path: Path | str, error: object, kind: str = "") -> InputError:
    """Return the one-line error for a file that HDF5 cannot read.

    Args:
        path: The file.
        error: What HDF5 says.
        kind: What the file is instead, if that is known.
    """
    reason = " ".join(str(error).split())
    if "unable to lock file" in reason:
        return InputError(
            f"{path}: is held open by another process, which may be writing it "
            f"({reason}); close it there, or wait for its end."
        )
    if "already open for write" in reason:
        return InputError(
            f"{path}: is marked as open for writing: a process writes it, or was "
            f"killed doing so ({reason}); wait for its end, or try `h5clear -s` on a "
            "copy."
        )
    kind = kind or "another kind of file, truncated or damaged"
    return InputError(
        f"{path}: cannot be read as HDF5, it is {kind} ({reason}); fetch or make it "
        "again."
    )


def _key(state: os.stat_result, member: str) -> tuple[str, ...]:
    facts = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return (member, *map(str, facts))


def _ask(path: Path, member: str) -> int:
    name = f"{path}:{member}" if member else str(path)
    with _lock:
        try:
            answer = _helper().ask(path, member)
        except (OSError, ValueError):  # It had waited too long and left.
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


class _Helper:
    """The process that looks through files; it ends with this one, or when idle."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        path = os.pathsep.join(filter(None, sys.path))
        # It has little to compute, and must not have threads: it forks.
        alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "astrokeras.data.tracers.hdf5_sandbox_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path, **alone},
        )

    def ask(self, path: Path, member: str) -> dict[str, Any]:
        given, taken = self.process.stdin, self.process.stdout
        assert given is not None
        assert taken is not None
        request = json.dumps([os.path.abspath(path), member])
        try:
            given.write(request.encode() + b"\n")
            answer = json.loads(taken.readline())
        except BaseException:
            # Interrupted, it might answer this question when it is asked the next.
            self.process.kill()
            raise
        # The name that the user gave, not the whole path.
        whole = os.path.abspath(path)
        return {
            key: value.replace(whole, str(path), 1) if isinstance(value, str) else value
            for key, value in answer.items()
        }

    def close(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()


def _helper(anew: bool = False) -> _Helper:
    """Return the process of this one, a new one after a fork."""
    if not _helpers or anew or _helpers[-1].owner != os.getpid():
        if _helpers and _helpers[-1].owner == os.getpid():
            _helpers.pop().close()
        _helpers.append(_Helper())
    return _helpers[-1]


@atexit.register
def _close() -> None:
    for helper in _helpers:
        if helper.owner == os.getpid():
            helper.close()
