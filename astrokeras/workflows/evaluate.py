"""How good a surrogate is, on tracers it was not trained on."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import PHASES
from astrokeras.data.tracers.reader import Tracers, TracerStore, TracerWriter
from astrokeras.errors import InputError
from astrokeras.manifest import EVALUATION, check_names
from astrokeras.prediction.tracer_rollout import batch_size as bounded
from astrokeras.prediction.tracer_rollout import name_starts, roll_out
from astrokeras.runs.model_card import write_card
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
)
from astrokeras.runs.training_overlap import is_trained_on, own_tracers
from astrokeras.system.atomic_files import check_out
from astrokeras.workflows.coupled import judge_coupled
from astrokeras.workflows.figures import Detail
from astrokeras.workflows.intervals import judge_intervals
from astrokeras.workflows.judge import Judge
from astrokeras.workflows.plots import Examples, phase_of
from astrokeras.workflows.reliability import judge_reliability
from astrokeras.workflows.survey import (
    Survey,
    choose_rows,
    is_optimistic,
    take_survey,
)

BATCH = 64
EXAMPLES = (10, 50, 90)  # percentiles of the tracers' errors
EXAMPLE_SPECIES = 6
# Wanted first, in this order.
OBSERVED = ("CO", "H2O", "#H2O", "HCO+", "N2H+", "NH3", "CH3OH", "#CO", "#CH3OH")
VARYING = 0.5  # decades within a tracer, on average
VISIBLE = 1e-8  # a species that is drawn reaches this


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: What `metrics.json` holds: the figures of the rollout by the names of
            `figures.KEYS`, and below them everything else.
        details: By prediction: `surrogate`, `reconstruction` and the baselines.
        folder: Where the report lies, `None` if none was written.
    """

    metrics: dict[str, Any]
    details: dict[str, Detail]
    folder: Path | None = None


def evaluate(
    run: Any,
    tracers: str | Path | None = None,
    split: str = "test",
    out: str | Path | None = None,
    *,
    predictions: str | Path | None = None,
    overwrite: bool = False,
    batch_size: int = BATCH,
    report: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Roll out tracers from state 0 and compare them with their solution.

    Beside the rollout it judges the autoencoder alone, the mean trajectory of the
    file's training tracers and the nearest of them in physical parameters.

    Args:
        run: Name or directory of a run, a `.keras` file, or a `Surrogate`.
        tracers: A solved tracer file; by default the one that the run was trained on.
        split: "train", "validation", "test" or "all".
        out: Directory of the report; by default the run's for the test simulations of
            the file that it was trained on, else `evaluations/RUN-FILE-SPLIT`.
        predictions: File that the predicted tracers are written to. Unless it holds
            all tracers of the file, their solution is written next to it, as
            `NAME.truth.h5`.
        overwrite: Whether files of predictions may be replaced.
        batch_size: Tracers rolled out at once.
        report: Whether `metrics.json`, `report.html` and `figures/` are written.
        progress: Whether a bar is shown on stderr.

    Returns:
        The figures.

    Raises:
        InputError: If there is no such surrogate or file, the file does not suit the
            surrogate, holds no solution, or no tracer of this split, or if the
            predictions cannot be written.
    """
    target = find_surrogate_reference(run)
    with TracerStore(tracers or own_tracers(target)) as store:
        folder = _find_folder(target, store.path, split, out) if report else None
        outputs = _prediction_paths(store, split, predictions, overwrite)
        survey = take_survey(store, target, split)
        surrogate = target.load()
        size = bounded(batch_size, len(survey.rows), store.states, len(store.species))
        began = time.monotonic()
        tracer_dex = _roll(store, target, survey, surrogate, size, outputs, progress)
        seconds = time.monotonic() - began
        details = {name: one.detail() for name, one in survey.figures.items()}
        metrics = _metrics(store, target, split, survey, details, tracer_dex)
        metrics["seconds"] = round(seconds, 3)
        judge = Judge(
            store, survey.rows, survey.columns, surrogate, target.limits, size
        )
        metrics |= judge_intervals(judge) | judge_coupled(judge)
        metrics |= judge_reliability(judge)
        result = Evaluation(metrics, details, folder)
        if folder is not None:
            from astrokeras.workflows.report import write_report

            examples = _examples(
                store, survey, surrogate, details["surrogate"], tracer_dex, size
            )
            step = survey.steps.pop() if len(survey.steps) == 1 else None
            write_report(result, folder, target.limits.species, step, examples)
            if target.run is not None and folder == target.run.path:
                write_card(target.run)
    return result


def _find_folder(
    target: SurrogateReference, tracers: Path, split: str, out: str | Path | None
) -> Path:
    """Return where the report goes: figures of other files never replace a run's."""
    if out is not None:
        folder = Path(out)
    elif target.path is None:
        raise InputError("a surrogate in memory has no run directory; give `out`.")
    elif target.run and split == "test" and is_trained_on(target, tracers):
        folder = target.run.path
    else:
        folder = Path("evaluations") / f"{target.name}-{tracers.stem}-{split}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a directory for the report.")
    own = target.run is not None and folder == target.run.path
    check_names(folder, (*EVALUATION, "card.md") if own else EVALUATION)
    return folder


