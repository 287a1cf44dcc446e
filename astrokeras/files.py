"""Writing whole files or none: beside the final name, then renamed."""

import os
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


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends well, and else vanishes."""
    beside = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            # Without this a crash of the machine could leave a name without content.
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed .npz file."""
    with whole_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
