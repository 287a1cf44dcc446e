"""Writes what `torch.save` writes of a state dictionary, without PyTorch.

The opcodes are those of a pickle of protocol 2; a test compares with PyTorch's own
reader and writer where it is installed.
"""

import struct
import zipfile
from pathlib import Path

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
}
STORAGES |= {"float16": "HalfStorage"}


def write_state(path: Path, state: dict[str, np.ndarray]) -> Path:
    """Write arrays by name as a `.pth` archive."""
    pickled = b"\x80\x02" + _global("collections", "OrderedDict") + b")R("
    for key, (name, array) in enumerate(state.items()):
        pickled += _text(name) + _tensor(str(key), np.asarray(array))
    storages = {str(i): np.asarray(a).tobytes() for i, a in enumerate(state.values())}
    return write_archive(path, pickled + b"u.", storages)


def write_archive(path: Path, pickled: bytes, storages: dict[str, bytes]) -> Path:
    """Write a pickle and its storages as the archive that they form."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/version", "3\n")
        archive.writestr("model/byteorder", "little")
        for key, content in storages.items():
            archive.writestr(f"model/data/{key}", content)
    return path


def _tensor(key: str, array: np.ndarray) -> bytes:
    storage = _global("torch", STORAGES[str(array.dtype)])
    strides = [step // array.itemsize for step in array.strides]
    parts = [
        _global("torch._utils", "_rebuild_tensor_v2") + b"(",
        b"(" + _text("storage") + storage + _text(key) + _text("cpu"),
        _integer(array.size) + b"tQ",
        _integer(0) + _tuple(array.shape) + _tuple(strides) + b"\x89",
        _global("collections", "OrderedDict") + b")R" + b"tR",
    ]
    return b"".join(parts)


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
