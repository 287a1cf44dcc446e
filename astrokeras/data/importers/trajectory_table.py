"""Trajectories from a tracer file or a table of any supported format."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from astrokeras.config import DatasetConfig
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.hdf5 import open_hdf5
from astrokeras.data.tracers.hdf5_sandbox import is_hdf5
from astrokeras.data.tracers.reader import TracerStore


@contextmanager
def opened_tracks(
    path: str | Path,
    config: DatasetConfig,
    warn: Callable[[str], None] | None = None,
) -> Iterator[TracerStore]:
    """Open a tracer file, or a table through a temporary file; see `read_tracks`.

    Raises:
        InputError: For any fault of the file.
    """
    with TemporaryDirectory(prefix="astrokeras-") as scratch:
        file = read_tracks(path, config, Path(scratch) / "tracks.h5", warn=warn)
        with TracerStore(file, need_abundances=False) as store:
            yield store


def read_tracks(
    path: str | Path,
    config: DatasetConfig,
    out: str | Path,
    *,
    warn: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return a tracer file with the trajectories of a file.

    A tracer file is returned unchanged. From a table that `import_tracers` reads, only
    the physics is written to a file of tracks, in the units of `config.units`.

    Args:
        path: A tracer file, CSV, Parquet, a pandas HDFStore, or HDF5 with a dataset per
            column.
        config: Columns of the parameters, `units`, `raw_units`, `alignment` and
            `minimum`.
        out: The file of tracks that is written for a table.
        warn: Called with each warning, one line.
        progress: Called with the number of imported tracers and their total.

    Returns:
        `path` or `out`.

    Raises:
        InputError: For any fault of the table, as in `import_tracers`.
        WorkError: If the file cannot be written.
    """
    path, out = Path(path), Path(out)
    if is_tracer_file(path):
        if config.raw_units and warn is not None:
            warn(
                f"{path}: is a tracer file, which states its units; "
                "dataset.raw_units apply only to tables and are ignored."
            )
        return path
    report = import_tracers(
        path, out, config, split=False, tracks=True, progress=progress
    )
    if warn is not None:
        for line in report.warnings:
            warn(f"{path}: {line}")
    return out


def is_tracer_file(path: Path) -> bool:
    """Return whether a file is a tracer file of any version, by its attributes.

    Raises:
        InputError: If it is an HDF5 file that is damaged or not safe to read.
    """
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return "format" in file.attrs
