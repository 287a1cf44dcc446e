"""Builds files that mean harm, of real ones."""

import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


class Trap:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def remake(
    source: Path,
    out: Path,
    config: Callable[[dict[str, Any]], Any] | None = None,
    weights: Path | bytes | None = None,
    more: dict[str | zipfile.ZipInfo, bytes] | None = None,
    **compression: int,
) -> Path:
    """Write a `.keras` file again with another configuration, weights or members.

    `config` changes what `config.json` holds, or returns the bytes to write.
    """
    with zipfile.ZipFile(source) as whole:
        members = {name: whole.read(name) for name in MEMBERS}
    if config is not None:
        stored = json.loads(members["config.json"])
        changed = config(stored)
        if not isinstance(changed, bytes):
            changed = json.dumps(stored).encode()
        members["config.json"] = changed
    if weights is not None:
        raw = weights if isinstance(weights, bytes) else weights.read_bytes()
        members["model.weights.h5"] = raw
    with zipfile.ZipFile(out, "w", **compression) as archive:
        for name, content in [*members.items(), *(more or {}).items()]:
            archive.writestr(name, content)
    return out


def weights_of(source: Path, out: Path) -> Path:
    """Write the HDF5 file of weights that a `.keras` file holds."""
    with zipfile.ZipFile(source) as archive:
        out.write_bytes(archive.read("model.weights.h5"))
    return out


def replace(path: Path, name: str, **storage: Any) -> None:
    """Make a dataset again with the same shape and type, stored in another way."""
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype, **storage)


def inflate(path: Path, name: str, size: int) -> None:
    """Put a chunk into a dataset that unpacks to `size` bytes, whatever its shape."""
    with h5py.File(path, "r+") as file:
        dataset = file[name]
        assert dataset.compression == "gzip"
        packer = zlib.compressobj(9)
        zeros = bytes(2**20)
        packed = b"".join(packer.compress(zeros) for _ in range(size // len(zeros)))
        first = (0,) * dataset.ndim
        dataset.id.write_direct_chunk(first, packed + packer.flush())


def claim(path: Path, tracers: int) -> None:
    """Let a tracer file claim so many tracers, stored nowhere."""
    with h5py.File(path, "r+") as file:
        for name in ("abundances", "physical", "time", "length", "tracer"):
            file[name].resize(tracers, axis=0)
        for name in ("simulation", "split"):
            if name in file:
                file[name].resize(tracers, axis=0)


def flip(data: bytes, rng: np.random.Generator, count: int = 8) -> bytes:
    """Return bytes with some bits of them flipped."""
    changed = bytearray(data)
    for place in rng.integers(0, len(changed), count):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)