def _roll(
    store: TracerStore,
    target: SurrogateReference,
    survey: Survey,
    surrogate: Any,
    size: int,
    outputs: Sequence[Path],
    progress: bool,
) -> np.ndarray:
    """Judge rollout and reconstruction; return each tracer's error in dex, (n,)."""
    rows = survey.rows
    errors = []
    with ExitStack() as stack:
        advance = None
        if progress:
            from astrokeras.system.progress import tracer_bar

            advance = stack.enter_context(tracer_bar("Evaluating"))
        write = _prediction_writer(stack, store, target, outputs)
        for block in store.blocks(rows, size, check=False):
            predicted = roll_out(surrogate, block, survey.columns, size)
            starts = name_starts(block.abundances[:, 0], target.initial_conditions)
            errors.append(
                survey.figures["surrogate"].update(
                    block.abundances, predicted, block.length, starts
                )
            )
            valid = np.arange(store.states) < block.length[:, None]
            restored = np.zeros_like(block.abundances)
            restored[valid] = surrogate.reconstruct(block.abundances[valid])
            survey.figures["reconstruction"].update(
                block.abundances, restored, block.length, starts
            )
            write(block, predicted)
            if advance:
                advance(sum(map(len, errors)), len(rows))
    return np.concatenate(errors)


def _prediction_paths(
    store: TracerStore, split: str, path: str | Path | None, overwrite: bool
) -> list[Path]:
    """Return where predictions go, and the truth if it is not all of the file."""
    if path is None:
        return []
    paths = [Path(path)]
    check_out(paths[0], store.path, overwrite)
    if len(choose_rows(store, split)[0]) < store.tracers:
        paths.append(paths[0].with_suffix(".truth.h5"))
        check_out(paths[1], store.path, overwrite)
    return paths


def _prediction_writer(
    stack: ExitStack,
    store: TracerStore,
    target: SurrogateReference,
    paths: Sequence[Path],
) -> Callable[[Tracers, np.ndarray], None]:
    """Return a function that writes what was predicted, and the truth beside it."""
    if not paths:
        return lambda block, predicted: None
    writers = [
        stack.enter_context(
            TracerWriter(
                one,
                species=store.species,
                parameters=store.parameters,
                units=store.units,
                states=store.states,
                attributes=store.attributes | about,
            )
        )
        for one, about in zip(paths, ({"predicted_by": target.name}, {}), strict=False)
    ]

    def write(block: Tracers, predicted: np.ndarray) -> None:
        writers[0].append(_replaced(block, predicted))
        for writer in writers[1:]:
            writer.append(block)

    return write


def _replaced(block: Tracers, abundances: np.ndarray) -> Tracers:
    return Tracers(**(vars(block) | {"abundances": abundances}))


