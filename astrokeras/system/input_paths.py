"""What a path that was given leads to, told before it is opened."""

import os
import re
import stat
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

_URL = re.compile(r"(?i)(https?|ftp|s3|gs|file|sftp|ssh):/")
_LISTED = 10_000
"""Names of a folder among which a similar one is looked for."""
_BEGINNINGS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the data (`git lfs pull`)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "a Feather file",
    b"\x1f\x8b": "compressed with gzip (`gunzip` unpacks it)",
    b"BZh": "compressed with bzip2 (`bunzip2` unpacks it)",
    b"\xfd7zXZ\x00": "compressed with xz (`unxz` unpacks it)",
    b"(\xb5/\xfd": "compressed with zstd (`unzstd` unpacks it)",
    b"7z\xbc\xaf'\x1c": "a 7z archive (unpack it)",
    b"PK\x03\x04": "a zip archive (such as .keras, .npz, .xlsx)",
    b"\x93NUMPY": "a NumPy array",
    b"CDF": "a NetCDF-3 file (`nccopy -k nc4` makes HDF5 of it)",
    b"SIMPLE  =": "a FITS file",
    b"%PDF": "a PDF file",
    b"<!doctype html": "a web page, not the file behind it",
    b"<html": "a web page, not the file behind it",
    **{bytes([0x80, n]): "a pickle, which is never opened" for n in range(2, 6)},
}


def check_input(path: Path, what: str = "file") -> None:
    """Refuse a path that leads to no file that can be read, and say why.

    Args:
        path: As it was given.
        what: What was expected there, such as "file of reactions".

    Raises:
        InputError: If it is a URL, a folder, a pipe or a device, a link to nothing, a
            file that may not be read, or nothing at all.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no such {what}{_absence(path, error)}") from error
    if stat.S_ISDIR(mode):
        raise InputError(
            f"{path}: no such {what}, it is a folder; give the path of a file in it."
        )
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{path}: no such {what}, it is a pipe or a device, which cannot be read "
            "twice; save its content as a file."
        )
    if not os.access(path, os.R_OK):
        raise InputError(
            f"{path}: may not be read (permission denied); ask its owner, or use "
            "`chmod +r`."
        )


def refuse_unexpanded(path: Path) -> None:
    """Refuse a path that begins with a tilde which no shell has replaced.

    Raises:
        InputError: Naming the whole path.
    """
    if path.parts[:1] and path.parts[0].startswith("~") and not os.path.lexists(path):
        whole = os.path.expanduser(path)
        raise InputError(
            f"{path}: '~' is replaced by shells alone, at the beginning of a word; "
            f"give {whole if whole != str(path) else 'the whole path'}."
        )


def content(path: Path) -> str:
    """Return what a file is by its first bytes, empty if they tell nothing."""
    try:
        with open(path, "rb") as file:
            first = file.read(512)
    except OSError:
        return ""
    if not first:
        return "empty (0 bytes)"
    if not first.strip(b"\0"):
        return "nothing but zeros at its beginning, as an unfinished copy leaves it"
    for beginning, kind in _BEGINNINGS.items():
        if first.lstrip().lower().startswith(beginning.lower()):
            return kind
    return ""


def _absence(path: Path, error: OSError | ValueError) -> str:
    """Return why nothing is found under a path, and what to do."""
    refuse_unexpanded(path)
    if _URL.match(str(path)):
        return ": it is a URL; download it, and give the path of the file."
    if isinstance(error, ValueError):
        return ", no path holds a NUL; correct the path."
    if isinstance(error, PermissionError):
        return " may be seen (permission denied); use `chmod +x` on its folder."
    if os.path.islink(path):
        return f", it is a link to {os.readlink(path)}, which is not there; mend it."
    folder = path.parent
    if not os.path.isdir(folder):
        return f", its folder {folder} is not there; check the path."
    try:
        names = sorted(os.listdir(folder))[:_LISTED]
    except OSError:
        names = []
    return suggest(path.name, names, otherwise="; check the path.")
