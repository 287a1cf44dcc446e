"""Worker of the HDF5 sandbox: checks files of unknown origin in a process of its own.

`hdf5_sandbox` starts this process, which forks for each file, so that a file that makes
libhdf5 crash or hang harms only the fork. It returns a number or one line of text.
"""

import io
import json
import math
import os
import resource
import select
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from astrokeras.data.tracers.file_format import filters_of, is_readable
from astrokeras.errors import InputError

MEGABYTE = 10**6
CLAIMED_BY_ANY = 64 * MEGABYTE
"""Bytes of values that any file may declare; larger claims are limited by `RATIO`."""
RATIO = 1000
"""Largest ratio of declared to stored bytes; gzip reaches 1032 for constant values."""
LARGEST_ATTRIBUTE = MEGABYTE
LARGEST_CHUNK = 256 * MEGABYTE
LARGEST_MEMBER = 2000 * MEGABYTE
OBJECTS = 100_000
"""Most objects in a file, members of a group or attributes of an object."""
ROBUST = {1, 2, 3}
"""Numbers of the well-tested filters: deflate, shuffle and Fletcher's checksum."""
# gzip unpacks all the data that it finds, even beyond the declared size of a chunk.
INFLATED = 1032
OVERHEAD = 4096
"""Bytes that a filter may add to incompressible values."""
MEMORY = 1000 * MEGABYTE
SECONDS = 2
"""CPU time for each file, in addition to a time in proportion to its size."""
PATIENCE, IDLE = 60, 60
"""Wall-clock seconds for one file, and seconds that the worker waits for the next."""
READ_PER_SECOND = 20 * MEGABYTE

_REMEDY = "copy the data into one new file, or get it from whoever you trust."


def scan(path: Path, member: str = "") -> int:
    """Check an HDF5 file and return the number of values in its datasets.

    Args:
        path: The file.
        member: If the file is a zip archive, the name of the HDF5 file in it.

    Raises:
        InputError: If the file refers to other files, declares more data than it can
            hold, or has excessively large attributes, chunks or counts.
        Exception: Any exception that h5py raises for a damaged file.
    """
    name, size = f"{path}:{member}" if member else str(path), path.stat().st_size
    source: Any = path
    if member:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(member).file_size > LARGEST_MEMBER:
                raise InputError(f"{name}: is larger than 2 GB; {_REMEDY}")
            source = archive.read(member)
        size, source = len(source), io.BytesIO(source)
    _allow(size / READ_PER_SECOND)
    with h5py.File(source, "r") as file:
        result = _FileScan(name, size, read_all=bool(member))
        result.walk(file)
    return result.values


class _FileScan:
    """Walk through all objects of a file that visits each object once."""

    def __init__(self, name: str, size: int, read_all: bool):
        self.name, self.size, self.read_all = name, size, read_all
        self.values = self.claimed = 0

    def walk(self, file: h5py.File) -> None:
        waiting: list[h5py.Group] = [file["/"]]
        seen = {_address(file["/"])}
        while waiting:
            group = waiting.pop()
            self._check_attributes(group)
            self._check_count(group, len(group), "members")
            for key in group:
                item = self._member(group, key)
                if item is None or _address(item) in seen:
                    continue
                seen.add(_address(item))
                self._check_count(file, len(seen), "objects")
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    self._check_attributes(item)
                    self._check_dataset(item)

    def _member(self, group: h5py.Group, key: str) -> Any:
        """Return a hard-linked object; soft links only lead to such objects."""
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise self._refusal(f"{key!r} is a link to the file {link.filename!r}")
        return group[key] if isinstance(link, h5py.HardLink) else None

    def _refusal(self, fault: str, remedy: str = _REMEDY) -> InputError:
        return InputError(f"{self.name}: {fault}; {remedy}")

    def _check_count(self, item: Any, count: int, what: str) -> None:
        if count > OBJECTS:
            raise self._refusal(
                f"{item.name!r} has {count} {what}, more than {OBJECTS}"
            )

    def _check_attributes(self, item: Any) -> None:
        count = h5py.h5a.get_num_attrs(item.id)
        self._check_count(item, count, "attributes")
        for index in range(count):
            attribute = h5py.h5a.open(item.id, index=index)
            key = attribute.name.decode("utf-8", "replace")
            # `get_storage_size` is not used: h5py raises an error where it is 0.
            items = attribute.get_space().get_simple_extent_npoints()
            size = items * attribute.get_type().get_size()
            if size <= LARGEST_ATTRIBUTE:
                # The size of strings of variable length is known only after reading.
                size = _text_size(item.attrs[key])
            if size > LARGEST_ATTRIBUTE:
                raise self._refusal(
                    f"attribute {key!r} of {item.name!r} takes {size} bytes, more than "
                    f"{LARGEST_ATTRIBUTE}",
                    "remove it.",
                )

    def _check_dataset(self, dataset: h5py.Dataset) -> None:
        if dataset.is_virtual or dataset.external:
            raise self._refusal(f"dataset {dataset.name!r} is stored in other files")
        if dataset.shape is None:
            return
        claimed = dataset.size * _item_size(dataset)
        self.values += dataset.size
        self.claimed += claimed
        if self.claimed > max(CLAIMED_BY_ANY, RATIO * self.size):
            raise self._refusal(
                f"dataset {dataset.name!r} claims shape {dataset.shape}, {claimed} "
                f"bytes, more than a file of {self.size} bytes can hold"
            )
        unusual = self._check_chunks(dataset)
        if not dataset.size or not is_readable(dataset):
            return
        read_all = unusual or self.read_all or h5py.check_string_dtype(dataset.dtype)
        if dataset.ndim and read_all:
            _allow(claimed / READ_PER_SECOND)
            _read_all(dataset)
        else:
            for index in (0, -1):
                dataset[(index,) * dataset.ndim]

    def _check_chunks(self, dataset: h5py.Dataset) -> bool:
        """Return whether decompressing its chunks may be harmful."""
        if dataset.chunks is None:
            return False
        chunk = math.prod(dataset.chunks) * _item_size(dataset)
        if chunk > LARGEST_CHUNK:
            raise self._refusal(
                f"dataset {dataset.name!r} has chunks of {chunk} bytes, more than "
                f"{LARGEST_CHUNK}",
                "write it with smaller ones.",
            )
        stored: list[int] = []
        dataset.id.chunk_iter(lambda info: stored.append(info.size))
        if sum(stored) > self.size:
            raise self._refusal(
                f"dataset {dataset.name!r} has chunks of {sum(stored)} bytes in a file "
                f"of {self.size}"
            )
        if max(stored, default=0) > 1.01 * chunk + OVERHEAD:
            raise self._refusal(
                f"dataset {dataset.name!r} has a chunk of {max(stored)} bytes for "
                f"{chunk} bytes of values"
            )
        filters = set(filters_of(dataset))
        large = max(stored, default=0) * INFLATED > MEMORY
        return bool(filters - ROBUST) or (bool(filters) and large)


