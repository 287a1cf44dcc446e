"""Writing whole files or none: beside the final name, then renamed."""

import contextlib
import errno
import glob
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
"""Bytes of a text file that is read at once: JSON of a run, initial abundances."""


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
    refuse_unexpanded(path)
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

    Such files, or folders, of processes that were killed are removed.
    """
    stem = f"{path.name}.partial"
    for old in path.parent.glob(f"{glob.escape(stem)}-*"):
        number = old.name.rpartition("-")[2].removesuffix(path.suffix)
        own = number == str(os.getpid())
        if not own and is_left_behind(old.name.removesuffix(path.suffix), stem):
            discard(old)
    # Keras wants the suffix of its own files.
    return path.with_name(f"{stem}-{socket.gethostname()}-{os.getpid()}{path.suffix}")


def is_left_behind(name: str, stem: str, elsewhere: bool = False) -> bool:
    """Whether a name, `STEM-HOST-PROCESS`, is of a process that is no more, or of ours.

    Args:
        name: The name.
        stem: How it begins.
        elsewhere: What is said of processes on other machines.
    """
    host, _, number = name.removeprefix(f"{stem}-").rpartition("-")
    if not (host and number.isdigit()):
        return False
    if host != socket.gethostname():
        return elsewhere
    return int(number) == os.getpid() or not _runs(int(number))


def discard(path: Path) -> None:
    """Remove a file, a link, or a folder; what links lead to stays."""
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


@contextlib.contextmanager
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


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends well, and else vanishes."""
    with written_beside(path) as beside:
        with open(beside, "wb") as file:
            yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def parse_json(text: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: If it is no JSON, or nested beyond what Python takes.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file that this package writes.

    Args:
        path: The file.
        remedy: What to do about a wrong one, for the message.

    Raises:
        InputError: If it is larger than any such file, or holds no JSON object.
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
        # NumPy 2.0 would take `allow_pickle` for one of the arrays.
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an uncompressed .npz file, none larger than its file.

    Raises:
        InputError: If it is no such file, a damaged or a compressed one, or holds
            Python objects, which are never unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                member.filename.removesuffix(".npy"): _read_member(archive, member)
                for member in archive.infolist()
            }
    # zipfile and NumPy raise almost anything for damaged files.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: holds no arrays that can be read ({reason}); remove it, or make "
            "it again."
        ) from error


def read_array(path: Path) -> np.ndarray:
    """Read the array of a .npy file, no larger than its file.

    Raises:
        ValueError: If it is no such file, or holds Python objects.
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
    """Read an array whose header agrees with the bytes that follow it."""
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
