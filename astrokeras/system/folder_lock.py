"""One process at a time in a folder that two would damage."""

import contextlib
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astrokeras.errors import InputError

NAME = ".lock"
OURS = re.compile(r"process \d+ on .*\s*")
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What file systems say that know no locks; there nothing keeps others out.
UNKNOWN = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs.

    The file `.lock` in it holds the number of the process and its host, for people. The
    lock itself is the kernel's (`flock`), which lets go of it when a process ends,
    however it ends: a lock file that a killed process left behind locks nothing.

    The folder is made, and removed again if nothing was written to it.

    Raises:
        InputError: If another process holds it, or nothing can be written there.
        OSError: What the block raises; if it is of a full disk, it names the folder.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        lock = _acquire(folder)
    except OSError as error:
        if error.errno not in FORBIDDEN:
            raise
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another place, "
            "or change its permissions."
        ) from error
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(folder)
        raise
    finally:
        # Still locked: whoever waits for this very file sees that it is gone.
        with contextlib.suppress(OSError):
            (folder / NAME).unlink()
        os.close(lock)
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()


def _acquire(folder: Path) -> int:
    """Return the open lock file of a folder, locked."""
    path = folder / NAME
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its last holder removed the folder just now
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 1000).decode(errors="replace").strip()
            os.close(lock)
            raise InputError(
                f"{folder}: {holder or 'another process'} is working on it; wait for "
                "it or end it, or choose another name."
            ) from None
        except OSError as error:
            if error.errno not in UNKNOWN:
                os.close(lock)
                raise
        if _is_at(lock, path):
            break
        os.close(lock)  # it was removed between opening and locking
    content = os.pread(lock, 1000, 0).decode(errors="replace")
    if content and not OURS.fullmatch(content):
        os.close(lock)
        raise InputError(
            f"{path}: is in the way and was not written by astrokeras; move it "
            "away, or choose another folder."
        )
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.truncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return lock


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.stat(path))
    except FileNotFoundError:
        return False
