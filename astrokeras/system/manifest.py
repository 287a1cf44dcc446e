"""Manifest of a folder: the files that commands wrote there and may replace.

A command that writes a folder keeps the manifest `.astrokeras.json` in it: file names
relative to the folder, some with wildcards, by kind of command. Commands replace and
remove only files that a manifest lists. Folders written by versions without manifests
are recognised by their content, and own the names that those versions wrote.

A file that was edited later still counts as written: `--overwrite` replaces it.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from astrokeras.errors import InputError
from astrokeras.system.arguments import article
from astrokeras.system.atomic_files import read_json, write_text
from astrokeras.system.folder_lock import NAME as LOCK
from astrokeras.system.folder_lock import in_the_way

NAME = ".astrokeras.json"
EVERYTHING = None
"""In place of names: all files that the manifests of a folder list."""

EVALUATION = (
    "metrics.json",
    "report.html",
    *(
        f"figures/{name}.png"
        for name in (
            "error_by_step",
            "worst_species",
            "trajectories",
            "conservation",
            "reconstruction",
            "sent_back",
        )
    ),
)
PARTS = ("facts.json", "[0-9][0-9][0-9][0-9][0-9][0-9].h5", "solved.journal")
# `search.json` is removed first: without it no search can be joined or resumed.
SEARCH = (
    "search.json",
    "oracle/*.json",
    "oracle/trial_*/trial.json",
    "configs/*/best-*.yaml",
    "trials/*/trial.json",
    "trials/*/tensorboard/events.out.tfevents.*",
)
EXPORT = (
    "about.json",
    *(f"{name}.onnx" for name in ("encode", "decode", "step", "rollout")),
    *(f"{name}.pt2" for name in ("encode", "decode", "step", "rollout")),
    *("surrogate.npz", "numpy_reader.py", "numpy_reader/*"),
    *("saved_model.pb", "fingerprint.pb", "variables/variables.*", "assets/*"),
)


def stage_names(stage: str) -> tuple[str, ...]:
    """Return the names of the files that training a stage writes in subfolders."""
    return (
        f"checkpoints/{stage}/state.json",
        f"checkpoints/{stage}/best.npz",
        f"checkpoints/{stage}/epoch-*.npz",
        f"tensorboard/{stage}/events.out.tfevents.*",
        f"tensorboard/{stage}/*.pt.trace.json",
        f"tensorboard/{stage}/plugins/profile/*/*",
    )


def run_names(stages: Sequence[str] = ("autoencoder", "emulator")) -> tuple[str, ...]:
    """Return the names of the files that training some stages writes or invalidates.

    The surrogate comes last, so that a folder keeps a model until all else is removed.
    """
    again = ("autoencoder", "emulator") if "autoencoder" in stages else ("emulator",)
    inner = (name for stage in again for name in stage_names(stage))
    outer = ("config.yaml", "history.json", "history.csv", "provenance.json", "card.md")
    first = ("autoencoder.keras",) if "autoencoder" in stages else ()
    return (*EVALUATION, *inner, *outer, *first, "surrogate.keras")


# By kind: files, with some of their keys, that identify a folder of a version without
# manifests, and the names that such a folder owns.
_LEGACY: dict[str, tuple[dict[str, set[str]], tuple[str, ...]]] = {
    "run": (
        {
            "config.yaml": {"runs_dir", "dataset", "autoencoder", "emulator"},
            "provenance.json": {"versions", "machine", "backend", "seed"},
        },
        tuple(name for name in run_names() if name not in EVALUATION),
    ),
    "evaluation": ({"metrics.json": {"dex", "mre", "conservation"}}, EVALUATION),
    "search": ({"search.json": {"tuner", "configuration"}}, SEARCH),
    "export": ({"about.json": {"species", "elements", "box", "floor"}}, EXPORT),
    "prediction": ({"facts.json": {"tracers", "surrogate"}}, PARTS),
    "generation": ({"facts.json": {"tracks", "fixed"}}, PARTS),
}
_ASIDE = re.compile(r"\.astrokeras\.replac(ed|ing-.+-\d+)$")
_PARTIAL = re.compile(r"\.partial-.+-\d+(\.\w+)?$")


def claim(folder: Path, kind: str, names: Sequence[str]) -> None:
    """Record names that are about to be written in an existing folder.

    Raises:
        InputError: As `check_names`.
    """
    check_names(folder, names)
    record(folder, kind, names)


def record(folder: Path, kind: str, names: Sequence[str]) -> None:
    """Add names that a kind of command writes to the manifest of a folder."""
    recorded = _recorded(folder)
    known = recorded.setdefault(kind, [])
    missing = [name for name in names if name not in known]
    if missing or not (folder / NAME).is_file():
        known += missing
        write_text(folder / NAME, json.dumps(recorded, indent=1))


def check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise InputError if names match files that no command has written.

    Raises:
        InputError: The message names the first such file. Links are never followed: a
            link in place of a folder counts as a file.
    """
    patterns, owners = _split(names), _Owners(folder)
    for path in _files(folder):
        inner = _inner(folder, path)
        taken = any(_overlap(inner, pattern) for pattern in patterns)
        if taken and not owners.kinds(path):
            raise in_the_way(path)