def _metrics(
    store: TracerStore,
    target: SurrogateReference,
    split: str,
    survey: Survey,
    details: dict[str, Detail],
    tracer_dex: np.ndarray,
) -> dict[str, Any]:
    figures = {name: one.result() for name, one in survey.figures.items()}
    own = figures.pop("surrogate")
    restored = figures.pop("reconstruction")
    simulation = store.simulation[survey.rows]
    detail = details["surrogate"]
    import astrokeras

    return own | {
        "dex_standard_error": standard_error(tracer_dex, simulation),
        "simulations": len(np.unique(simulation)),
        "autoencoder_share": restored["dex"] / own["dex"] if own["dex"] else None,
        "reconstruction": restored,
        "baselines": figures,
        "times_better": {
            name: one["dex"] / own["dex"] if own["dex"] else None
            for name, one in figures.items()
        },
        "starts": detail.starts,
        "elements": {
            name: {"mean": float(mean), "max": float(most)}
            for name, mean, most in zip(
                detail.elements, detail.element_mean, detail.element_max, strict=True
            )
        },
        "species": dict(zip(store.species, detail.species_dex.tolist(), strict=True)),
        "steps": {
            name: getattr(detail, f"step_{name}").tolist()
            for name in ("dex", "median", "p90")
        },
        "outside_box": survey.outside.left,
        "outside_starts": survey.outside.starts,
        "surrogate": target.name,
        "surrogate_sha256": target.sha256(),
        "file": store.path.name,
        "split": split,
        "optimistic": survey.optimistic
        or (split == "test" and is_optimistic(store, survey.rows)),
        "notes": survey.notes,
        "version": astrokeras.__version__,
    }


def standard_error(errors: np.ndarray, simulation: np.ndarray) -> float | None:
    """Return the standard error of a mean over tracers, by bootstrap of simulations.

    Tracers of one simulation are near-copies: they are drawn together.

    Args:
        errors: One of each tracer, (n,).
        simulation: Identifiers, (n,).
    """
    _, group = np.unique(simulation, return_inverse=True)
    sums, counts = np.bincount(group, errors), np.bincount(group)
    if len(counts) < 2:
        return None
    drawn = np.random.default_rng(0).integers(0, len(counts), (1000, len(counts)))
    return float((sums[drawn].sum(1) / counts[drawn].sum(1)).std())


def _examples(
    store: TracerStore,
    survey: Survey,
    surrogate: Any,
    detail: Detail,
    tracer_dex: np.ndarray,
    size: int,
) -> Examples:
    """Return a good, a middling and a bad tracer and the species to draw."""
    order = np.argsort(tracer_dex)
    places = {round(p / 100 * (len(order) - 1)): p for p in EXAMPLES}
    chosen = order[list(places)]
    block = store.read(survey.rows[chosen], check=False)
    predicted = roll_out(surrogate, block, survey.columns, size)
    labels = [
        f"tracer {block.tracer[i]}: {tracer_dex[row]:.2g} dex (percentile {percent})"
        for i, (row, percent) in enumerate(zip(chosen, places.values(), strict=True))
    ]
    spans = [slice(int(n)) for n in block.length]
    return Examples(
        labels=labels,
        time=[(t - t[0])[s] for t, s in zip(block.time, spans, strict=True)],
        truth=[x[s] for x, s in zip(block.abundances, spans, strict=True)],
        prediction=[x[s] for x, s in zip(predicted, spans, strict=True)],
        species=most_varying(detail, store.species),
        physical=[x[: s.stop - 1] for x, s in zip(block.physical, spans, strict=True)],
        parameters=list(zip(store.parameters, store.units, strict=True)),
    )


def most_varying(detail: Detail, species: Sequence[str]) -> list[int]:
    """Return species to draw: observed ones that vary, then those that vary most.

    Half of them are of `OBSERVED`, as far as they vary; the rest are the neutral
    species that vary most, one of each phase. Those that reach an abundance of 1e-8
    come first.
    """
    swing = np.where(detail.species_peak >= VISIBLE, detail.species_swing, -1.0)
    places = {name: i for i, name in enumerate(species)}
    observed = [places[name] for name in OBSERVED if name in places]
    chosen = [i for i in observed if swing[i] >= VARYING][: EXAMPLE_SPECIES // 2]
    order = [int(i) for i in np.argsort(swing)[::-1] if int(i) not in chosen]
    # Stable: neutral species first, each group by how much it varies.
    order.sort(key=lambda i: species[i].endswith(("+", "-")))
    for phase in PHASES.values():
        chosen += [i for i in order if phase_of(species[i]) == phase][:1]
    rest = [i for i in order if i not in chosen]
    return (chosen + rest)[:EXAMPLE_SPECIES]
