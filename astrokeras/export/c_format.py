"""C format: a library in C99 without dependencies, and its file of weights."""

import ctypes
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX, decades
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST
from astrokeras.errors import InputError
from astrokeras.export.checked_rollout import CheckedRollout
from astrokeras.export.export import CARRIED, Functions, describe
from astrokeras.export.functions import ExportedFunction
from astrokeras.layers import exposure_features, rate_features
from astrokeras.layers.residual_cell import REACH, SLOPE
from astrokeras.layers.trust_model import SMALL
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.trust_assessment import TOTALS_DEX, UNREPAIRED

FILE = "surrogate.bin"
SOURCES = Path(__file__).parent / "c"
PANEL = 6  # columns of a kernel that lie beside one another, as in `kernels.h`
NAME = 32  # bytes of a name
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "silu")
CURVES = ("extinction", "inverse", "shielding")  # in the order of `networks.h`
MOST_ATOMS = 4  # elements of a species
HEADER, ENTRY = 64, 64
FLAGS = "-std=c99 -O3 -march=native -ffp-contract=fast".split()


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write the sources of the library and the weights of the surrogate."""
    (folder / FILE).write_bytes(pack(_arrays(surrogate)))
    for source in sorted(SOURCES.iterdir()):
        if source.is_file():
            shutil.copy(source, folder / source.name)


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the file that holds arrays of two dimensions; `reading.c` reads it."""
    entries, parts = b"", b""
    start = HEADER + ENTRY * len(arrays)
    kinds = {"f": 0, "i": 1, "u": 2}
    for name, array in arrays.items():
        parts += b"\0" * (-(start + len(parts)) % 64)
        kind = kinds[array.dtype.kind]
        place = start + len(parts)
        entries += struct.pack("<40sIIIIQ", name.encode(), kind, *array.shape, 0, place)
        little = {0: "<f4", 1: "<i4", 2: "u1"}[kind]
        parts += np.ascontiguousarray(array, little).tobytes()
    parts += b"\0" * (-(start + len(parts)) % 64)
    body = entries + parts
    sizes = HEADER + len(body), _checksum(body)
    head = struct.pack("<8sIIIIQQ", b"ASTROKER", 0x01020304, 1, len(arrays), 0, *sizes)
    return head.ljust(HEADER, b"\0") + body


def _checksum(body: bytes) -> int:
    """Return the FNV-1a hash of words of eight bytes."""
    found, prime, mask = 14695981039346656037, 1099511628211, 2**64 - 1
    for word in np.frombuffer(body, "<u8").tolist():
        found = (found ^ word) * prime & mask
    return found


def _arrays(surrogate: Any) -> dict[str, np.ndarray]:
    """Return all arrays of the file, of two dimensions each."""
    emulator, metadata = surrogate.emulator, surrogate.metadata
    coder, cell = emulator.autoencoder, emulator.recurrence.members[0]
    if not isinstance(coder, ProjectionAutoencoder):
        raise InputError(
            "the C format knows surrogates with a projection autoencoder alone; train "
            "one with autoencoder.kind=projection, or export to numpy."
        )
    for activation in (coder.activation, cell.activation):
        if activation not in ACTIVATIONS:
            raise InputError(
                f"the C format has no activation {activation!r}; use "
                f"{', '.join(ACTIVATIONS)}, or export to another format."
            )
    checked = CheckedRollout(surrogate)
    arrays = {
        "sizes": _whole(_sizes(surrogate)),
        "decoder_widths": _whole([layer.units for layer in coder.dense]),
        "cell_widths": _whole(cell.hidden),
        "constants": _row(_constants(surrogate, checked)),
        "species": _names(surrogate.species),
        "parameters": _names(surrogate.parameter_names),
        "units": _names(surrogate.units),
        "low": _row(surrogate.decoded_range[0]),
        "high": _row(surrogate.decoded_range[1]),
        "parameter_bounds": checked.parameter_bounds,
        "species_bounds": checked.species_bounds,
        "typical": _row(checked.typical),
        "typical_state": _row(checked.typical_state),
        "start": _row(_start(metadata, checked)),
    }
    scalers = {
        "species": coder.species_scaler,
        "latents": emulator.latent_scaler,
        "parameters": surrogate.parameter_scaler,
    }
    for name, scaler in scalers.items():
        arrays[f"{name}/offset"] = _row(_numbers(scaler.offset))
        arrays[f"{name}/scale"] = _row(_numbers(scaler.scale))
    arrays |= _atoms(surrogate.stoichiometry)
    arrays |= _networks(emulator) | _features(emulator)
    return arrays | (_trust(surrogate.trust) if surrogate.trust is not None else {})