def check_folder(folder: Path, *kinds: str) -> None:
    """Raise InputError if a folder holds anything except files of some kinds.

    Raises:
        InputError: If it is not a folder; else the message names the first other file.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder}: is not a real folder; choose another folder.")
    owners = _Owners(folder)
    for path in _files(folder):
        if not owners.kinds(path) & set(kinds):
            raise InputError(
                f"{path}: is not a file of {article(kinds[0])} that astrokeras wrote, "
                "and would be lost; move it away, or choose another folder."
            )


def owned_files(folder: Path, names: Sequence[str] | None = EVERYTHING) -> list[Path]:
    """Return the files that the manifests in a folder list, in the order of `names`.

    Args:
        folder: The folder; links in it are not followed.
        names: The names to return; `EVERYTHING` includes files of nested manifests.
    """
    every = names is EVERYTHING
    patterns = _split([n for kind in _recorded(folder).values() for n in kind])
    if names is not EVERYTHING:
        patterns = _split(names)
    owners, found = _Owners(folder), []
    for path in _files(folder):
        place = _place(_inner(folder, path), patterns)
        if (every or place < len(patterns)) and owners.kinds(path):
            found.append((place, path))
    return [path for _, path in sorted(found)]


def remove(folder: Path, names: Sequence[str] | None = EVERYTHING) -> None:
    """Remove only the files that the manifests in a folder list."""
    paths = owned_files(folder, names)
    for path in paths:
        path.unlink(missing_ok=True)
    prune(folder, paths)


def forget(folder: Path) -> None:
    """Remove the manifest of a folder whose files were all removed."""
    (folder / NAME).unlink(missing_ok=True)


def prune(folder: Path, paths: Sequence[Path]) -> None:
    """Remove subfolders that became empty when files were removed."""
    emptied = {
        parent for path in paths for parent in path.parents if folder in parent.parents
    }
    for inner in sorted(emptied, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            if {path.name for path in inner.iterdir()} == {NAME}:
                (inner / NAME).unlink()
            inner.rmdir()


def list_files(folder: Path) -> list[str]:
    """Return the names of all files in a folder, for a manifest."""
    return ["/".join(_inner(folder, path)) for path in _files(folder)]


def _files(folder: Path) -> Iterator[Path]:
    """Yield files and links in a folder by name, without temporary and own files."""
    for parent, folders, files in os.walk(folder):
        inside = Path(parent)
        links = [name for name in folders if (inside / name).is_symlink()]
        folders[:] = sorted(
            name
            for name in folders
            if name not in (*links, "__pycache__") and not _ASIDE.match(name)
        )
        for name in sorted([*files, *links]):
            if name not in (NAME, LOCK):
                yield inside / name


def _inner(folder: Path, path: Path) -> tuple[str, ...]:
    """Return the parts of a path in a folder, without the suffix of partial files."""
    *outer, name = path.relative_to(folder).parts
    return (*outer, _PARTIAL.sub("", name))


class _Owners:
    """Manifests of a folder and its subfolders, each read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._recorded: dict[Path, dict[str, list[str]]] = {}

    def kinds(self, path: Path) -> set[str]:
        """Return the kinds of command that wrote a file, empty for a foreign file."""
        found = set()
        for parent in path.parents:
            if parent not in self._recorded:
                self._recorded[parent] = _recorded(parent)
            for kind, names in self._recorded[parent].items():
                if _place(_inner(parent, path), _split(names)) < len(names):
                    found.add(kind)
            if parent == self.folder:
                break
        return found


def _split(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [PurePosixPath(name).parts for name in names]


def _place(path: Sequence[str], patterns: Sequence[Sequence[str]]) -> int:
    """Return the index of the first pattern that a path matches, else their number."""
    for number, pattern in enumerate(patterns):
        if len(path) == len(pattern) and _overlap(path, pattern):
            return number
    return len(patterns)


def _overlap(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a pattern, or blocks one of its folders."""
    if not all(fnmatchcase(a, b) for a, b in zip(path, pattern, strict=False)):
        return False
    return len(path) >= len(pattern) or path[-1] == pattern[len(path) - 1]


def _recorded(folder: Path) -> dict[str, list[str]]:
    """Return the names in the manifest of a folder, or of older versions, by kind."""
    path = folder / NAME
    if not path.is_file():
        return {
            kind: list(names)
            for kind, (markers, names) in _LEGACY.items()
            if any(keys <= _keys(folder / file) for file, keys in markers.items())
        }
    recorded = read_json(path, "remove it, and leave in the folder only files to lose")
    return {
        kind: [str(name) for name in names]
        for kind, names in recorded.items()
        if isinstance(names, list)
    }


def _keys(path: Path) -> set[str]:
    """Return the top-level keys of a JSON or YAML file, empty for any other file."""
    try:
        if path.suffix == ".yaml":
            return set(re.findall(r"^(\w+):", path.read_text("utf-8"), re.MULTILINE))
        return set(read_json(path, ""))
    except (InputError, OSError, UnicodeDecodeError):
        return set()
