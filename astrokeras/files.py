"""Writing whole files or none: beside the final name, then renamed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np


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