def _sizes(surrogate: Any) -> list[int]:
    emulator, trust = surrogate.emulator, surrogate.trust
    coder, cell = emulator.autoencoder, emulator.recurrence.members[0]
    units = list(surrogate.units)
    return [
        len(surrogate.species),
        emulator.latents,
        len(surrogate.parameter_names),
        len(surrogate.elements),
        len(emulator.recurrence.members),
        ACTIVATIONS.index(coder.activation),
        ACTIVATIONS.index(cell.activation),
        int(cell.relaxing),
        int(surrogate.conserve),
        int(trust is not None),
        0 if trust is None else trust.random_features,
        int(emulator.use_timestep),
        surrogate.conservation.steps,
        0 if trust is None else trust.references,
        len(_kept_features(emulator)),
        len(emulator.exposures.constant) if emulator.exposures else 0,
        units.index("Habing") if "Habing" in units and emulator.rates else -1,
    ]


def _constants(surrogate: Any, checked: CheckedRollout) -> list[float]:
    """Return the constants in the order in which `reading.c` reads them."""
    trust, metadata = surrogate.trust, surrogate.metadata
    rates, exposures = rate_features, exposure_features
    return [
        decades(metadata.floor),
        surrogate.residual_decay_length,
        REACH,
        SLOPE,
        surrogate.conservation.power,
        surrogate.conservation.limit,
        metadata.dt_range[0],
        checked.shortest,
        checked.longest,
        checked.last,
        LOWEST,
        HIGHEST,
        metadata.floor,
        metadata.floor * 10 ** -(MARGIN_DEX + 0.01),
        TOTALS_DEX,
        UNREPAIRED,
        np.nan if trust is None else trust.reliability_threshold,
        SMALL,
        rates.WIDTH,
        rates.COOL,
        rates.LARGEST,
        rates.DARK,
        rates.OPAQUE,
        rates.BLACK,
        exposures.WIDTH,
        exposures.BLACK,
        exposures.LARGEST_COLUMN,
        exposures.H2_COLUMN,
        exposures.H2_WIDTH,
    ]


def _start(metadata: Any, checked: CheckedRollout) -> np.ndarray:
    """Return the first named initial abundances, or typical ones."""
    named = metadata.initial_conditions.values()
    return next(iter(named), checked.typical_state)


def _kept_features(emulator: Any) -> np.ndarray:
    """Return the features that are not always zero at constant parameters."""
    count = emulator.parameter_count
    kept = np.arange(emulator.features)
    if emulator.use_timestep:
        kept = np.delete(kept, np.arange(count, 3 * count))
    return kept


def _networks(emulator: Any) -> dict[str, np.ndarray]:
    coder, recurrence = emulator.autoencoder, emulator.recurrence
    kernel = _numbers(coder.kernel)
    arrays = _layer("project", kernel) | _layer("unproject", kernel.T)
    for k, layer in enumerate(coder.dense):
        arrays |= _dense(f"decoder_{k}", layer)
    arrays |= _dense("decode_last", coder.last)
    drive = _numbers(recurrence.drive.kernel)[_kept_features(emulator)]
    arrays |= _layer("drive", drive, recurrence.drive.bias)
    for m, cell in enumerate(recurrence.members):
        arrays |= _layer(f"cell_{m}/first", _numbers(cell.first.kernel))
        for k, layer in enumerate(cell.inner):
            arrays |= _dense(f"cell_{m}/inner_{k}", layer)
        arrays |= _dense(f"cell_{m}/last", cell.last)
        if cell.relaxing:
            arrays |= _dense(f"cell_{m}/rate", cell.rate)
    bounds = recurrence.members[0].bounds
    if bounds is None:
        bounds = np.outer([-1e30, 1e30], np.ones(emulator.latents))
    return arrays | {"bounds": np.asarray(bounds, "f4")}


def _features(emulator: Any) -> dict[str, np.ndarray]:
    rates, exposures = emulator.rates, emulator.exposures
    units = rates.units if rates else []
    curves = exposures.curves if exposures else []
    listed = [[CURVES.index(name), i] for name, i in curves]
    arrays = {
        "temperatures": _whole([i for i, unit in enumerate(units) if unit == "K"]),
        "extinctions": _whole([i for i, unit in enumerate(units) if unit == "mag"]),
        "curves": _whole(np.ravel(listed)),
        "switches": _row(np.log10(rate_features.SWITCHES)),
        "shields": _row(rate_features.SHIELDS),
        "levels": _row(exposure_features.LEVELS),
    }
    if exposures:
        arrays |= _layer("exposures", exposures.matrix, exposures.constant)
    return arrays


def _atoms(stoichiometry: np.ndarray) -> dict[str, np.ndarray]:
    """Return elements and counts of the atoms of each species, (S, 4)."""
    element = np.full((len(stoichiometry), MOST_ATOMS), -1, "i4")
    count = np.zeros(element.shape, "f4")
    for row, atoms in enumerate(stoichiometry):
        present = np.flatnonzero(atoms)
        if len(present) > MOST_ATOMS:
            raise InputError(
                f"the C format holds species of at most {MOST_ATOMS} elements; export "
                "to another format."
            )
        element[row, : len(present)] = present
        count[row, : len(present)] = atoms[present]
    return {"atoms/element": element, "atoms/count": count}


