"""Several processes at one search, by keras-tuner's own chief and workers.

The chief proposes and keeps the state, and trains no trial; workers, on its machine or
on others that share its file system, ask it for trials.
"""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.system.progress import report

ADDRESS = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
NAME = "KERASTUNER_TUNER_ID"
SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Team:
    """Which part this process has in a search.

    Attributes:
        chief: Address `HOST:PORT` of the chief; None for a search by one process.
        worker: Name of this worker; None for the chief, or for the only process.
    """

    chief: str | None = None
    worker: str | None = None


def find_team(chief: str | None = None, worker: str | None = None) -> Team:
    """Return this process' part, from the command line or keras-tuner's environment.

    Args:
        chief: `HOST:PORT`; by default what `KERASTUNER_ORACLE_IP` and `_PORT` say.
        worker: A name of its own; by default what `KERASTUNER_TUNER_ID` says, of which
            `chief` stands for the chief.

    Raises:
        InputError: If something is missing or cannot be.
    """
    host, port = (os.environ.get(name) for name in ADDRESS)
    if chief is None and host:
        if not port:
            raise InputError(f"{ADDRESS[0]} is set and {ADDRESS[1]} is not; set both.")
        if worker is None and not os.environ.get(NAME):
            raise InputError(
                f"{ADDRESS[0]} is set and {NAME} is not; set it to chief, or to a "
                "name of this worker's own."
            )
        worker = worker or os.environ[NAME]
        worker = None if worker == "chief" else worker
        chief = f"{host}:{port}"
    if chief is None:
        if worker is not None:
            raise InputError(
                f"--worker {worker}: a worker needs the address of its chief; give "
                "--chief HOST:PORT."
            )
        return Team()
    if worker is not None and ("chief" in worker or not worker):
        raise InputError(
            f"--worker {worker!r}: give each worker a name of its own, without 'chief' "
            "in it."
        )
    host, _, port = chief.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--chief {chief}: is no HOST:PORT, such as node1:8000.")
    if worker is None:
        _check_port(host, int(port))
    return Team(chief, worker)


def enter_team(team: Team) -> None:
    """Tell keras-tuner, which reads its environment, who this process is."""
    if team.chief is None:
        return
    host, _, port = team.chief.rpartition(":")
    os.environ.update(dict(zip(ADDRESS, (host, port), strict=True)))
    os.environ[NAME] = team.worker or "chief"
    # gRPC would ask a proxy for a machine of the same network.
    direct = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host]
    os.environ["no_proxy"] = ",".join(name for name in direct if name)


def await_file(path: Path, team: Team) -> None:
    """Wait until the chief has prepared what all share, and said so in a file."""
    if not path.is_file():
        report(f"{team.worker} waits until the chief at {team.chief} wrote {path}.")
    while not path.is_file():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _check_port(host: str, port: int) -> None:
    """Refuse an address at which this process cannot listen."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise InputError(
            f"--chief {host}:{port}: cannot listen there ({error}); give an address of "
            "this machine and a free port."
        ) from error
