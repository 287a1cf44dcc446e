"""Processes that run solvers: a new process for each tracer, with limited CPU time.

Solvers in Fortran keep state in their modules, print, crash and hang. Therefore a
solver process imports the solver once and forks a child for each tracer, which takes
milliseconds.
"""

import contextlib
import math
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import numpy as np

from astrokeras.config import SolverConfig
from astrokeras.errors import InputError
from astrokeras.solvers.solver import Parameter, SolverError, make_solver
from astrokeras.system.backend import THREAD_VARIABLES

DESCRIBED = ("species", "parameters", "initial", "shortest", "facts")
FACTS = ("solver", "network", "tolerances", "constants")
PATIENCE = 20
"""Wall time, relative to the CPU limit, after which a process that sleeps is killed."""


def in_fresh_process(
    function: Callable[..., Any],
    *arguments: Any,
    limit: float,
    parent: Connection | None = None,
) -> Any:
    """Call a function in a forked process and return its result; its output is dropped.

    Args:
        function: The function; this process must have a single thread.
        *arguments: Its arguments.
        limit: CPU seconds after which the forked process is killed, rounded up to whole
            ones.
        parent: Connection; if it receives data or is closed, the forked process is
            killed.

    Returns:
        The result of the function.

    Raises:
        SolverError: If the function failed, was killed, or took too long.
    """
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(writer, limit, function, arguments))
    child.start()
    writer.close()
    try:
        seconds = PATIENCE * limit
        ready = wait([reader] if parent is None else [reader, parent], seconds)
        if parent in ready:
            raise SystemExit  # The caller no longer waits for the answer.
        if not ready:
            raise SolverError(
                f"not done after {seconds:g} s, {PATIENCE} times solver.cpu_limit"
            )
        try:
            failed, answer = reader.recv()
        except EOFError as error:
            child.join()
            if child.exitcode == -signal.SIGXCPU:
                reason = f"it took more than {limit:g} CPU seconds (solver.cpu_limit)"
            else:
                reason = f"its process ended with {child.exitcode}"
            raise SolverError(reason) from error
    finally:
        child.kill()
        child.join()
        reader.close()
    if failed:
        raise SolverError(answer)
    return answer


def _answer(
    writer: Connection, limit: float, function: Callable[..., Any], arguments: Any
) -> None:
    """Send the result of a function, or the reason of its failure."""
    seconds = math.ceil(limit)
    # The first limit ends the process by SIGXCPU, the second by SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence()
    try:
        answer = (False, function(*arguments))
    except Exception as error:
        kind = "" if isinstance(error, SolverError) else f"{type(error).__name__}: "
        answer = (True, f"{kind}{error}")
    writer.send(answer)


def silence() -> None:
    """Discard the output of this process, also that of Fortran code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class SolverProcess:
    """Process that imports a solver once and solves tracers one after the other.

    Args:
        config: Configuration of the solver.

    Attributes:
        species: See `Solver`.
        parameters: See `Solver`.
        initial: See `Solver`.
        shortest: See `Solver`.
        facts: See `Solver`.

    Raises:
        InputError: If there is no such solver, or it is not installed.
    """

    species: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    initial: np.ndarray
    shortest: float
    facts: Mapping[str, str]

    def __init__(self, config: SolverConfig):
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "astrokeras.solvers.process",
                    f"{theirs.fileno()}",
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ
                | dict.fromkeys(THREAD_VARIABLES, "1")
                # The process imports the same modules as this one.
                | {"PYTHONPATH": os.pathsep.join(sys.path)},
                # Ctrl-C must reach only the waiting command.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        try:
            described = self._ask(config)
        except BaseException:
            self.close()
            raise
        for name, value in described.items():
            setattr(self, name, value)

    def solve(
        self, time: np.ndarray, physical: Mapping[str, np.ndarray], initial: np.ndarray
    ) -> np.ndarray:
        """Return the abundances of a tracer, see `Solver.solve`.

        Raises:
            SolverError: If the solver fails, crashes, or exceeds its CPU limit; it has
                the states that were reached.
        """
        return self._ask((time, dict(physical), initial))

    def _ask(self, message: Any) -> Any:
        try:
            self.connection.send(message)
            kind, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise SolverError(f"the solver's process ended ({error})") from error
        if kind is not None:
            raise kind(*answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "SolverProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(connection: Connection) -> NoReturn:
    """Serve requests of a `SolverProcess` until it closes the connection."""
    with contextlib.suppress(EOFError, OSError):
        config = connection.recv()
        try:
            solver = make_solver(config)
            facts = {name: getattr(solver, name) for name in DESCRIBED}
            _check(facts)
        except (InputError, SolverError) as error:
            connection.send((type(error), (str(error),)))
            os._exit(2)
        except Exception as error:
            fault = f"solver.kind is {config.kind!r}: {type(error).__name__}: {error}"
            connection.send((InputError, (f"{fault}; correct the solver.",)))
            os._exit(2)
        connection.send((None, facts))
        while True:
            time, physical, initial = connection.recv()
            solver.prepare(len(time))
            try:
                solved = in_fresh_process(
                    solver.solve,
                    *(time, physical, initial),
                    limit=config.cpu_limit,
                    parent=connection,
                )
                connection.send((None, solved))
            except SolverError as error:
                states = solver.reached()
                if len(states):
                    states[0] = initial
                connection.send((SolverError, (str(error), states)))
    os._exit(0)


def _check(described: Mapping[str, Any]) -> None:
    """Raise ValueError if a solver lacks provenance or its initial abundances."""
    missing = [name for name in FACTS if name not in described["facts"]]
    if missing:
        raise ValueError(f"its `facts` lack {', '.join(missing)}")
    wanted = (len(described["species"]),)
    if np.shape(described["initial"]) != wanted:
        raise ValueError(f"its `initial` lacks the shape {wanted} of its `species`")


if __name__ == "__main__":
    channel = Connection(int(sys.argv[1]))
    silence()
    _serve(channel)