def _trust(trust: Any) -> dict[str, np.ndarray]:
    names = ["latent_offset", "latent_scale", "centre", "largest", "totals", "states"]
    names += ["settings", "coefficients", "error_range"]
    names += ["knots"] if trust.random_features else []
    numbers = {name: np.atleast_2d(trust.value(name)) for name in names}
    arrays = {f"trust/{name}": value for name, value in numbers.items()}
    for name, one in (("state", "states"), ("setting", "settings")):
        points = numbers[one]
        arrays[f"trust/{name}_squares"] = _row(np.square(points).sum(1))
        arrays |= _layer(f"trust/{name}_products", points.T)
    arrays |= _layer("trust/whitening", trust.value("whitening"))
    if trust.random_features:
        waves = trust.value("frequencies"), trust.value("phases")
        arrays |= _layer("trust/waves", *waves)
    return arrays


def _dense(name: str, layer: Any) -> dict[str, np.ndarray]:
    return _layer(name, _numbers(layer.kernel), layer.bias)


def _layer(name: str, kernel: Any, bias: Any = None) -> dict[str, np.ndarray]:
    """Return a kernel (in, out) in panels of columns, (panels * in, PANEL), and bias."""
    rows, columns = kernel.shape
    padded = np.pad(kernel, ((0, 0), (0, -columns % PANEL)))
    panels = padded.reshape(rows, -1, PANEL).swapaxes(0, 1)
    arrays = {f"{name}/kernel": panels.reshape(-1, PANEL).astype("f4")}
    return arrays if bias is None else arrays | {f"{name}/bias": _row(_numbers(bias))}


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value), "f4")


def _row(values: Any) -> np.ndarray:
    return np.asarray(values, "f4").reshape(1, -1)


def _whole(values: Any) -> np.ndarray:
    return np.asarray(values, "i4").reshape(1, -1)


def _names(names: Any) -> np.ndarray:
    """Return names as bytes, (N, 32), zeros at their ends."""
    encoded = [name.encode() for name in names]
    if any(len(name) >= NAME for name in encoded):
        longest = max(names, key=len)
        raise InputError(
            f"the C format holds names of {NAME - 1} bytes; {longest!r} is longer."
        )
    rows = b"".join(name.ljust(NAME, b"\0") for name in encoded)
    return np.frombuffer(rows, "u1").reshape(len(encoded), NAME)


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


def read(folder: Path) -> Functions:
    """Return the functions of the library, which is compiled for the comparison.

    Raises:
        InputError: If there is no C compiler, or it fails.
    """
    library = Library(folder / FILE, compile_library(folder))
    return {
        "encode": lambda x: (library.encode(x),),
        "decode": lambda z: (library.decode(z),),
        "step": library.step,
    }


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
        x, physical, years, carried = (
            np.array(value, "f4", order="C") for value in (x, physical, years, carried)
        )
        expected = np.empty(len(x), "f4")
        status = np.empty(len(x), "i4")
        arrays = map(_Array.of, (x, physical, years, carried))
        self._call("step", len(x), *arrays, _pointer(expected), _pointer(status))
        return x, expected, status, carried

    def step_latent(
        self, z: np.ndarray, physical: np.ndarray, years: np.ndarray, carried: Any
    ) -> tuple[np.ndarray, ...]:
        """Return latents, expected errors, status and the carried numbers."""
        z, physical, years, carried = (
            np.array(value, "f4", order="C") for value in (z, physical, years, carried)
        )
        expected = np.empty(len(z), "f4")
        status = np.empty(len(z), "i4")
        arrays = map(_Array.of, (z, physical, years, carried))
        self._call("step_latent", len(z), *arrays, _pointer(expected), _pointer(status))
        return z, expected, status, carried

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return latents of abundances."""
        x, z = np.array(x, "f4", order="C"), np.empty((len(x), self.latents), "f4")
        self._call("encode", len(x), _Array.of(x), _Array.of(z), _Array())
        return z

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return abundances of latents, without conservation."""
        z, x = np.array(z, "f4", order="C"), np.empty((len(z), self.species), "f4")
        self._call("decode", len(z), _Array.of(z), _Array(), _Array.of(x))
        return x

    def _call(self, name: str, cells: int, *arguments: Any) -> None:
        function = getattr(self.library, f"astrokeras_{name}")
        code = function(self.handle, ctypes.c_size_t(cells), *arguments, None, None)
        assert code == 0, code


def _pointer(array: np.ndarray) -> Any:
    return ctypes.c_void_p(array.ctypes.data)
