"""Looks through an HDF5 file of unknown origin for what must not be read.

`guard` runs this as a process of its own, which forks for each file: what makes libhdf5
crash or run for ever does so there.  All that comes back is a number or a line.
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

from astrokeras.errors import InputError

MEGABYTE = 10**6
CLAIMED_BY_ANY = 64 * MEGABYTE
"""Values that any file may declare; more must stand in proportion to its size."""
RATIO = 1000
"""Declared bytes for each stored one: gzip reaches 1032 with constant values."""
LARGEST_ATTRIBUTE = MEGABYTE
LARGEST_CHUNK = 256 * MEGABYTE
LARGEST_MEMBER = 2000 * MEGABYTE
OBJECTS = 100_000
"""Objects of a file, members of a group, attributes of an object."""
ROBUST = {1, 2, 3}
"""Filters whose code has held for decades: deflate, shuffle, Fletcher's checksum."""
# gzip unpacks as much as there is, whatever size the chunk should have.
INFLATED = 1032
OVERHEAD = 4096
"""Bytes that a filter may add to values which it cannot make smaller."""
MEMORY = 1000 * MEGABYTE
SECONDS = 2
"""Of computing, beside what the size of a file allows."""
PATIENCE, IDLE = 60, 60
"""Seconds that one file may take in all, and that the process waits for the next."""
READ_PER_SECOND = 20 * MEGABYTE

_REMEDY = "copy the data into one new file, or get it from whoever you trust."


def scan(path: Path, member: str = "") -> int:
    """Look through an HDF5 file.

    Args:
        path: The file.
        member: Name of the HDF5 file in it where it is a zip archive.

    Returns:
        The number of values that its datasets hold.

    Raises:
        InputError: If it refers to other files, declares more than it can hold, or
            has attributes, chunks or counts beyond any use.
        Exception: Whatever h5py raises for a file that is damaged.
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
        one = _Scan(name, size, whole=bool(member))
        one.walk(file)
    return one.values


class _Scan:
    """One pass through all objects of a file, each but once."""

    def __init__(self, name: str, size: int, whole: bool):
        self.name, self.size, self.whole = name, size, whole
        self.values = self.claimed = 0

    def walk(self, file: h5py.File) -> None:
        waiting: list[h5py.Group] = [file["/"]]
        seen = {_place(file["/"])}
        while waiting:
            group = waiting.pop()
            self._check_attributes(group)
            self._check_count(group, len(group), "members")
            for key in group:
                one = self._member(group, key)
                if one is None or _place(one) in seen:
                    continue
                seen.add(_place(one))
                self._check_count(file, len(seen), "objects")
                if isinstance(one, h5py.Group):
                    waiting.append(one)
                elif isinstance(one, h5py.Dataset):
                    self._check_attributes(one)
                    self._check_dataset(one)

    def _member(self, group: h5py.Group, key: str) -> Any:
        """Return what lies in the file itself; a soft link leads to such a thing."""
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise InputError(
                f"{self.name}: {key!r} is a link to the file {link.filename!r}; "
                f"{_REMEDY}"
            )
        return group[key] if isinstance(link, h5py.HardLink) else None

    def _check_count(self, one: Any, count: int, what: str) -> None:
        if count > OBJECTS:
            raise InputError(
                f"{self.name}: {one.name!r} has {count} {what}, more than {OBJECTS}; "
                f"{_REMEDY}"
            )

    def _check_attributes(self, one: Any) -> None:
        count = h5py.h5a.get_num_attrs(one.id)
        self._check_count(one, count, "attributes")
        for index in range(count):
            attribute = h5py.h5a.open(one.id, index=index)
            key = attribute.name.decode("utf-8", "replace")
            # Its storage size: h5py raises where that is nothing.
            items = attribute.get_space().get_simple_extent_npoints()
            size = items * attribute.get_type().get_size()
            if size <= LARGEST_ATTRIBUTE:
                # Strings of variable length lie elsewhere: only reading tells.
                size = _text_size(one.attrs[key])
            if size > LARGEST_ATTRIBUTE:
                raise InputError(
                    f"{self.name}: attribute {key!r} of {one.name!r} takes {size} "
                    f"bytes, more than {LARGEST_ATTRIBUTE}; remove it."
                )

    def _check_dataset(self, dataset: h5py.Dataset) -> None:
        if dataset.is_virtual or dataset.external:
            raise InputError(
                f"{self.name}: dataset {dataset.name!r} is stored in other files; "
                f"{_REMEDY}"
            )
        if dataset.shape is None:
            return
        claimed = dataset.size * _item_size(dataset)
        self.values += dataset.size
        self.claimed += claimed
        if self.claimed > max(CLAIMED_BY_ANY, RATIO * self.size):
            raise InputError(
                f"{self.name}: dataset {dataset.name!r} claims shape {dataset.shape}, "
                f"{claimed} bytes, more than a file of {self.size} bytes can hold; "
                f"{_REMEDY}"
            )
        unusual = self._check_chunks(dataset)
        if not dataset.size or not _is_readable(dataset):
            return
        if unusual or self.whole or h5py.check_string_dtype(dataset.dtype):
            _allow(claimed / READ_PER_SECOND)
            _read_all(dataset)
        else:
            for place in (0, -1):
                dataset[(place,) * dataset.ndim]

    def _check_chunks(self, dataset: h5py.Dataset) -> bool:
        """Whether its chunks need unpacking that may do harm."""
        if dataset.chunks is None:
            return False
        chunk = math.prod(dataset.chunks) * _item_size(dataset)
        if chunk > LARGEST_CHUNK:
            raise InputError(
                f"{self.name}: dataset {dataset.name!r} has chunks of {chunk} bytes, "
                f"more than {LARGEST_CHUNK}; write it with smaller ones."
            )
        stored: list[int] = []
        dataset.id.chunk_iter(lambda info: stored.append(info.size))
        if sum(stored) > self.size:
            raise InputError(
                f"{self.name}: dataset {dataset.name!r} has chunks of {sum(stored)} "
                f"bytes in a file of {self.size}; {_REMEDY}"
            )
        if max(stored, default=0) > 1.01 * chunk + OVERHEAD:
            raise InputError(
                f"{self.name}: dataset {dataset.name!r} has a chunk of {max(stored)} "
                f"bytes for {chunk} bytes of values; {_REMEDY}"
            )
        filters = _filters(dataset)
        large = max(stored, default=0) * INFLATED > MEMORY
        return bool(filters - ROBUST) or (bool(filters) and large)


def _place(one: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(one.id)
    return info.fileno, info.addr


def _text_size(value: Any) -> int:
    """Return the bytes of an attribute's text, 0 of all else."""
    values = value.ravel() if isinstance(value, np.ndarray) else [value]
    return sum(len(one) for one in values if isinstance(one, str | bytes))


