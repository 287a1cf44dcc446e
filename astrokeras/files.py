"""Writing whole files or none: beside the final name, then renamed."""

import errno
import glob
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from astrokeras.errors import InputError


def check_out(path: Path, given: Path, overwrite: bool) -> None:
    """Refuse a file that cannot or must not be written, before work is spent on it.

    Args:
        path: The file to write.
        given: The file that is read meanwhile; it is never replaced.
        overwrite: Whether another file may be replaced.

    Raises:
        InputError: If there is a directory or a file of this name, or no file can be
            made there.
    """
    # Not those of `Path`: they raise where a directory must not be searched.
    if os.path.isdir(path):
        raise InputError(f"{path}: is a directory; give the name of a file.")
    if os.path.exists(path):
        if os.path.exists(given) and os.path.samefile(path, given):
            raise InputError(f"{path}: is the input itself; give another name.")
        if not overwrite:
            raise InputError(f"{path}: exists; give another name or --overwrite.")
    folder = path.absolute().parent
    while not os.path.exists(folder):
        folder = folder.parent
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(
            f"{path}: cannot be written, {folder} is not a directory that files can "
            "be made in; give another name."
        )


def check_space(path: Path, size: int) -> None:
    """Refuse to write where the disk is about to be full.

    HDF5 does not end well there: it fails again for each object that it closes.

    Args:
        path: What will be written, in a folder that exists.
        size: Bytes that it may take; a megabyte is left for what else is written.

    Raises:
        OSError: As the system's own, naming the file.
    """
    if shutil.disk_usage(path.parent).free < size + 2**20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def partial_name(path: Path) -> Path:
    """Return the name beside a file's that this process writes it under.

    Such files of processes that are no more, because they were killed, are removed.
    """
    host = socket.gethostname()
    stem = f"{path.name}.partial-{host}-"
    for old in path.parent.glob(f"{glob.escape(stem)}*"):
        number = old.name.removeprefix(stem).removesuffix(path.suffix)
        if number.isdigit() and not _runs(int(number)):
            old.unlink(missing_ok=True)
    # Keras wants the suffix of its own files.
    return path.with_name(f"{stem}{os.getpid()}{path.suffix}")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a name to write a file under, which takes its own when the block ends well.

    Else it vanishes, and what had the name before is as it was.

    Raises:
        OSError: If it cannot be written; the error names the file.
    """
    beside = partial_name(path)
    try:
        yield beside
        # Without this a crash of the machine could leave a name without content.
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends well, and else vanishes."""
    with written_beside(path) as beside:
        with open(beside, "wb") as file:
            yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed .npz file."""
    with whole_file(path) as file:
        # NumPy 2.0 would take `allow_pickle` for one of the arrays.
        np.savez(file, **arrays)  # type: ignore[arg-type]
