"""Handling of SIGINT and SIGTERM: a timely exit that prints how to resume.

Nothing needs to be saved at the exit: every file that a command writes is complete or
absent at any time, and a command resumes from its last checkpoint.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

RESUMABLE = ("train", "tune", "predict", "data generate")
# Seconds in which the command may end by itself, for example finish a batch.
PATIENCE = 6.0


class Terminated(KeyboardInterrupt):
    """Interruption by SIGTERM, which ends a command like Ctrl-C."""


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of shells: 143 for SIGTERM and 130 for SIGINT."""
    kind = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    return 128 + kind


def way_back(words: Sequence[str]) -> str | None:
    """Return a line with the command that resumes the work, `None` if there is none.

    Args:
        words: The command line without the name of the program.
    """
    before = ("", *words)  # The word before each word.
    command = next(
        (
            i
            for i, word in enumerate(words)
            if not word.startswith("-") and before[i] not in ("--backend", "--threads")
        ),
        None,
    )
    if command is None:
        return None
    first, command = command, command + (words[command] == "data")
    if " ".join(words[first : command + 1]) not in RESUMABLE:
        return None
    start, rest = words[: command + 1], words[command + 1 :]
    rest = [word for word in rest if word not in ("--resume", "--overwrite")]
    return f"Go on with: {shlex.join(['astrokeras', *start, '--resume', *rest])}"


def leave(code: int) -> NoReturn:
    """End the process without waiting for the threads of a backend."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def heed_signals(words: Sequence[str]) -> None:
    """Make SIGTERM raise `Terminated`, and end the process if a signal has no effect.

    Python handles a signal between two lines, not within a call to a backend, which may
    take long. A thread waits `PATIENCE` seconds for the process to end, then ends it. A
    signal whose exception Python suppresses, as during garbage collection, is sent
    again.

    Args:
        words: The command line without the name of the program, for `way_back`.
    """

    def terminate(*_: object) -> NoReturn:
        raise Terminated

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGTERM, terminate)
    # Python writes to it as soon as a signal arrives, even in a call to a backend.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def send_again(lost: Any) -> None:
        error = lost.exc_value
        if not isinstance(error, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        number = exit_code(error) - 128
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = send_again

    def watch() -> None:
        number = 0
        while number not in (signal.SIGINT, signal.SIGTERM):
            number = os.read(reader, 1)[0]
        threading.Event().wait(PATIENCE)
        print(way_back(words) or "Interrupted.", file=sys.stderr)
        leave(128 + number)

    threading.Thread(target=watch, name="signals", daemon=True).start()
