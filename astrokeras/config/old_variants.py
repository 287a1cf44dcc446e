"""Configuration files of earlier versions: read with the new names of their keys."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from astrokeras.system.old_names import (
    CONFIGURATION,
    FIT,
    SOLVER,
    STAGE,
    rename_configuration,
    rename_keys,
    rename_space,
    rename_stage,
)

_OLD_KEY = re.compile(rf"\b({'|'.join(STAGE | FIT | SOLVER | CONFIGURATION)})\b *:")


@contextmanager
def with_new_names(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the folders, replaced by temporary copies where files have old keys.

    Args:
        folders: Folders of variants as `configs/` has them, in the order of the search.
    """
    with ExitStack() as stack:
        found = []
        for folder in folders:
            renamed = _renamed_files(folder)
            if renamed:
                copy = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                _copy_variants(folder, copy, renamed)
                folder = copy
            found.append(folder)
        yield found


def _renamed_files(folder: Path) -> dict[Path, dict[str, Any]]:
    """Return the content of each file with an old key, under the new names."""
    import yaml

    renamed = {}
    for path in [folder / "config.yaml", *sorted(folder.glob("*/*.yaml"))]:
        try:
            text = path.read_text(encoding="utf-8")
            if not _OLD_KEY.search(text):  # parsing takes a hundred times as long
                continue
            stored = yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue  # Hydra says what is wrong with a file that it needs.
        if isinstance(stored, Mapping):
            content = _rename(
                path.parent.name if path.name != "config.yaml" else "", stored
            )
            if content != stored:
                renamed[path.relative_to(folder)] = content
    return renamed


def _rename(group: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variant of a group, or the root, under the new names of its keys."""
    if group in ("autoencoder", "emulator"):
        return rename_stage(stored)
    if group == "solver":
        return rename_keys(stored, SOLVER)
    if group == "tuner" and isinstance(stored.get("space"), Mapping):
        return {**stored, "space": rename_space(stored["space"])}
    return rename_configuration(stored) if not group else dict(stored)


def _copy_variants(
    folder: Path, copy: Path, renamed: Mapping[Path, Mapping[str, Any]]
) -> None:
    import yaml

    for path in [folder / "config.yaml", *folder.glob("*/*.yaml")]:
        if not path.is_file():
            continue
        name = path.relative_to(folder)
        (copy / name).parent.mkdir(exist_ok=True)
        if name in renamed:
            (copy / name).write_text(yaml.safe_dump(dict(renamed[name])))
        else:
            shutil.copyfile(path, copy / name)
