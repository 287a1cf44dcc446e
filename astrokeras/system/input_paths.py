"""Checks of input paths before a file is opened, and recognition of file kinds."""

import os
import re
import stat
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

_URL = re.compile(r"(?i)(https?|ftp|s3|gs|file|sftp|ssh):/")
_LISTED = 10_000
"""Largest number of names in a folder that are searched for a similar name."""
HDF5, PARQUET, GZIP = b"\x89HDF\r\n\x1a\n", b"PAR1", b"\x1f\x8b"
_SIGNATURES = {
    b"version https://git-lfs": "a pointer of Git LFS, not the data (`git lfs pull`)",
    HDF5: "an HDF5 file",
    PARQUET: "a Parquet file",
    b"ARROW1": "a Feather file",
    GZIP: "compressed with gzip (`gunzip` unpacks it)",
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
    """Raise InputError, with the reason, if a path does not lead to a readable file.

    Args:
        path: The path as the user gave it.
        what: The expected kind of file, such as "file of reactions".

    Raises:
        InputError: If it is a URL, a folder, a pipe or a device, a broken link, a
            file without read permission, or does not exist.
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
            f"{path}: no such {what}, it is a pipe or a device, which can be read only "
            "once; save its content as a file."
        )
    if not os.access(path, os.R_OK):
        raise InputError(
            f"{path}: cannot be read (permission denied); ask its owner, or use "
            "`chmod +r`."
        )


def refuse_unexpanded(path: Path) -> None:
    """Raise InputError if a path begins with a tilde that the shell did not expand.

    Raises:
        InputError: The message names the expanded path.
    """
    if path.parts[:1] and path.parts[0].startswith("~") and not os.path.lexists(path):
        whole = os.path.expanduser(path)
        raise InputError(
            f"{path}: only shells expand '~', at the beginning of a word; give "
            f"{whole if whole != str(path) else 'the whole path'}."
        )


def content(path: Path) -> str:
    """Return the kind of a file by its first bytes, empty if it is unknown."""
    try:
        with open(path, "rb") as file:
            first = file.read(512)
    except OSError:
        return ""
    if not first:
        return "empty (0 bytes)"
    if not first.strip(b"\0"):
        return "all zeros at its beginning, like an unfinished copy"
    for signature, kind in _SIGNATURES.items():
        if first.lstrip().lower().startswith(signature.lower()):
            return kind
    return ""


def _absence(path: Path, error: OSError | ValueError) -> str:
    """Return the reason why a path was not found, and the remedy."""
    refuse_unexpanded(path)
    if _URL.match(str(path)):
        return ": it is a URL; download it, and give the path of the file."
    if isinstance(error, ValueError):
        return ", a path cannot contain a NUL character; correct the path."
    if isinstance(error, PermissionError):
        return " is accessible (permission denied); use `chmod +x` on its folder."
    if os.path.islink(path):
        return f", it is a link to {os.readlink(path)}, which is missing; correct it."
    folder = path.parent
    if not os.path.isdir(folder):
        return f", its folder {folder} does not exist; check the path."
    try:
        names = sorted(os.listdir(folder))[:_LISTED]
    except OSError:
        names = []
    return suggest(path.name, names, otherwise="; check the path.")
