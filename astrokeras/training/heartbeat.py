"""Connections between the processes of one training: barriers and signs of life.

Rank 0 listens and all others connect to it; a message is one line of text. Background
threads send and receive, because the main thread may wait forever in a sum over
processes of which one has died.
"""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
from queue import SimpleQueue
from types import TracebackType
from typing import TextIO

from astrokeras.errors import InputError, WorkError

INTERVAL = 5.0  # seconds between two signs of life
TIMEOUT = 30.0  # seconds without a sign of life after which a process counts as dead
START_TIMEOUT = 300.0  # seconds within which all processes of a training must start
GRACE = 5.0  # seconds in which a failing process can still print its own message


class Heartbeat:
    """Connects a process to the others of its training and notices when one dies.

    As soon as another process is gone, this one names it on stderr and ends with exit
    code 1, whatever it is doing. On leaving the context it tells the others that it has
    finished, or why it failed.

    Args:
        rank: Number of this process.
        world_size: Number of processes.
        host: Host of rank 0.
        port: Port on which rank 0 listens there.

    Raises:
        WorkError: If rank 0 cannot listen there, or does not within `START_TIMEOUT`.
    """

    def __init__(self, rank: int, world_size: int, host: str, port: int):
        self.rank = rank
        self.world_size = world_size
        self._names = {0: f"rank 0 at {host}"}
        self._sockets: dict[int, socket.socket] = {}
        # Texts of the other processes at barriers.
        self._inbox: dict[int, SimpleQueue[str]] = {
            other: SimpleQueue() for other in range(world_size)
        }
        self._finished: set[int] = set()
        self._closed = False
        self._sending = threading.Lock()
        if rank == 0:
            self._listen(host, port)
        else:
            self._connect(host, port)
        threading.Thread(target=self._send_signs_of_life, daemon=True).start()

    def barrier(self, what: str) -> None:
        """Wait until all processes have called this with the same text.

        Args:
            what: The point in the training, with the values that must agree.

        Raises:
            WorkError: If another process gives another text.
        """
        if self.rank:
            self._send(0, f"barrier {what}")
            answer = self._inbox[0].get()
        else:
            answer = "go"
            others = range(1, self.world_size)
            for other in others:
                text = self._inbox[other].get()
                if text != what and answer == "go":
                    answer = f"{self._names[other]} is at {text!r}, rank 0 at {what!r}"
            for other in others:
                self._send(other, f"barrier {answer}")
        if answer != "go":
            raise WorkError(
                f"the processes of this training disagree: {answer}; start all with "
                "the same command, data and versions."
            )

    def __enter__(self) -> "Heartbeat":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.barrier("end")
            text = "finished"
        else:
            ours = isinstance(error, InputError | WorkError)
            if not ours and isinstance(error, Exception):
                # A sum over processes failed because one of them is gone. The threads
                # will name it.
                time.sleep(GRACE)
            reason = " ".join(str(error).split()) or type(error).__name__
            text = f"failed {reason}"
            # At exit JAX would wait for processes that no longer respond.
            atexit.register(_exit_at_once, error)
        self._closed = True
        for other, link in list(self._sockets.items()):
            self._send(other, text)
            # The other side reads to the end and closes, as does the thread here.
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)

    def _listen(self, host: str, port: int) -> None:
        """Listen for the other processes, as rank 0."""
        try:
            server = socket.create_server((host, port))
        except OSError as error:
            raise WorkError(
                f"rank 0 cannot listen at {host}:{port} ({error.strerror or error}); "
                "give another training.coordinator, a host name and port of rank 0."
            ) from error
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        """Accept connections until all processes are connected."""
        end = time.monotonic() + START_TIMEOUT
        with server:
            while missing := set(range(1, self.world_size)) - set(self._sockets):
                server.settimeout(max(0.1, end - time.monotonic()))
                try:
                    link, (address, *_) = server.accept()
                except TimeoutError:
                    self._abort(
                        f"rank {min(missing)} did not start in {START_TIMEOUT:.0f} s"
                    )
                link.settimeout(TIMEOUT)
                lines = link.makefile(encoding="utf-8")
                with contextlib.suppress(OSError, ValueError):
                    rank = int(lines.readline())
                    if rank in missing:
                        self._names[rank] = f"rank {rank} at {address}"
                        self._start(rank, link, lines)

    def _connect(self, host: str, port: int) -> None:
        """Connect to rank 0."""
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                link = socket.create_connection((host, port), TIMEOUT)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise WorkError(
                        f"rank 0 does not answer at {host}:{port} "
                        f"({error.strerror or error}); start all processes within "
                        f"{START_TIMEOUT:.0f} s, with training.coordinator the host "
                        "and a free port of rank 0."
                    ) from error
                time.sleep(0.5)
        self._start(0, link, link.makefile(encoding="utf-8"))
        self._send(0, str(self.rank))

    def _start(self, other: int, link: socket.socket, lines: TextIO) -> None:
        """Start the thread that receives from another process."""
        self._sockets[other] = link
        threading.Thread(target=self._receive, args=(other, lines), daemon=True).start()

    def _receive(self, other: int, lines: TextIO) -> None:
        """Receive messages of another process until it closes the connection."""
        with contextlib.suppress(OSError, ValueError), self._sockets[other], lines:
            for line in lines:
                word, _, rest = line.strip().partition(" ")
                if word == "barrier":
                    self._inbox[other].put(rest)
                elif word == "finished":
                    self._finished.add(other)
                elif word == "failed":
                    # This process may be about to fail with the same message.
                    time.sleep(GRACE)
                    self._abort(f"{self._names[other]} failed: {rest}")
                elif word == "aborted":
                    self._abort(rest)
        if other not in self._finished:
            self._abort(f"{self._names[other]} is gone")

    def _abort(self, why: str) -> None:
        """End this process with an error message, which the others receive too."""
        if self._closed:
            return
        self._closed = True
        for other in list(self._sockets):
            self._send(other, f"aborted {why}")
        print(
            f"Error: {why}; start all processes again with --resume to continue after "
            "the last finished epoch.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    def _send_signs_of_life(self) -> None:
        """Send a sign of life to the other processes at regular intervals."""
        while not self._closed:
            for other in list(self._sockets):
                self._send(other, "alive")
            time.sleep(INTERVAL)

    def _send(self, other: int, text: str) -> None:
        """Send a line to another process."""
        # If the other process is gone, the thread that receives from it will notice.
        with contextlib.suppress(OSError), self._sending:
            self._sockets[other].sendall(f"{text}\n".encode())


def _exit_at_once(error: BaseException) -> None:
    """End this process with the exit code of an error, without waiting for threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    interrupted = isinstance(error, KeyboardInterrupt)
    os._exit(130 if interrupted else 2 if isinstance(error, InputError) else 1)