def _address(item: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _text_size(value: Any) -> int:
    """Return the bytes of the text in an attribute, 0 if it holds none."""
    values = value.ravel() if isinstance(value, np.ndarray) else [value]
    return sum(len(text) for text in values if isinstance(text, str | bytes))


def _item_size(dataset: h5py.Dataset) -> int:
    """Return the bytes of a value; for variable length, those of its address."""
    return dataset.id.get_type().get_size()


def _read_all(dataset: h5py.Dataset) -> None:
    rows = LARGEST_CHUNK * len(dataset) // max(1, 4 * dataset.nbytes)
    rows = max(1, min(rows, 65536))
    for first in range(0, len(dataset), rows):
        dataset[first : first + rows]


def _allow(seconds: float) -> None:
    """Raise the limit of CPU time by `seconds`, plus a margin."""
    if _limited:
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # User and system.
        _limit(resource.RLIMIT_CPU, math.ceil(used + SECONDS + seconds))


_limited = False


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, hard))


def serve() -> None:
    """Answer each request `[path, member]` on stdin with a line of JSON on stdout.

    A forked process with limited resources checks the file; h5py is imported once. The
    answer has one key: `values`, `refused`, `damaged`, or `died` with the signal.
    """
    for line in _lines(sys.stdin.fileno()):
        path, member = json.loads(line)
        answer = json.dumps(_scan_in_fork(Path(path), member))
        os.write(sys.stdout.fileno(), answer.encode() + b"\n")


def _lines(source: int) -> Iterator[bytes]:
    """Yield lines until the sender closes the pipe or is idle for too long."""
    rest = b""
    while select.select([source], [], [], IDLE)[0]:
        read = os.read(source, 65536)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        yield from lines


def _scan_in_fork(path: Path, member: str) -> dict[str, Any]:
    """Check a file in a forked process and return its answer."""
    end, begin = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(begin, json.dumps(_scan_limited(path, member)).encode())
        finally:
            os._exit(0)
    os.close(begin)
    size = path.stat().st_size if path.exists() else 0
    answer, until = b"", time.monotonic() + PATIENCE + size / READ_PER_SECOND
    while select.select([end], [], [], max(0.0, until - time.monotonic()))[0]:
        read = os.read(end, 65536)
        if not read:
            break
        answer += read
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(end)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return {"died": signal.Signals(os.WTERMSIG(status)).name}
    return json.loads(answer) if answer else {"died": "without a word"}


def _scan_limited(path: Path, member: str) -> dict[str, Any]:
    global _limited
    _limited = True
    # The process may write neither files nor core dumps, only its answer to the pipe.
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, MEMORY)
    try:
        return {"values": scan(path, member)}
    except InputError as error:
        return {"refused": str(error)}
    except Exception as error:  # A hostile file can make h5py raise any exception.
        reason = " ".join(str(error).split()) or type(error).__name__
        return {"damaged": reason[:300]}


if __name__ == "__main__":
    serve()
