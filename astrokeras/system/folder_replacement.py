"""Replacement by rename: a kill at any moment leaves the former or the new.

A folder that is written at once takes the name of the former, which is moved beside it
for the moment. A folder that is written for hours keeps what it replaces in
`.astrokeras.replaced` until the new is finished.
"""

import contextlib
import glob
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from astrokeras.system.atomic_files import is_left_behind, partial_name
from astrokeras.system.manifest import (
    EVERYTHING,
    check_folder,
    list_files,
    owned_files,
    prune,
    record,
    remove,
)

KEPT = ".astrokeras.replaced"
MOVING = ".astrokeras.replacing"


@contextmanager
def written_folder(folder: Path, kind: str, *kinds: str) -> Iterator[Path]:
    """Give an empty folder to fill, which takes its name when the block ends well.

    Else it vanishes, and what had the name before is as it was.

    Args:
        folder: The name. A folder that has it is replaced if it holds nothing but
            files of these kinds.
        kind: Of what is written, for its manifest.
        *kinds: Others that may be replaced.

    Raises:
        InputError: As `check_folder`, before and after the block.
    """
    recover(folder)
    if os.path.lexists(folder):
        check_folder(folder, kind, *kinds)
    beside = partial_name(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        record(beside, kind, list_files(beside))
        _sync(beside)
        if os.path.lexists(folder):  # what it holds may have changed meanwhile
            check_folder(folder, kind, *kinds)
            _swap(beside, folder)
        else:
            os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring a folder back that a kill has left under another name, and clean up.

    Of the two renames of a replacement only the first may have happened: then the
    former folder gets its name back. If both have, it is removed.
    """
    gone = not os.path.lexists(folder)
    # A process of another machine cannot be asked whether it still runs.
    for aside in _left(folder.parent, f"{folder.name}.replaced", elsewhere=gone):
        if not os.path.lexists(folder):
            os.rename(aside, folder)
        elif not aside.is_symlink():
            shutil.rmtree(aside, ignore_errors=True)
    for moving in _left(folder, MOVING):
        _move_back(moving, folder)


def set_aside(folder: Path, names: Sequence[str] | None = EVERYTHING) -> None:
    """Move what a folder's manifests name to a folder in it, all of it or nothing.

    What is kept there already was the last to be finished, and stays; the unfinished
    that was to replace it is removed.
    """
    recover(folder)
    kept = folder / KEPT
    if kept.is_dir():
        remove(folder, names)
        return
    paths = owned_files(folder, names)
    if not paths:
        return
    moving = folder / _own_name(MOVING)
    for path in paths:
        to = moving / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, to)
    os.rename(moving, kept)
    prune(folder, paths)


def drop_aside(folder: Path) -> None:
    """Remove what was set aside, now that what replaces it is finished."""
    if not (folder / KEPT).is_symlink():
        shutil.rmtree(folder / KEPT, ignore_errors=True)


def _swap(beside: Path, folder: Path) -> None:
    aside = folder.with_name(_own_name(f"{folder.name}.replaced"))
    os.rename(folder, aside)
    try:
        os.rename(beside, folder)
    except BaseException:
        os.rename(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _move_back(moving: Path, folder: Path) -> None:
    for parent, _, files in os.walk(moving):
        for name in files:
            path = Path(parent, name)
            to = folder / path.relative_to(moving)
            to.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, to)
    shutil.rmtree(moving, ignore_errors=True)


def _left(folder: Path, stem: str, elsewhere: bool = False) -> list[Path]:
    """Return what processes that are no more, or this one, left under such a name."""
    found = sorted(folder.glob(f"{glob.escape(stem)}-*"))
    return [path for path in found if is_left_behind(path.name, stem, elsewhere)]


def _own_name(stem: str) -> str:
    return f"{stem}-{socket.gethostname()}-{os.getpid()}"


def _sync(folder: Path) -> None:
    """Write through to the disk: else a crash of the machine leaves empty files."""
    for name in list_files(folder):
        with contextlib.suppress(OSError), open(folder / name, "rb") as file:
            os.fsync(file.fileno())
