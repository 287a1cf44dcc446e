"""TensorBoard server for runs, which are found by their names."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.runs.directory import run_folders
from astrokeras.system.close_names import suggest

EVENTS = "*tfevents*"


def find_boards(names: Sequence[str]) -> dict[str, Path]:
    """Return the folders that TensorBoard shows, by their names in TensorBoard.

    Args:
        names: Names of runs, or folders with event files in any subfolder; if empty,
            `saved_models` with all runs of the working directory.

    Raises:
        InputError: If a folder is missing or has no event files, or if two folders
            have the same name.
    """
    if not names:
        folder = run_folders()[0]
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; name a run or a folder, or train first."
            )
        return {folder.name: folder}
    boards: dict[str, Path] = {}
    for name in names:
        path = _find(name)
        if path.name in boards:
            raise InputError(
                f"{name}: TensorBoard would call it {path.name!r}, as it does "
                f"{boards[path.name]}; give the folder that contains both."
            )
        boards[path.name] = path
    return boards


def _find(name: str) -> Path:
    """Return the folder with event files of a run's name or a path."""
    candidates = [Path(name).resolve(), *(f / name for f in run_folders())]
    existing = [path for path in candidates if path.is_dir()]
    for path in existing:
        if next(path.rglob(EVENTS), None) is not None:
            return path
    if existing:
        raise InputError(
            f"{existing[0]}: this folder has no event files of TensorBoard; name a run "
            "that was trained here, as the shipped runs have none."
        )
    folder = run_folders()[0]
    runs = sorted({p.parts[len(folder.parts)] for p in folder.rglob(EVENTS)})
    known = ", ".join(runs) or "none"
    remedy = suggest(Path(name).name, runs)
    raise InputError(f"{name}: no such run or folder; runs here: {known}{remedy}")


def serve(
    boards: dict[str, Path],
    host: str,
    port: int | None,
    tell: Callable[[str], None],
) -> None:
    """Run TensorBoard until it is interrupted.

    Args:
        boards: Folders by name.
        host: Name or address at which to listen.
        port: Port, 0 for any free one; with `None` the first free one from 6006.
        tell: Function that is called with the address once TensorBoard answers.

    Raises:
        InputError: If TensorBoard cannot listen at this address.
    """
    from tensorboard import default, program

    if len(boards) == 1:
        (folder,) = boards.values()
        where = ["--logdir", str(folder)]
    else:
        pairs = ",".join(f"{name}:{path}" for name, path in boards.items())
        where = ["--logdir_spec", pairs]
    board = program.TensorBoard(plugins=default.get_plugins())
    listen = ["--host", host] + ([] if port is None else ["--port", str(port)])
    board.configure(["tensorboard", *where, *listen])
    try:
        tell(board.launch())
        threading.Event().wait()
    except program.TensorBoardServerException as error:
        raise InputError(
            f"TensorBoard cannot listen at {host}, port {port or '6006 to 6015'} "
            f"({' '.join(str(error).split())}); give another --port, or 0 for any free "
            "port."
        ) from error
    except KeyboardInterrupt:
        return
