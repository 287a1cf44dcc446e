"""Atomic files: written under a temporary name, then renamed; and safe readers."""

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.input_paths import refuse_unexpanded

LARGEST_TEXT = 64 * 2**20
"""Largest text file that is read at once, bytes: JSON of a run, initial abundances."""


def check_out(path: Path, given: Path, overwrite: bool) -> None:
    """Raise InputError if an output file cannot or must not be written.

    Call it before the work that produces the file.

    Args:
        path: The file to write.
        given: The input file, which is never replaced.
        overwrite: Whether an existing file may be replaced.

    Raises:
        InputError: If there is a directory or a file of this name, or no file can be
            created there.
    """
    refuse_unexpanded(path)
    # The methods of `Path` raise an error in a directory without search permission.
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
            f"{path}: cannot be written, {folder} is not a writable directory; give "
            "another name."
        )


def check_space(path: Path, size: int) -> None:
    """Raise OSError if the disk has too little space for a file.

    On a full disk HDF5 fails again for each object that it closes.

    Args:
        path: The file to write, in an existing folder.
        size: Largest size of the file, bytes; another megabyte must stay free.

    Raises:
        OSError: ENOSPC, naming the file.
    """
    if shutil.disk_usage(path.parent).free < size + 2**20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def partial_name(path: Path) -> Path:
    """Return the temporary name under which this process writes a file or folder.

    Temporary files and folders of killed processes are removed.
    """
    stem = f"{path.name}.partial"
    for old in path.parent.glob(f"{glob.escape(stem)}-*"):
        number = old.name.rpartition("-")[2].removesuffix(path.suffix)
        own = number == str(os.getpid())
        if not own and is_left_behind(old.name.removesuffix(path.suffix), stem):
            discard(old)
    # Keras requires the suffix of its files.
    return path.with_name(f"{own_name(stem)}{path.suffix}")


def own_name(stem: str) -> str:
    """Return the name `STEM-HOST-PROCESS` of a file that belongs to this process."""
    return f"{stem}-{socket.gethostname()}-{os.getpid()}"


def is_left_behind(name: str, stem: str, elsewhere: bool = False) -> bool:
    """Return whether a name `STEM-HOST-PROCESS` belongs to an ended or this process.

    Args:
        name: The name.
        stem: Its beginning.
        elsewhere: The answer for processes on other machines.
    """
    host, _, number = name.removeprefix(f"{stem}-").rpartition("-")
    if not (host and number.isdigit()):
        return False
    if host != socket.gethostname():
        return elsewhere
    return int(number) == os.getpid() or not _runs(int(number))


def discard(path: Path) -> None:
    """Remove a file, a link, or a folder, without following links."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Write a file through to the disk, so that a crash leaves no empty file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file, which is renamed if the block succeeds.

    If the block fails, the temporary file is removed and an existing file stays.

    Raises:
        OSError: If the file cannot be written; the error names it.
    """
    beside = partial_name(path)
    try:
        yield beside
        sync(beside)
        os.replace(beside, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name if the block succeeds."""
    with written_beside(path) as beside:
        with open(beside, "wb") as file:
            yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If the text is not JSON, or nested too deeply for Python.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file that this package has written.

    Args:
        path: The file.
        remedy: The remedy for an invalid file, for the message.

    Raises:
        InputError: If the file is too large, or does not hold a JSON object.
    """
    found = None
    if path.stat().st_size <= LARGEST_TEXT:
        with contextlib.suppress(ValueError):
            found = parse_json(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, dict):
        raise InputError(f"{path}: is not a JSON object; {remedy}.")
    return found


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed .npz file."""
    with whole_file(path) as file:
        # NumPy 2.0 would treat `allow_pickle` as one of the arrays.
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an uncompressed .npz file, whose sizes are checked.

    Raises:
        InputError: If it is not an .npz file, is damaged or compressed, or holds
            Python objects, which are never unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                member.filename.removesuffix(".npy"): _read_member(archive, member)
                for member in archive.infolist()
            }
    # zipfile and NumPy raise many kinds of exceptions for damaged files.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: holds no readable arrays ({reason}); remove it, or create it "
            "again."
        ) from error


def read_array(path: Path) -> np.ndarray:
    """Return the array of a .npy file, whose size is checked.

    Raises:
        ValueError: If it is not a .npy file, or holds Python objects.
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        return _read_array(file, path.stat().st_size)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    if member.file_size != member.compress_size:
        raise ValueError(f"{member.filename} claims {member.file_size} bytes")
    with archive.open(member) as file:
        return _read_array(file, member.file_size)


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Return an array whose header agrees with the number of bytes that follow."""
    layout = np.lib.format
    version = layout.read_magic(file)
    headers = {
        (1, 0): layout.read_array_header_1_0,
        (2, 0): layout.read_array_header_2_0,
    }
    if version not in headers:
        raise ValueError(f"it has the unknown version {version}")
    shape, _, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects are never unpickled")
    claimed = dtype.itemsize * math.prod(shape)
    if claimed != size - file.tell():
        raise ValueError(f"it claims {claimed} bytes of {size}")
    file.seek(0)
    return layout.read_array(file, allow_pickle=False)
