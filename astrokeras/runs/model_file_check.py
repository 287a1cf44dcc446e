"""Check of a `.keras` file before Keras loads it.

Keras builds the classes that a file names, in the sizes that it names. This check
accepts only the package's own classes, and no more weights than the file holds.
"""

import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import parse_json
from astrokeras.system.input_paths import content

WEIGHTS = "model.weights.h5"
# The configuration of 333 species takes 60 kB; the bound allows thousands of species.
LARGEST = {"metadata.json": 2**20, "config.json": 64 * 2**20, WEIGHTS: 2 * 10**9}
"""Members of a file that Keras has saved, and the largest size of each in bytes."""
RATIO = 100
"""Largest ratio of compression; Keras itself does not compress."""
LARGEST_SIZE = 2**20
"""Largest size of a layer."""
AUTOENCODERS = ("Autoencoder", "ProjectionAutoencoder")
CLASSES = {"Surrogate", "Emulator", "Trust", *AUTOENCODERS}
"""Classes of the package that a file may name; none of them holds a function."""

_REMEDY = "do not use it unless you know who made it."


def read_archive(path: Path, *kinds: str) -> dict[str, Any]:
    """Check a model file and return the configuration of its model.

    Args:
        path: A `.keras` file.
        *kinds: Names of the package's classes that the file may hold.

    Raises:
        InputError: If the file is damaged or of another kind, holds other members than
            Keras writes, names a class of another package, declares more weights than
            it holds, or fails `hdf5_sandbox.check_file`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            stored = parse_json(archive.read("config.json"))
            kind, config = stored["registered_name"], dict(stored["config"])
    except InputError:
        raise
    # A damaged archive makes zipfile raise almost anything.
    except Exception as error:
        kind = content(path)
        kind = f"it is {kind}" if kind and "zip" not in kind else str(error)
        raise InputError(
            f"{path}: is no Keras model file, or a damaged one ({kind}); fetch or make "
            "it again."
        ) from error
    if kind not in [f"astrokeras>{name}" for name in kinds]:
        wanted = " or ".join(kinds)
        file = "surrogate" if "Surrogate" in kinds else "autoencoder"
        raise InputError(
            f"{path}: holds a {stored.get('class_name')}, not a {wanted}; "
            f"give the {file}.keras of a run."
        )
    parts = list(_parts(path, stored))
    _check_weights(path, parts)
    return config


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    strange = [name for name in names if name not in LARGEST or names.count(name) > 1]
    if strange:
        raise InputError(
            f"{path}: holds the member {strange[0][:80]!r}, or holds it twice, beside "
            f"those that Keras writes ({', '.join(LARGEST)}); {_REMEDY}"
        )
    for name, most in LARGEST.items():
        member = archive.getinfo(name)
        size, stored = member.file_size, member.compress_size
        if size > min(most, max(2**20, RATIO * stored)):
            raise InputError(
                f"{path}: {name} claims {size} bytes, packed into {stored}; this is "
                f"no surrogate, {_REMEDY}"
            )


def _parts(path: Path, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the configuration of each object that Keras would build."""
    if isinstance(node, list):
        for child in node:
            yield from _parts(path, child)
    if not isinstance(node, dict):
        return
    # Keras builds any dictionary that has one of these keys.
    if {"class_name", "registered_name", "module"} & set(node):
        name, registered = node.get("class_name"), node.get("registered_name")
        if registered == "astrokeras>Ensemble":
            raise InputError(
                f"{path}: is an ensemble of whole surrogates, each with an autoencoder "
                "of its own, which this version does not read; train one with "
                "emulator.members=3, or use astrokeras 0.1.0."
            )
        own = name in CLASSES and registered == f"astrokeras>{name}"
        policy = (node.get("module"), name, registered) == (
            "keras",
            "DTypePolicy",
            None,
        )
        config = node.get("config")
        if not (own or policy) or not isinstance(config, dict):
            raise InputError(
                f"{path}: config.json names the class "
                f"{str(registered or name)[:80]!r} of module "
                f"{str(node.get('module'))[:80]!r}, which no surrogate has; {_REMEDY}"
            )
        if own:
            yield str(name), config
    for child in node.values():
        yield from _parts(path, child)


def _check_weights(path: Path, parts: list[tuple[str, dict[str, Any]]]) -> None:
    """Raise InputError if a model declares more weights than the file holds."""
    declared = 0
    for name, config in parts:
        for rows, columns in _kernels(path, name, config):
            declared += rows * columns
    held = hdf5_sandbox.check_file(path, WEIGHTS)
    if declared > held:
        raise InputError(
            f"{path}: config.json declares {declared} weights or more, {WEIGHTS} holds "
            f"{held}; it is damaged, fetch or make it again."
        )


def _kernels(path: Path, name: str, config: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the shapes of the largest weights of a part."""

    def size(key: str) -> int:
        return _size(path, name, key, config.get(key))

    def sizes(key: str) -> list[int]:
        listed = config.get(key)
        listed = listed if isinstance(listed, list) else [listed]
        return [_size(path, name, key, value) for value in listed]

    if name in AUTOENCODERS:
        yield from pairwise([size("species"), *sizes("widths"), size("latents")])
    elif name == "Emulator":
        coder = config.get("autoencoder")
        inner = coder.get("config") if isinstance(coder, dict) else None
        latents = inner.get("latents") if isinstance(inner, dict) else None
        latents = _size(path, name, "latents", latents)
        members = _size(path, name, "members", config.get("members", 1))
        widths = [latents + size("parameter_count"), *sizes("hidden"), latents]
        for rows, columns in pairwise(widths):
            yield members * rows, columns
    elif name == "Trust":
        yield size("references"), size("latents") + 2 * size("parameters")
        yield size("species") + size("elements"), 2


def _size(path: Path, name: str, key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_SIZE:
        raise InputError(
            f"{path}: config.json gives {name} {key} = {str(value)[:80]}, not a size "
            f"from 1 to {LARGEST_SIZE}; it is damaged, fetch or make it again."
        )
    return value
