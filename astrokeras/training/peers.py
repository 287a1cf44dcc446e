"""The processes of one training: who of them lives, and where they wait for each other.

Rank 0 listens, the others connect; a message is a line of text. Threads of their own
send and receive, because the main one may wait for ever in a sum over processes of
which one has died.
"""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from astrokeras.errors import InputError, WorkError

BEAT = 5.0  # seconds between signs of life
SILENCE = 30.0  # seconds without one after which a process counts as gone
PATIENCE = 300.0  # seconds in which all processes of a training must have started
GRACE = 5.0  # seconds that a process has to end with a message of its own


class Peers:
    """Watches over the processes of a training from one of them.

    As soon as another process is gone, this one says which on stderr and ends with
    exit code 1, wherever it is. As a context it says goodbye to the others, or what it
    failed with.

    Args:
        rank: Number of this process.
        processes: How many there are.
        host: Where rank 0 listens.
        port: Where it listens there.

    Raises:
        WorkError: If rank 0 cannot listen there, or does not within `PATIENCE`.
    """

    def __init__(self, rank: int, processes: int, host: str, port: int):
        self.rank = rank
        self.processes = processes
        self.names = {0: f"rank 0 at {host}"}
        self._changed = threading.Condition()
        self._sockets: dict[int, socket.socket] = {}
        # At rank 0: what each of the others waits at.
        self._arrived: dict[int, list[str]] = {k: [] for k in range(processes)}
        self._answers: list[str] = []  # at the others: what rank 0 answers
        self._left: set[int] = set()
        self._over = False
        self._sending = threading.Lock()
        if rank == 0:
            self._listen(host, port)
        else:
            self._connect(host, port)
        threading.Thread(target=self._beat, daemon=True).start()

    def meet(self, what: str) -> None:
        """Wait until all processes have come here.

        Args:
            what: Where this is, and what all must agree about.

        Raises:
            WorkError: If a process comes with another text.
        """
        if self.rank:
            self._send(0, f"at {what}")
            answer = self._wait_for(self._answers)
        else:
            answer = "go"
            others = range(1, self.processes)
            for rank in others:
                text = self._wait_for(self._arrived[rank])
                if text != what and answer == "go":
                    answer = f"{self.names[rank]} is at {text!r}, rank 0 at {what!r}"
            for rank in others:
                self._send(rank, f"answer {answer}")
        if answer != "go":
            raise WorkError(
                f"the processes of this training disagree: {answer}; start all with "
                "the same command, data and versions."
            )

    def __enter__(self) -> "Peers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.meet("end")
            text = "bye"
        else:
            ours = isinstance(error, InputError | WorkError)
            if not ours and isinstance(error, Exception):
                # A sum in which a process is missing: the threads know which one.
                time.sleep(GRACE)
            words = " ".join(str(error).split()) or type(error).__name__
            text = f"failed {words}"
            # JAX waits at the exit for processes that will not come.
            atexit.register(_leave_at_once, error)
        self._over = True
        for rank, link in list(self._sockets.items()):
            self._send(rank, text)
            # The other side reads to the end and closes; so does the thread here.
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)

    def _listen(self, host: str, port: int) -> None:
        try:
            hub = socket.create_server((host, port))
        except OSError as error:
            raise WorkError(
                f"rank 0 cannot listen at {host}:{port} ({error.strerror or error}); "
                "give another training.coordinator, a host name and port of rank 0."
            ) from error
        threading.Thread(target=self._accept, args=(hub,), daemon=True).start()

    def _accept(self, hub: socket.socket) -> None:
        end = time.monotonic() + PATIENCE
        with hub:
            while missing := set(range(1, self.processes)) - set(self._sockets):
                hub.settimeout(max(0.1, end - time.monotonic()))
                try:
                    link, (address, *_) = hub.accept()
                except TimeoutError:
                    self._leave(
                        f"rank {min(missing)} did not start in {PATIENCE:.0f} s"
                    )
                link.settimeout(SILENCE)
                lines = link.makefile(encoding="utf-8")
                with contextlib.suppress(OSError, ValueError):
                    rank = int(lines.readline())
                    if 0 < rank < self.processes and rank not in self._sockets:
                        self.names[rank] = f"rank {rank} at {address}"
                        self._sockets[rank] = link
                        self._start(rank, lines)

    def _connect(self, host: str, port: int) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                link = socket.create_connection((host, port), SILENCE)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise WorkError(
                        f"rank 0 does not answer at {host}:{port} "
                        f"({error.strerror or error}); start all processes within "
                        f"{PATIENCE:.0f} s, with training.coordinator the host and a "
                        "free port of rank 0."
                    ) from error
                time.sleep(0.5)
        self._sockets[0] = link
        self._send(0, str(self.rank))
        self._start(0, link.makefile(encoding="utf-8"))

    def _start(self, rank: int, lines: TextIO) -> None:
        threading.Thread(target=self._receive, args=(rank, lines), daemon=True).start()

    def _receive(self, rank: int, lines: TextIO) -> None:
        """Take in what another process says until it leaves."""
        with contextlib.suppress(OSError, ValueError), self._sockets[rank], lines:
            for line in lines:
                word, _, rest = line.strip().partition(" ")
                if word in ("at", "answer"):
                    with self._changed:
                        box = self._answers if word == "answer" else self._arrived[rank]
                        box.append(rest)
                        self._changed.notify_all()
                elif word == "bye":
                    self._left.add(rank)
                elif word == "failed":
                    # It may be what this process is about to say itself.
                    time.sleep(GRACE)
                    self._leave(f"{self.names[rank]} failed: {rest}")
                elif word == "gone":
                    self._leave(rest)
        if rank not in self._left:
            self._leave(f"{self.names[rank]} is gone")

    def _leave(self, why: str) -> None:
        """End this process, which cannot go on, and tell the others."""
        if self._over:
            return
        self._over = True
        for rank in list(self._sockets):
            self._send(rank, f"gone {why}")
        print(
            f"Error: {why}; start all processes again with --resume to go on from the "
            "last finished epoch.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    def _wait_for(self, box: list[str]) -> str:
        with self._changed:
            # A signal such as Ctrl-C is seen between the waits alone.
            while not box:
                self._changed.wait(1.0)
            return box.pop(0)

    def _beat(self) -> None:
        while not self._over:
            for rank in list(self._sockets):
                self._send(rank, "alive")
            time.sleep(BEAT)

    def _send(self, rank: int, text: str) -> None:
        # Who does not take it in is gone, and the thread that receives will notice.
        with contextlib.suppress(OSError), self._sending:
            self._sockets[rank].sendall(f"{text}\n".encode())


def _leave_at_once(error: BaseException) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    interrupted = isinstance(error, KeyboardInterrupt)
    os._exit(130 if interrupted else 2 if isinstance(error, InputError) else 1)
