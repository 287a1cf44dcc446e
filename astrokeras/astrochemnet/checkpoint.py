"""Checkpoint of AstroChemNet: weights, read, checked and in the order of Keras.

This module does not import Keras, so that wrong files are rejected quickly.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astrokeras.astrochemnet.torch_checkpoint import read_state
from astrokeras.data.importers.column_roles import uclchem_name
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT, parse_json, read_array
from astrokeras.system.input_paths import check_input
from astrokeras.system.text_files import text_lines

NORM = ("weight", "bias", "running_mean", "running_var")

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Checkpoint:
    """Weights in the order and orientation of Keras.

    Attributes:
        dense: Kernel `(in, out)`, bias and reverse bias of each tied layer.
        encoder_norms: Gamma, beta, mean and variance after each encoder layer.
        decoder_norms: The same after each decoder layer except the last.
        cell: Kernel `(in, out)` and bias of each layer of the emulator.
        latents: Latent values that are scaled to 0 and to 1.
    """

    dense: list[Arrays]
    encoder_norms: list[Arrays]
    decoder_norms: list[Arrays]
    cell: list[Arrays]
    latents: tuple[float, float]

    @property
    def widths(self) -> list[int]:
        """Number of species, hidden widths and number of latents."""
        return [self.dense[0][0].shape[0], *(len(bias) for _, bias, _ in self.dense)]

    def take_species(self, order: Sequence[int]) -> "Checkpoint":
        """Return the same network with another order of species."""
        (kernel, bias, reverse_bias), *inner = self.dense
        first = (kernel[order], bias, reverse_bias[order])
        return replace(self, dense=[first, *inner])

    @property
    def parameter_count(self) -> int:
        """Number of physical parameters."""
        return self.cell[0][0].shape[0] - self.widths[-1]


def read_checkpoint(paths: Sequence[Path]) -> Checkpoint:
    """Read the files of the autoencoder, the emulator and the latent scale.

    Args:
        paths: The files in any order; their content identifies them.

    Raises:
        InputError: If a file cannot be read safely, a tensor is missing, unknown or
            given twice, or shapes disagree.
    """
    state: dict[str, np.ndarray] = {}
    latents = None
    for path in paths:
        if path.suffix == ".npy":
            latents = _read_latents(path)
            continue
        for name, array in read_state(path).items():
            if name in state:
                raise InputError(
                    f"{path}: {name!r} is in an earlier file too; give each file once."
                )
            state[name] = array
    for key, model in (
        ("encoder_fc1.weight", "autoencoder"),
        ("net.0.weight", "emulator"),
    ):
        if key not in state:
            raise InputError(
                f"{paths[0]}: no {key!r}; give the checkpoint of the {model} too."
            )
    if latents is None:
        raise InputError(f"{paths[0]}: no latent scale; give latents_minmax.npy too.")
    return _arrange(state, latents, str(paths[0].parent))


def read_species(path: Path) -> tuple[str, ...]:
    """Read species names: one on each line, a JSON list, or the JSON key `species`.

    Spellings of AstroChemNet, such as CH4O, become those of UCLCHEM, CH3OH.

    Raises:
        InputError: If the file is missing, holds no names, or a name twice.
    """
    lines = text_lines(path, LARGEST_TEXT, "file of species names")
    text = "\n".join(line for _, line in lines)
    try:
        if path.suffix == ".json":
            stored = parse_json(text)
            names = stored["species"] if isinstance(stored, dict) else stored
        else:
            names = (
                text.splitlines()
            )  # A leading # marks a surface species, not a comment.
        species = tuple(str(name).strip() for name in names if str(name).strip())
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: holds no species names ({type(error).__name__}: {error}); "
            "write one on each line."
        ) from error
    twice = [name for name in species if species.count(name) > 1]
    if twice or not species:
        fault = f"names {twice[0]!r} twice" if twice else "is empty"
        raise InputError(f"{path}: {fault}; write each species once, on its own line.")
    return tuple(uclchem_name(name, species) for name in species)


def read_ranges(words: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Read `NAME=LOW:HIGH` words, or a JSON file of ranges by name.

    Raises:
        InputError: If a word cannot be read, or a range is not positive and ascending.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for word in words:
        if Path(word).suffix == ".json":
            ranges |= _read_range_file(Path(word))
            continue
        name, equals, bounds = word.partition("=")
        low, colon, high = bounds.partition(":")
        try:
            ranges[name.strip()] = float(low), float(high)
        except ValueError:
            equals = ""
        if not (name.strip() and equals and colon):
            raise InputError(
                f"--ranges: {word!r}; write NAME=LOW:HIGH, such as Av=0.1:6914."
            )
    for name, (least, most) in ranges.items():
        if not 0 < least < most < math.inf:
            raise InputError(
                f"--ranges: {name} is {least:g} to {most:g}; both must be positive, "
                "the lower one first, as parameters are scaled in log10."
            )
    return ranges


def _read_latents(path: Path) -> tuple[float, float]:
    check_input(path)
    try:
        bounds = read_array(path)
        low, high = (float(value) for value in bounds)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: does not hold two numbers ({error}); give latents_minmax.npy."
        ) from error
    if not -math.inf < low < high < math.inf:
        raise InputError(
            f"{path}: holds {low:g} and {high:g}; the first must be smaller."
        )
    return low, high


def _read_range_file(path: Path) -> dict[str, tuple[float, float]]:
    """Read `{name: [low, high]}`, or AstroChemNet's `{name: {"min": …, "max": …}}`."""
    check_input(path, "file of ranges")
    try:
        stored = parse_json(path.read_text(encoding="utf-8-sig"))
        pairs = {
            name: (entry["min"], entry["max"]) if isinstance(entry, dict) else entry
            for name, entry in stored.items()
        }
        return {name: (float(low), float(high)) for name, (low, high) in pairs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: holds no ranges ({type(error).__name__}: {error}); write "
            '{"Density": [1e4, 1e9], ...}.'
        ) from error


