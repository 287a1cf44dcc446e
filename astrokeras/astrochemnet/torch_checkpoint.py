"""Safe reader of PyTorch checkpoints, without PyTorch.

`torch.save` writes a zip archive with a pickle and the bytes of each storage. A pickle
can call any function when it is loaded, so an unknown file could run any code. This
reader only resolves the few names that rebuild tensors, and rejects a file with any
other name.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.input_paths import check_input, content

# The pickle holds names and shapes only, a few kilobytes for a state dictionary.
LARGEST_PICKLE = 16 * 2**20
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
# A tied weight is stored once and rebuilt twice.
COPIES = 4
# Keys of the state dictionary in files that were written during a training.
WRAPPERS = ("state_dict", "model_state_dict")


class _StorageType(NamedTuple):
    """Placeholder for a class of torch storages; it cannot be called."""

    dtype: str


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a state dictionary that `torch.save` wrote.

    Args:
        path: The `.pth` or `.pt` file.

    Returns:
        Arrays by name, such as `encoder_fc1.weight`.

    Raises:
        InputError: If the file is missing, is no checkpoint, or holds anything but
            tensors.
    """
    path = Path(path)
    check_input(path)
    try:
        with zipfile.ZipFile(path) as archive:
            loaded = _Reader(archive, path.stat().st_size).load()
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path}: not a PyTorch checkpoint ({content(path) or error}); save "
            "`model.state_dict()` again with `torch.save` of PyTorch 1.6 or later."
        ) from error
    except _Refused as error:
        raise InputError(
            f"{path}: {error}; a checkpoint may hold tensors only, so save "
            "`model.state_dict()`."
        ) from error
    except Exception as error:  # A malicious pickle can raise any exception.
        raise InputError(
            f"{path}: cannot be read as a PyTorch checkpoint "
            f"({type(error).__name__}: {error}); is the file complete?"
        ) from error
    return _tensors(path, loaded)


def _tensors(path: Path, loaded: Any) -> dict[str, np.ndarray]:
    """Return the state dictionary in the unpickled object."""
    if isinstance(loaded, dict):
        for wrapper in WRAPPERS:
            if isinstance(loaded.get(wrapper), dict):
                loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise InputError(f"{path}: holds no state dictionary; save one with PyTorch.")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise InputError(
                f"{path}: entry {str(name)!r} is no tensor; save `model.state_dict()`."
            )
        if not np.isfinite(value).all():
            raise InputError(
                f"{path}: tensor {name!r} holds values that are not finite."
            )
    return dict(loaded)


class _Refused(pickle.UnpicklingError):
    """Error for a pickle that needs more than rebuilding tensors does."""


class _Function:
    """Callable whose attributes a pickle cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it changes the functions that rebuild its tensors")


class _Reader(pickle.Unpickler):
    """Unpickler that only resolves tensors and ordered dictionaries."""

    def __init__(self, archive: zipfile.ZipFile, size: int):
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise _Refused(f"the archive holds {len(pickles)} files data.pkl, not 1")
        if archive.getinfo(pickles[0]).file_size > LARGEST_PICKLE:
            raise _Refused(f"data.pkl is larger than {LARGEST_PICKLE} bytes")
        super().__init__(io.BytesIO(archive.read(pickles[0])))
        self.archive = archive
        self.left = COPIES * size  # bytes that may still be read or rebuilt
        self.root = pickles[0].removesuffix("data.pkl")
        marks = f"{self.root}byteorder"
        big = marks in archive.namelist() and archive.read(marks) == b"big"
        self.order = ">" if big else "<"
        self.names: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Function(self._rebuild),
            ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
        }
        for storage, dtype in STORAGES.items():
            self.names["torch", storage] = _StorageType(dtype)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.names[module, name]
        except KeyError:
            raise _Refused(f"refused to load {module}.{name}") from None

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise _Refused(f"refused to load a storage of kind {kind!r}")
        member = self.archive.getinfo(f"{self.root}data/{key}")
        dtype = np.dtype(self.order + storage.dtype)
        # This check comes first, as a small archive can unpack to a huge one.
        if member.file_size != count * dtype.itemsize:
            raise _Refused(f"storage {key} has {member.file_size} bytes")
        if member.file_size != member.compress_size:
            raise _Refused(f"storage {key} is compressed, unlike those of PyTorch")
        self._take(member.file_size)
        return np.frombuffer(self.archive.read(member), dtype)

    def _rebuild(self, storage: Any, offset: int, size: tuple, *rest: Any) -> Any:
        if isinstance(storage, np.ndarray):
            self._take(min(math.prod(size), storage.size) * storage.itemsize)
        return _rebuild_tensor(storage, offset, size, *rest)

    def _take(self, size: int) -> None:
        """Limit the bytes read and rebuilt, as a storage may be used many times."""
        self.left -= size
        if self.left < 0:
            raise _Refused("its tensors take many times the size of the file")


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any
) -> np.ndarray:
    """Return the array with this offset and these strides, in items of a storage."""
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise _Refused("the description of a tensor is invalid")
    if min((offset, *size, *stride)) < 0:
        raise _Refused(f"a tensor has offset {offset}, size {size}, stride {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.empty(size, storage.dtype)
    # Zero strides could turn a few bytes into a huge tensor.
    if last >= storage.size or math.prod(size) > storage.size:
        raise _Refused(f"a tensor of size {size} in a storage of {storage.size} items")
    strides = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides)
    return view.astype(view.dtype.newbyteorder("="))


def _rebuild_parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    return data
