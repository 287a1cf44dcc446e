"""Searches by several processes: keras-tuner's chief and its workers.

The chief proposes trials and keeps the state, but trains no trial itself. Workers, on
the same machine or on others that share its file system, request trials from it.
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
    """The role of this process in a search.

    Attributes:
        chief: Address `HOST:PORT` of the chief; None for a search by one process.
        worker: Name of this worker; None for the chief, or for a single process.
    """

    chief: str | None = None
    worker: str | None = None


def find_team(chief: str | None = None, worker: str | None = None) -> Team:
    """Return the role of this process, from the command line or the environment.

    Args:
        chief: `HOST:PORT`; by default from the variables `KERASTUNER_ORACLE_IP` and
            `KERASTUNER_ORACLE_PORT`.
        worker: Unique name of the worker; by default from `KERASTUNER_TUNER_ID`, which
            is `chief` for the chief.

    Raises:
        InputError: If a part is missing or wrong, or the chief cannot listen.
    """
    host, port = (os.environ.get(name) for name in ADDRESS)
    if chief is None and host:
        if not port:
            raise InputError(f"{ADDRESS[0]} is set and {ADDRESS[1]} is not; set both.")
        if worker is None and not os.environ.get(NAME):
            raise InputError(
                f"{ADDRESS[0]} is set and {NAME} is not; set it to chief, or to a "
                "unique name of this worker."
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
            f"--worker {worker!r}: give each worker a unique name without 'chief' in "
            "it."
        )
    host, _, port = chief.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--chief {chief}: give HOST:PORT, such as node1:8000.")
    if worker is None:
        _check_port(host, int(port))
    return Team(chief, worker)


def enter_team(team: Team) -> None:
    """Set the environment variables by which keras-tuner learns this process' role."""
    if team.chief is None:
        return
    host, _, port = team.chief.rpartition(":")
    os.environ.update(dict(zip(ADDRESS, (host, port), strict=True)))
    os.environ[NAME] = team.worker or "chief"
    # gRPC would use a proxy even for a machine of the same network.
    direct = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host]
    os.environ["no_proxy"] = ",".join(name for name in direct if name)


def await_file(path: Path, team: Team) -> None:
    """Wait until the chief has written a file, after everything that workers need."""
    if not path.is_file():
        report(f"{team.worker} waits for the chief at {team.chief} to write {path}.")
    while not path.is_file():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _check_port(host: str, port: int) -> None:
    """Raise InputError if this process cannot listen at an address."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise InputError(
            f"--chief {host}:{port}: cannot listen there ({error}); give an address of "
            "this machine and a free port."
        ) from error