def _arrange(
    state: dict[str, np.ndarray], latents: tuple[float, float], where: str
) -> Checkpoint:
    """Return the checkpoint, after a check that no tensor is missing or left over."""
    left = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}

    def take(name: str, *shape: int) -> np.ndarray:
        if name not in left:
            raise InputError(f"{where}: the checkpoint lacks {name!r}.")
        array = left.pop(name).astype("float32")
        if array.shape != shape:
            raise InputError(f"{where}: {name!r} has shape {array.shape}, not {shape}.")
        return array

    def norms(prefix: str, sizes: Sequence[int]) -> list[Arrays]:
        return [
            tuple(take(f"{prefix}{i}.{part}", size) for part in NORM)
            for i, size in enumerate(sizes, 1)
        ]

    for name, array in left.items():
        if re.fullmatch(r"(encoder_fc|net\.)\d+\.weight", name) and array.ndim != 2:
            raise InputError(
                f"{where}: {name!r} has shape {array.shape}; it must be a matrix."
            )
    depth = len(_numbers(left, r"encoder_fc(\d+)\.weight"))
    outputs = [len(left.get(f"encoder_fc{i}.weight", [])) for i in range(1, depth + 1)]
    sizes = [left["encoder_fc1.weight"].shape[-1], *outputs]
    dense: list[Arrays] = []
    for i, (inputs, units) in enumerate(itertools.pairwise(sizes), 1):
        kernel = take(f"encoder_fc{i}.weight", units, inputs).T
        name = f"encoder_fc{i}.bias"
        bias = take(name, units) if name in left else np.zeros(units, "float32")
        # The layers of the decoder are counted from the latents.
        dense.append((kernel, bias, take(f"decoder_bias{depth - i + 1}", inputs)))

    # The normalisation of the latents is called `encoder_norm3`, the others `bn`.
    for name in [name for name in left if name.startswith("encoder_norm")]:
        left[name.replace("norm", "bn", 1)] = left.pop(name)
    normalised = len(_numbers(left, r"encoder_bn(\d+)\.weight"))
    if not depth - 1 <= normalised <= depth:
        raise InputError(f"{where}: {normalised} encoder norms for {depth} layers.")
    encoder_norms = norms("encoder_bn", outputs[:normalised])
    decoder_norms = norms("decoder_bn", sizes[-2:0:-1])

    numbers = _numbers(left, r"net\.(\d+)\.weight")
    inner = [len(left[f"net.{i}.weight"]) for i in numbers[:-1]]
    inputs = left["net.0.weight"].shape[-1]
    if inputs <= sizes[-1] or not inner:
        raise InputError(
            f"{where}: the emulator has {inputs} inputs and {len(numbers)} layers; "
            f"it needs parameters beside {sizes[-1]} latents, and a hidden layer."
        )
    cell: list[Arrays] = []
    for i, units in zip(numbers, [*inner, sizes[-1]], strict=True):
        kernel = take(f"net.{i}.weight", units, inputs).T
        cell.append((kernel, take(f"net.{i}.bias", units)))
        inputs = units
    if left:
        raise InputError(
            f"{where}: the checkpoint holds {min(left)!r}, which this layout does not "
            "have; the result would not be the model that was trained."
        )
    return Checkpoint(dense, encoder_norms, decoder_norms, cell, latents)


def _numbers(state: Mapping[str, np.ndarray], pattern: str) -> list[int]:
    matches = (re.fullmatch(pattern, name) for name in state)
    return sorted(int(match[1]) for match in matches if match)
