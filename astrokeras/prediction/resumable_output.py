"""A prediction or a generation on its way, until what is finished is one file."""

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
    """The folder `OUT.h5.parts` beside the file that is to be written.

    Of a prediction each finished block of tracers is a whole tracer file in it, of a
    generation all finished tracers lie in its journal. An interruption at any moment
    loses the block or the tracer that was worked on and no other.

    Args:
        out: The file to write.
        work: What it is called in messages.
    """

    def __init__(self, out: Path, work: str = "prediction"):
        self.out = out
        self.work = work
        self.folder = out.parent / f"{out.name}.parts"
        self.facts = self.folder / "facts.json"

    def check(self, given: Path, resume: bool, overwrite: bool) -> None:
        """Refuse to replace a file or an interrupted prediction unless told to.

        Args:
            given: The file that is read meanwhile; it is never replaced.
            resume: Whether to go on with the interrupted prediction.
            overwrite: Whether a file or an interrupted prediction may be replaced.

        Raises:
            InputError: As `check_out` does, if there is an interrupted prediction that
                is neither resumed nor replaced, or none to resume, or if the folder
                holds files of the same names that are something else's.
        """
        begun = self.facts.is_file()
        if resume and not begun:
            done = ", and the file is there: it was finished" * self.out.is_file()
            raise InputError(
                f"{self.out}: there is no interrupted {self.work} to resume{done}; "
                "start without --resume."
            )
        check_out(self.out, given, overwrite or resume)
        if begun and not (resume or overwrite):
            raise InputError(
                f"{self.folder}: holds an interrupted {self.work}; go on with "
                "--resume, or begin anew with --overwrite."
            )
        check_names(self.folder, PARTS)

    @contextmanager
    def opened(self, facts: dict[str, Any], resume: bool) -> Iterator[None]:
        """Keep the folder to this process; remove it when the block ends well.

        Args:
            facts: What must not change between interruption and resumption.
            resume: Whether to keep the blocks that are there.

        Raises:
            InputError: If another process is at it, or the facts differ.
        """
        with hold(self.folder):
            if resume:
                self._compare(facts)
            else:
                self._clear()
                claim(self.folder, self.work, PARTS)
                write_text(self.facts, json.dumps(facts))
            yield
            self._clear()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def block(self, number: int) -> Path:
        """Return the file of a block; it is there once the block is finished."""
        return self.folder / f"{number:06}.h5"

    def _compare(self, facts: dict[str, Any]) -> None:
        then = read_json(self.facts, "begin anew with --overwrite")
        for key, value in json.loads(json.dumps(facts)).items():
            if then.get(key) != value:
                raise InputError(
                    f"{self.folder}: {key} was {then.get(key)} when the {self.work} "
                    f"was interrupted and is {value} now; give the same, or begin anew "
                    "with --overwrite."
                )

    def _clear(self) -> None:
        # The facts go first: without them it is no interrupted work any more.
        remove(self.folder, PARTS)
        forget(self.folder)
