"""Files of predicted tracers, and of their solution beside them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from astrokeras.data.tracers.reader import Tracers, TracerStore, TracerWriter
from astrokeras.evaluation.context import Prediction
from astrokeras.evaluation.plan import choose_rows
from astrokeras.system.atomic_files import check_out


def prediction_paths(
    store: TracerStore, split: str, path: str | Path | None, overwrite: bool
) -> list[Path]:
    """Return the file of predictions, and that of the solution if one is needed.

    The solution is written unless all tracers of the file are evaluated.

    Raises:
        InputError: If a file cannot be written, or exists and may not be replaced.
    """
    if path is None:
        return []
    paths = [Path(path)]
    check_out(paths[0], store.path, overwrite)
    if len(choose_rows(store, split)[0]) < store.tracers:
        paths.append(paths[0].with_suffix(".truth.h5"))
        check_out(paths[1], store.path, overwrite)
    return paths


class PredictionWriter:
    """Writes predicted tracers, and their solution to a second file if there is one.

    Args:
        writers: The file of predictions and, optionally, that of the solution.
    """

    def __init__(self, writers: Sequence[TracerWriter]):
        self.writers = writers

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Write a block."""
        for i, writer in enumerate(self.writers):
            predicted = replace(block, abundances=prediction.abundances)
            writer.append(block if i else predicted)

    def result(self) -> None:
        """Return nothing, as the results are the files."""


@contextmanager
def open_predictions(
    store: TracerStore, surrogate: str, paths: Sequence[Path]
) -> Iterator[PredictionWriter]:
    """Open the files of predictions; complete ones appear when the context ends.

    Args:
        store: The evaluated tracer file.
        surrogate: Name of the surrogate, stored as attribute `predicted_by`.
        paths: Result of `prediction_paths`.
    """
    origins: tuple[dict[str, str], ...] = ({"predicted_by": surrogate}, {})
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                TracerWriter(
                    path,
                    species=store.species,
                    parameters=store.parameters,
                    units=store.units,
                    states=store.states,
                    attributes=store.attributes | origin,
                )
            )
            for path, origin in zip(paths, origins, strict=False)
        ]
        yield PredictionWriter(writers)
