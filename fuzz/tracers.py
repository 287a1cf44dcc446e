"""Fuzzes the reader of tracer files: `python fuzz/tracers.py -runs=10000`.

A small tracer file with some of its bytes changed is read or refused in a line; the
process that reads it must outlive it.
"""

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["astrokeras.data"]):
    from astrokeras.data.tracers import hdf5_sandbox
    from astrokeras.data.tracers.block import empty_tracers
    from astrokeras.data.tracers.reader import TracerStore
    from astrokeras.data.tracers.writer import TracerWriter

from astrokeras.errors import InputError

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
SPECIES, PARAMETERS = ("H", "H2", "CO"), ("Density", "Av")


def make() -> bytes:
    """Return a tracer file of three tracers."""
    tracers = empty_tracers(3, 4, len(SPECIES), len(PARAMETERS))
    tracers.abundances[:], tracers.physical[:] = 0.1, 10.0
    tracers.time[:], tracers.split[:] = np.arange(4), np.arange(3)
    with TracerWriter(
        FOLDER / "whole.h5",
        species=SPECIES,
        parameters=PARAMETERS,
        units=("cm^-3", "mag"),
        states=4,
        attributes={"source": "fuzzing", "elements": ["H", "C", "O"]},
    ) as writer:
        writer.append(tracers)
    return (FOLDER / "whole.h5").read_bytes()


WHOLE = make()


def check(data: bytes) -> None:
    """Change bytes where the first of each triple of numbers says, and read all."""
    source = atheris.FuzzedDataProvider(data)
    changed = bytearray(WHOLE)
    for _ in range(source.ConsumeIntInRange(0, 12)):
        place = source.ConsumeIntInRange(0, len(changed) - 1)
        new = source.ConsumeBytes(source.ConsumeIntInRange(1, 8))
        changed[place : place + len(new)] = new
    length = source.ConsumeIntInRange(0, 9)
    if length == 0:
        changed = changed[: source.ConsumeIntInRange(0, len(changed))]
    path = FOLDER / "changed.h5"
    path.write_bytes(changed)
    hdf5_sandbox.forget()
    try:
        with TracerStore(path) as store:
            store.read(slice(None))
            _ = store.elements
    except InputError as error:
        message = str(error)
        if not message.startswith(str(path)) or len(message) > 2000:
            raise ValueError(f"a refusal that names no file: {message}") from error


if __name__ == "__main__":
    # Some hundred bytes say all changes; short inputs alone would say few.
    atheris.Setup([*sys.argv, "-len_control=0", "-max_len=256"], check)
    atheris.Fuzz()
