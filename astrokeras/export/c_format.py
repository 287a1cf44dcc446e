"""C format: a library in C99 without dependencies, and its file of weights."""

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX, decades
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST
from astrokeras.errors import InputError
from astrokeras.export.c_arrays import (
    as_names,
    as_row,
    as_whole,
    dense_arrays,
    feature_arrays,
    layer_arrays,
    numbers_of,
    trust_arrays,
)
from astrokeras.export.c_library import Library, compile_library
from astrokeras.export.checked_rollout import CheckedRollout
from astrokeras.export.export import CARRIED, Functions
from astrokeras.export.functions import ExportedFunction
from astrokeras.layers import exposure_features, rate_features
from astrokeras.layers.residual_cell import REACH, SLOPE
from astrokeras.layers.trust_model import SMALL
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.trust_assessment import TOTALS_DEX, UNREPAIRED

FILE = "surrogate.bin"
REFERENCE = "reference.bin"  # cells that `check.c` evolves
CELLS = 40
SOURCES = Path(__file__).parent / "c"
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "silu")
MOST_ATOMS = 4  # elements of a species
HEADER, ENTRY = 64, 64


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write the sources of the library and the weights of the surrogate."""
    (folder / FILE).write_bytes(pack(_arrays(surrogate)))
    (folder / REFERENCE).write_bytes(_reference(surrogate, functions["step"]))
    for source in sorted(SOURCES.iterdir()):
        if source.is_file():
            shutil.copy(source, folder / source.name)


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


def _reference(surrogate: Any, step: ExportedFunction) -> bytes:
    """Return cells, two of them invalid, and what Keras makes of them in a step."""
    metadata, rng = surrogate.metadata, np.random.default_rng(0)
    bounds = [metadata.parameter_ranges[name] for name in metadata.parameters]
    low, high = np.log(np.transpose(bounds))
    start = _start(metadata, CheckedRollout(surrogate))
    physical = np.exp(rng.uniform(low, high, (CELLS, len(low)))).astype("f4")
    shortest, longest = np.log(metadata.dt_range)
    years = np.exp(rng.uniform(shortest, longest, CELLS)).astype("f4")
    abundances = np.broadcast_to(start, (CELLS, len(start))).astype("f4")
    physical[3, 0], abundances[5, -1] = np.nan, -1.0
    given = abundances, physical, years
    inputs = (*given, np.zeros((CELLS, CARRIED), "f4"))
    told = step.function(*map(ops.convert_to_tensor, inputs))
    parts = [np.array([CELLS], "<i4")]
    for value in (*given, *map(ops.convert_to_numpy, told[:3])):
        parts.append(np.ascontiguousarray(value, "<f4"))
    return b"".join(part.tobytes() for part in parts)


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the file that holds arrays of two dimensions; `reading.c` reads it."""
    entries, parts = b"", b""
    start = HEADER + ENTRY * len(arrays)
    kinds = {"f": 0, "i": 1, "u": 2}
    for name, array in arrays.items():
        parts += b"\0" * (-(start + len(parts)) % 64)
        kind = kinds[array.dtype.kind]
        place = start + len(parts)
        about = name.encode(), kind, *array.shape, 0, place
        entries += struct.pack("<40sIIIIQ", *about)
        little = {0: "<f4", 1: "<i4", 2: "u1"}[kind]
        parts += np.ascontiguousarray(array, little).tobytes()
    parts += b"\0" * (-(start + len(parts)) % 64)
    body = entries + parts
    sizes = HEADER + len(body), checksum(body)
    head = struct.pack("<8sIIIIQQ", b"ASTROKER", 0x01020304, 1, len(arrays), 0, *sizes)
    return head.ljust(HEADER, b"\0") + body


def checksum(body: bytes) -> int:
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
        "sizes": as_whole(_sizes(surrogate)),
        "decoder_widths": as_whole([layer.units for layer in coder.dense]),
        "cell_widths": as_whole(cell.hidden),
        "constants": as_row(_constants(surrogate, checked)),
        "species": as_names(surrogate.species),
        "parameters": as_names(surrogate.parameter_names),
        "units": as_names(surrogate.units),
        "low": as_row(surrogate.decoded_range[0]),
        "high": as_row(surrogate.decoded_range[1]),
        "parameter_bounds": checked.parameter_bounds,
        "species_bounds": checked.species_bounds,
        "typical": as_row(checked.typical),
        "typical_state": as_row(checked.typical_state),
        "start": as_row(_start(metadata, checked)),
    }
    scalers = {
        "species": coder.species_scaler,
        "latents": emulator.latent_scaler,
        "parameters": surrogate.parameter_scaler,
    }
    for name, scaler in scalers.items():
        arrays[f"{name}/offset"] = as_row(numbers_of(scaler.offset))
        arrays[f"{name}/scale"] = as_row(numbers_of(scaler.scale))
    arrays |= _atoms(surrogate.stoichiometry)
    arrays |= _networks(emulator) | feature_arrays(emulator)
    return arrays | (
        trust_arrays(surrogate.trust) if surrogate.trust is not None else {}
    )


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
    kernel = numbers_of(coder.kernel)
    arrays = layer_arrays("project", kernel) | layer_arrays("unproject", kernel.T)
    for k, layer in enumerate(coder.dense):
        arrays |= dense_arrays(f"decoder_{k}", layer)
    arrays |= dense_arrays("decode_last", coder.last)
    drive = numbers_of(recurrence.drive.kernel)[_kept_features(emulator)]
    arrays |= layer_arrays("drive", drive, recurrence.drive.bias)
    for m, cell in enumerate(recurrence.members):
        arrays |= layer_arrays(f"cell_{m}/first", numbers_of(cell.first.kernel))
        for k, layer in enumerate(cell.inner):
            arrays |= dense_arrays(f"cell_{m}/inner_{k}", layer)
        arrays |= dense_arrays(f"cell_{m}/last", cell.last)
        if cell.relaxing:
            arrays |= dense_arrays(f"cell_{m}/rate", cell.rate)
    bounds = recurrence.members[0].bounds
    if bounds is None:
        bounds = np.outer([-1e30, 1e30], np.ones(emulator.latents))
    return arrays | {"bounds": np.asarray(bounds, "f4")}


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
