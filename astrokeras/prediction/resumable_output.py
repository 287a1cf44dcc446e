"""Resumable output: finished parts of a file, kept until the whole file is written."""

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astrokeras.errors import InputError
from astrokeras.system.atomic_files import check_out, read_json, write_text
from astrokeras.system.folder_lock import hold
from astrokeras.system.manifest import PARTS, check_names, claim, forget, remove


class ResumableOutput:
    """The folder `OUT.h5.parts` beside the file to write.

    A prediction keeps each finished block of tracers there as a tracer file, and a
    generation keeps its finished tracers in the results log. An interruption loses the
    block or the tracers in progress and no others.

    Args:
        out: The file to write.
        work: Name of the work in messages.
    """

    def __init__(self, out: Path, work: str = "prediction"):
        self.out = out
        self.work = work
        self.folder = out.parent / f"{out.name}.parts"
        self.signature = self.folder / "facts.json"

    def check(self, given: Path, resume: bool, overwrite: bool) -> None:
        """Raise InputError if a file or interrupted work would be lost.

        Args:
            given: The input file, which is never replaced.
            resume: Whether to continue the interrupted work.
            overwrite: Whether to replace a file or interrupted work.

        Raises:
            InputError: As `check_out` does, if there is interrupted work that is
                neither resumed nor replaced, or none to resume, or if the folder holds
                files of the same names from another program.
        """
        begun = self.signature.is_file()
        if resume and not begun:
            done = ", and the file is there: it was finished" * self.out.is_file()
            raise InputError(
                f"{self.out}: there is no interrupted {self.work} to resume{done}; "
                "start without --resume."
            )
        check_out(self.out, given, overwrite or resume)
        if begun and not (resume or overwrite):
            raise InputError(
                f"{self.folder}: holds an interrupted {self.work}; continue it with "
                "--resume, or start again with --overwrite."
            )
        check_names(self.folder, PARTS)

    @contextmanager
    def opened(self, signature: dict[str, Any], resume: bool) -> Iterator[None]:
        """Lock the folder, and remove it when the block ends without an error.

        Args:
            signature: Inputs and settings that must be the same on resumption.
            resume: Whether to keep the finished blocks.

        Raises:
            InputError: If another process uses the folder, or the signature differs.
        """
        with hold(self.folder):
            if resume:
                self._compare(signature)
            else:
                self._clear()
                claim(self.folder, self.work, PARTS)
                write_text(self.signature, json.dumps(signature))
            yield
            self._clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def block(self, number: int) -> Path:
        """Return the path of a block, a file that exists once the block is finished."""
        return self.folder / f"{number:06}.h5"

    def _compare(self, signature: dict[str, Any]) -> None:
        then = read_json(self.signature, "start again with --overwrite")
        for key, value in json.loads(json.dumps(signature)).items():
            if then.get(key) != value:
                raise InputError(
                    f"{self.folder}: {key} was {then.get(key)} when the {self.work} "
                    f"was interrupted and is {value} now; give the same, or start "
                    "again with --overwrite."
                )

    def _clear(self) -> None:
        # Without the signature, which is removed first, there is no work to resume.
        remove(self.folder, PARTS)
        forget(self.folder)
