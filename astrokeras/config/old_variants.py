"""Configuration files of earlier versions: read with the new names of their keys."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from astrokeras.config.fields import ConfigError
from astrokeras.system.old_names import (
    CONFIGURATION,
    ENSEMBLE,
    FIT,
    SOLVER,
    STAGE,
    rename_configuration,
    rename_keys,
    rename_space,
    rename_stage,
)

_OLD_KEY = re.compile(rf"\b({'|'.join(STAGE | FIT | SOLVER | CONFIGURATION)})\b *:")
_ENSEMBLE_KEY = re.compile(rf"^({'|'.join(ENSEMBLE)}) *:", re.MULTILINE)


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
        is_root = path.name == "config.yaml"
        try:
            text = path.read_text(encoding="utf-8")
            # Parsing takes a hundred times as long.
            if not (_OLD_KEY.search(text) or (is_root and _ENSEMBLE_KEY.search(text))):
                continue
            stored = yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue  # Hydra says what is wrong with a file that it needs.
        if isinstance(stored, Mapping):
            content = _rename("" if is_root else path.parent.name, stored)
            for key in ENSEMBLE:
                if is_root and key in content:
                    _refuse_ensemble(f"{path}: {key}", content[key])
            if content != stored:
                renamed[path.relative_to(folder)] = content
    return renamed


def without_ensemble(overrides: Sequence[str]) -> list[str]:
    """Return overrides without the number of whole surrogates.

    Raises:
        ConfigError: If that number is not 1.
    """
    kept = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or key not in ENSEMBLE:
            kept.append(override)
        elif value != "1":
            _refuse_ensemble(key, value)
    return kept


def _refuse_ensemble(key: str, value: Any) -> None:
    raise ConfigError(
        f"{key} is {value}, and this version trains no ensembles of whole surrogates; "
        "leave the key out and give emulator.members, the number of cells that share "
        "an autoencoder."
    )


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
