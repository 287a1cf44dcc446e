"""Lock of a folder, which keeps out other processes."""

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
# Errors of file systems without locks, on which other processes are not kept out.
UNKNOWN = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes while the block runs.

    The file `.lock` in it shows the number of the process and its host. The lock itself
    belongs to the kernel (`flock`), which releases it when the process ends in any way:
    a lock file that a killed process left behind has no effect.

    The folder is created, and removed again if nothing was written to it.

    Raises:
        InputError: If another process holds the lock, or the folder is not writable.
        OSError: Errors of the block; the error of a full disk names the folder.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        lock = _acquire(folder)
    except OSError as error:
        if error.errno not in FORBIDDEN:
            raise
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another "
            "folder, or change its permissions."
        ) from error
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(folder)
        raise
    finally:
        # Removed while locked: a process that waits for it sees that it is gone.
        with contextlib.suppress(OSError):
            (folder / NAME).unlink()
        os.close(lock)
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def _acquire(folder: Path) -> int:
    """Return the open lock file of a folder, locked."""
    path = folder / NAME
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # Its last holder has just removed the folder.
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
        os.close(lock)  # The file was removed between opening and locking.
    content = os.pread(lock, 1000, 0).decode(errors="replace")
    if content and not OURS.fullmatch(content):
        os.close(lock)
        raise in_the_way(path)
    with contextlib.suppress(OSError):  # On a full disk the lock is still held.
        os.truncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return lock


def in_the_way(path: Path) -> InputError:
    """Return the error for a foreign file in place of one that must be written."""
    return InputError(
        f"{path}: is in the way and was not written by astrokeras; move it away, or "
        "choose another folder."
    )


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.stat(path))
    except FileNotFoundError:
        return False
