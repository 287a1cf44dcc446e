"""TensorBoard on runs, started by their names."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.runs.directory import run_folders

EVENTS = "*tfevents*"


def find_boards(names: Sequence[str]) -> dict[str, Path]:
    """Return the folders that TensorBoard shows, by the name it gives them.

    Args:
        names: Of runs, or folders with event files anywhere below; `saved_models`, all
            runs of the working directory, if there are none.

    Raises:
        InputError: If a folder is missing or nothing in it was written for TensorBoard,
            or if two have the same name.
    """
    if not names:
        folder = run_folders()[0]
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; name a run or a folder, or train first."
            )
        return {folder.name: folder}
    boards: dict[str, Path] = {}
    for given in names:
        path = _find(given)
        if path.name in boards:
            raise InputError(
                f"{given}: TensorBoard would call it {path.name!r}, as it does "
                f"{boards[path.name]}; give the folder that holds both."
            )
        boards[path.name] = path
    return boards


def _find(given: str) -> Path:
    candidates = [Path(given).resolve(), *(f / given for f in run_folders())]
    there = [path for path in candidates if path.is_dir()]
    for path in there:
        if next(path.rglob(EVENTS), None) is not None:
            return path
    if there:
        raise InputError(
            f"{there[0]}: nothing in it was written for TensorBoard; training does, "
            "and runs that ship lack it."
        )
    folder = run_folders()[0]
    runs = sorted({p.parts[len(folder.parts)] for p in folder.rglob(EVENTS)})
    known = ", ".join(runs) or "none"
    raise InputError(f"{given}: no such run or folder; runs here: {known}.")


def serve(
    boards: dict[str, Path],
    host: str,
    port: int | None,
    tell: Callable[[str], None],
) -> None:
    """Run TensorBoard until it is interrupted.

    Args:
        boards: Folders by name.
        host: Name or address to listen at.
        port: 0 for any that is free; the first free one from 6006 on if `None`.
        tell: Called with the address once it answers.

    Raises:
        InputError: If it cannot listen there.
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
            f"({' '.join(str(error).split())}); give another --port, or 0 for any "
            "that is free."
        ) from error
    except KeyboardInterrupt:
        return