def _item_size(dataset: h5py.Dataset) -> int:
    """Return the bytes of a value; of one of variable length those of its address."""
    return dataset.id.get_type().get_size()


def _filters(dataset: h5py.Dataset) -> set[int]:
    properties = dataset.id.get_create_plist()
    return {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}


def _is_readable(dataset: h5py.Dataset) -> bool:
    """Whether its values are numbers or text, and its filters are installed.

    Nothing else is ever read: not pickled objects, and not references.
    """
    kind = dataset.dtype
    if kind.kind == "O" and not h5py.check_string_dtype(kind):
        return False
    filters = _filters(dataset)
    if not all(map(h5py.h5z.filter_avail, filters)):
        try:
            import hdf5plugin  # noqa: F401  Its import registers more filters.
        except ImportError:
            return False
    return all(map(h5py.h5z.filter_avail, filters))


def _read_all(dataset: h5py.Dataset) -> None:
    if not dataset.ndim:
        dataset[()]
        return
    rows = max(1, LARGEST_CHUNK * len(dataset) // max(1, 4 * dataset.nbytes))
    rows = min(rows, 65536)
    for first in range(0, len(dataset), rows):
        dataset[first : first + rows]


def _allow(seconds: float) -> None:
    """Let the process compute for so many seconds more, and some."""
    if not _limited:
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    total = math.ceil(spent.ru_utime + spent.ru_stime + SECONDS + seconds)
    _limit(resource.RLIMIT_CPU, total)


_limited = False


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, hard))


def serve() -> None:
    """Answer requests on stdin, `[path, member]`, with a line of JSON on stdout each.

    A forked process, under limits, looks through the file; h5py is imported once. The
    answer has one key: `values`, `refused`, `damaged`, or `died` with how it did.
    """
    for line in _lines(sys.stdin.fileno()):
        path, member = json.loads(line)
        answer = json.dumps(_ask_fork(Path(path), member))
        os.write(sys.stdout.fileno(), answer.encode() + b"\n")


def _lines(source: int) -> Iterator[bytes]:
    """Yield lines until nobody sends them any more."""
    rest = b""
    while select.select([source], [], [], IDLE)[0]:
        read = os.read(source, 65536)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        yield from lines


def _ask_fork(path: Path, member: str) -> dict[str, Any]:
    end, begin = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(begin, json.dumps(_scan_limited(path, member)).encode())
        finally:
            os._exit(0)
    os.close(begin)
    answer, until = b"", time.monotonic() + PATIENCE + _size(path) / READ_PER_SECOND
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


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _scan_limited(path: Path, member: str) -> dict[str, Any]:
    global _limited
    _limited = True
    # No file is written, and no core: only the answer leaves this process.
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, MEMORY)
    try:
        return {"values": scan(path, member)}
    except InputError as error:
        return {"refused": str(error)}
    except Exception as error:  # A hostile file can make the reader raise anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        return {"damaged": reason[:300]}


if __name__ == "__main__":
    serve()
