"""Changes bytes of HDF5 files and counts what comes of it: `flips.py 3000 FILE...`.

Every other time the changes lie anywhere, else in the first 6 kB, where libhdf5 keeps
what leads to all the rest. Prints how many files were read, refused, and deadly.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.errors import InputError

BEGINNING = 6000
BYTES = (0, 1, 127, 128, 255)


def change(data: bytes, rng: np.random.Generator, anywhere: bool) -> bytes:
    """Flip up to 40 bits anywhere, or set up to 10 bytes of the beginning."""
    changed = bytearray(data)
    if anywhere:
        for place in rng.integers(0, len(data), rng.integers(1, 40)):
            changed[place] ^= 1 << int(rng.integers(8))
    else:
        for place in rng.integers(0, min(len(data), BEGINNING), rng.integers(1, 10)):
            changed[place] = int(rng.choice([*BYTES, rng.integers(256)]))
    return bytes(changed)


def outcome(path: Path) -> str:
    """Return what becomes of a file that is looked through."""
    hdf5_sandbox.forget()
    try:
        hdf5_sandbox.check_file(path)
    except InputError as error:
        deadly = str(error).partition("the library ")[2].partition(";")[0]
        return deadly or "refused"
    return "read"


def main(runs: int, sources: list[Path]) -> None:
    """Print the tally of so many changed files as JSON."""
    rng = np.random.default_rng(7)
    whole = [source.read_bytes() for source in sources]
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.h5"
        for i in range(runs):
            path.write_bytes(change(whole[i % len(whole)], rng, anywhere=bool(i % 2)))
            tally[outcome(path)] += 1
    print(json.dumps(tally))


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
