"""Trajectories from whatever file holds them: a tracer file, or a table."""

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
    """Open a tracer file or, by way of a temporary file, any table; see `read_tracks`.

    Raises:
        InputError: For anything wrong with the file.
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

    A tracer file is returned as it is. Of any table that `import_tracers` reads, the
    physics alone is written as a file of tracks, in the units of `config.units`.

    Args:
        path: A tracer file, CSV, Parquet, a pandas HDFStore, or HDF5 with a dataset a
            column.
        config: Columns of the parameters, `units`, `raw_units`, `alignment` and
            `minimum`.
        out: The file of tracks to write, of a table.
        warn: Called with each line about what may be wrong.
        progress: Called with the tracers done and their total.

    Returns:
        `path` or `out`.

    Raises:
        InputError: For anything wrong with the table, as `import_tracers`.
        WorkError: If the file cannot be written.
    """
    path, out = Path(path), Path(out)
    if is_tracer_file(path):
        if config.raw_units and warn is not None:
            warn(
                f"{path}: is a tracer file, in the units that it names; "
                "dataset.raw_units concern tables and are not applied."
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
    """Whether a file says that it is a tracer file, of whatever version.

    Raises:
        InputError: If it is HDF5 that is damaged or not safe to read.
    """
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return "format" in file.attrs
