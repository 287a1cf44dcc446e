"""The library in C, compiled and called from Python to compare it with Keras."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.errors import InputError

FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=fast")


class _Array(ctypes.Structure):
    """`astrokeras_array`, of a contiguous float32 array (cells, items)."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("is_double", ctypes.c_int),
        ("cell", ctypes.c_ssize_t),
        ("item", ctypes.c_ssize_t),
    )

    @classmethod
    def of(cls, array: np.ndarray) -> "_Array":
        items = array.shape[1] if array.ndim > 1 else 1
        return cls(array.ctypes.data, int(array.dtype == np.float64), items, 1)


def compile_library(folder: Path) -> Path:
    """Return a shared library of the sources in a folder, in a folder of its own."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise InputError(
            "no C compiler was found, which checks the export; install gcc or clang."
        )
    target = Path(tempfile.mkdtemp(prefix="astrokeras-")) / "libastrokeras.so"
    names = [str(folder / name) for name in ("astrokeras.c", "reading.c")]
    words = [compiler, *FLAGS, "-shared", "-fPIC", *names, "-lm", "-o", str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[:1]
        raise InputError(f"{compiler} does not compile the library: {reason}")
    return target


class Library:
    """The library in C, called from Python to compare it with Keras.

    Args:
        weights: The file of weights.
        library: The shared library.
    """

    def __init__(self, weights: Path, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.handle = ctypes.c_void_p()
        message = ctypes.create_string_buffer(4 + 256)
        code = self.library.astrokeras_create(
            str(weights).encode(), ctypes.byref(self.handle), message
        )
        if code:
            text = message.raw[4:].split(b"\0")[0].decode(errors="replace")
            raise InputError(text)
        count = {
            name: getattr(self.library, f"astrokeras_{name}_count")(self.handle)
            for name in ("species", "latent", "element")
        }
        self.species, self.latents = count["species"], count["latent"]

    def __del__(self) -> None:
        self.library.astrokeras_destroy(self.handle)

    def step(
        self, x: np.ndarray, physical: np.ndarray, years: np.ndarray, carried: Any
    ) -> tuple[np.ndarray, ...]:
        """Return abundances, expected errors, status and the carried numbers."""
        return self._step("step", x, physical, years, carried)

    def step_latent(
        self, z: np.ndarray, physical: np.ndarray, years: np.ndarray, carried: Any
    ) -> tuple[np.ndarray, ...]:
        """Return latents, expected errors, status and the carried numbers."""
        return self._step("step_latent", z, physical, years, carried)

    def _step(self, name: str, *given: Any) -> tuple[np.ndarray, ...]:
        states, physical, years, carried = (_copy(value) for value in given)
        expected = np.empty(len(states), "f4")
        status = np.empty(len(states), "i4")
        arrays = map(_Array.of, (states, physical, years, carried))
        told = (ctypes.c_void_p(value.ctypes.data) for value in (expected, status))
        self._call(name, len(states), *arrays, *told)
        return states, expected, status, carried

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return latents of abundances."""
        x, z = _copy(x), np.empty((len(x), self.latents), "f4")
        self._call("encode", len(x), _Array.of(x), _Array.of(z), _Array())
        return z

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return abundances of latents, without conservation."""
        z, x = _copy(z), np.empty((len(z), self.species), "f4")
        self._call("decode", len(z), _Array.of(z), _Array(), _Array.of(x))
        return x

    def _call(self, name: str, cells: int, *arguments: Any) -> None:
        function = getattr(self.library, f"astrokeras_{name}")
        code = function(self.handle, ctypes.c_size_t(cells), *arguments, None, None)
        assert code == 0, code


def _copy(values: Any) -> np.ndarray:
    """Return values as a contiguous array of their own."""
    return np.array(values, "f4", order="C")
