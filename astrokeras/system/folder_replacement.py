"""Replacement of folders by rename: a kill at any time leaves the old or the new one.

A folder that is written in one go takes the name of the old folder, which is renamed
for a moment. A folder that is written for hours keeps the replaced files in
`.astrokeras.replaced` until the new files are complete.
"""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from astrokeras.system.atomic_files import is_left_behind, own_name, partial_name, sync
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
    """Yield an empty folder, which is renamed to `folder` if the block succeeds.

    If the block fails, the new folder is removed and an existing folder stays.

    Args:
        folder: The final name. An existing folder is replaced if it holds only files
            of the given kinds.
        kind: Kind of the new files, for the manifest.
        *kinds: Other kinds of files that may be replaced.

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
        if os.path.lexists(folder):  # Its content may have changed in the meantime.
            check_folder(folder, kind, *kinds)
            _swap(beside, folder)
        else:
            os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Restore a folder that a killed process left under another name, and clean up.

    If only the first of the two renames of a replacement happened, the old folder gets
    its name back. If both happened, the old folder is removed.
    """
    gone = not os.path.lexists(folder)
    # It is unknown whether a process on another machine still runs.
    for aside in _left(folder.parent, f"{folder.name}.replaced", elsewhere=gone):
        if not os.path.lexists(folder):
            os.rename(aside, folder)
        elif not aside.is_symlink():
            shutil.rmtree(aside, ignore_errors=True)
    for moving in _left(folder, MOVING):
        _move_back(moving, folder)


def set_aside(folder: Path, names: Sequence[str] | None = EVERYTHING) -> None:
    """Move all files that the manifests of a folder list to a subfolder, or none.

    If the subfolder exists, it holds the last complete files and stays; the unfinished
    files that were to replace them are removed.
    """
    recover(folder)
    kept = folder / KEPT
    if kept.is_dir():
        remove(folder, names)
        return
    paths = owned_files(folder, names)
    if not paths:
        return
    moving = folder / own_name(MOVING)
    for path in paths:
        to = moving / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, to)
    os.rename(moving, kept)
    prune(folder, paths)


def drop_aside(folder: Path) -> None:
    """Remove the files that were set aside, after their replacement is complete."""
    if not (folder / KEPT).is_symlink():
        shutil.rmtree(folder / KEPT, ignore_errors=True)


def _swap(beside: Path, folder: Path) -> None:
    aside = folder.with_name(own_name(f"{folder.name}.replaced"))
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
    """Return the paths with this stem that ended processes, or this process, left."""
    found = sorted(folder.glob(f"{glob.escape(stem)}-*"))
    return [path for path in found if is_left_behind(path.name, stem, elsewhere)]


def _sync(folder: Path) -> None:
    """Write all files of a folder through to the disk, as far as possible."""
    for name in list_files(folder):
        with contextlib.suppress(OSError):
            sync(folder / name)
