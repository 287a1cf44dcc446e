"""Evaluation of a surrogate on tracers it was not trained on.

Each block of tracers is rolled out once for each way of running the surrogate: in one
rollout, re-encoded at every step, from later states, and at longer time steps. Each
way feeds `StreamingTest` objects, which accumulate the figures.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import compose_evaluation
from astrokeras.data.tracers.file_format import SPLITS
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.evaluation.baselines import predict_baseline
from astrokeras.evaluation.context import (
    EvaluationContext,
    Rollout,
    StreamingTest,
    solver_rate,
)
from astrokeras.evaluation.error_groups import ErrorGroupTest
from astrokeras.evaluation.error_maps import ErrorMapTest
from astrokeras.evaluation.error_metrics import ErrorMetrics, ParityTest
from astrokeras.evaluation.findings import judge
from astrokeras.evaluation.plan import EvaluationPlan, make_plan, report_folder
from astrokeras.evaluation.prediction_files import (
    PredictionWriter,
    open_predictions,
    prediction_paths,
)
from astrokeras.evaluation.result import Evaluation
from astrokeras.evaluation.rollout_variants import (
    SHARES,
    STRIDES,
    MeanError,
    allows_longer_steps,
    roll_out_closed_loop,
    roll_out_later,
    roll_out_strided,
    step_doubling_errors,
)
from astrokeras.evaluation.stress_tests import StressTests
from astrokeras.evaluation.uncertainty_tests import (
    ErrorBarTest,
    ReliabilityTest,
    standard_error,
)
from astrokeras.prediction.tracer_rollout import batch_size as bounded_batch
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
)
from astrokeras.runs.training_overlap import own_tracers
from astrokeras.system import arguments

BATCH = 64


def evaluate(
    run: Any,
    tracers: str | Path | None = None,
    split: str = "test",
    out: str | Path | None = None,
    *,
    predictions: str | Path | None = None,
    overwrite: bool = False,
    batch_size: int = BATCH,
    quick: bool = False,
    stress: bool = False,
    report: bool = True,
    progress: bool = False,
) -> Evaluation:
    """Roll out tracers from state 0 and compare them with their solution.

    The evaluation also covers the autoencoder alone, two baselines (the mean trajectory
    of the file's training tracers and the nearest of them in physical parameters),
    error bars, expected errors and, unless `quick`, the closed loop and maps of the
    error. The thresholds of its findings are `configs/evaluation/default.yaml`.

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
        quick: Whether the closed loop and the maps are left out.
        stress: Whether more runs: later starts, longer time steps, 10,000 steps, mixing
            at every step, and corrupted inputs.
        report: Whether `metrics.json`, `report.html` and `figures/` are written.
        progress: Whether a bar is shown on stderr.

    Raises:
        InputError: If there is no such surrogate, file or split, the file holds no
            solution or does not fit, or predictions cannot be written.
    """
    target = find_surrogate_reference(run)
    arguments.choice("split", split, *SPLITS, "all")
    arguments.flags(
        overwrite=overwrite,
        quick=quick,
        stress=stress,
        report=report,
        progress=progress,
    )
    if quick and stress:
        raise InputError("quick and stress exclude each other; choose one.")
    thresholds = compose_evaluation()
    batch_size = arguments.whole("batch_size", batch_size, low=1)
    with ExitStack() as stack:
        store = stack.enter_context(TracerStore(tracers or own_tracers(target)))
        folder = report_folder(target, store.path, split, out) if report else None
        paths = prediction_paths(store, split, predictions, overwrite)
        plan = make_plan(store, target, split)
        context = make_context(store, plan, target, batch_size)
        tests = EvaluationTests(context, plan, target, quick, stress)
        with open_predictions(store, target.name, paths) as writer:
            seconds = _run(context, tests, writer, progress)
        evaluation = _collect(context, plan, target, split, tests, seconds)
        evaluation = judge(evaluation, thresholds)
        if folder is None:
            return evaluation
        from astrokeras.evaluation.html_report import choose_examples, write_report

        evaluation = replace(evaluation, folder=folder)
        dex = tests.errors["surrogate"].tracer_dex
        examples = choose_examples(context, evaluation, dex)
        maps = tests.error_maps.result() if tests.error_maps else []
        parity = tests.parity.result()
        write_report(evaluation, folder, plan.time_step, examples, parity, maps)
        if target.run is not None and folder == target.run.path:
            from astrokeras.runs.model_card import write_card

            write_card(target.run)
        return evaluation


def make_context(
    store: TracerStore,
    plan: EvaluationPlan,
    target: SurrogateReference,
    batch_size: int,
) -> EvaluationContext:
    """Load the surrogate, and bound the batch by memory."""
    rows = plan.rows
    size = bounded_batch(batch_size, len(rows), store.states, len(store.species))
    surrogate = target.load()
    return EvaluationContext(
        store, rows, plan.columns, surrogate, target.metadata, size
    )


class EvaluationTests:
    """All tests of an evaluation, and the rollouts that they are fed with.

    Args:
        context: The surrogate and the tracers.
        plan: The baselines.
        target: Elements and named initial abundances of the surrogate.
        quick: As in `evaluate`.
        stress: As in `evaluate`.
    """

    def __init__(
        self,
        context: EvaluationContext,
        plan: EvaluationPlan,
        target: SurrogateReference,
        quick: bool,
        stress: bool,
    ):
        store, surrogate = context.store, context.surrogate

        def metrics(starts: dict[str, np.ndarray] | None = None) -> ErrorMetrics:
            matrix = target.metadata.stoichiometry
            elements = target.metadata.elements
            return ErrorMetrics(store.species, store.states, matrix, elements, starts)

        self.errors = {
            "surrogate": metrics(target.metadata.initial_conditions),
            "reconstruction": metrics(),
        }
        self.closed_loop = None if quick else metrics()
        self.later = {share: MeanError() for share in SHARES if stress}
        longer = STRIDES if stress and allows_longer_steps(context.limits) else ()
        self.strided = {stride: MeanError() for stride in longer}
        self.error_bars = self.reliability = self.error_maps = None
        self.groups = ErrorGroupTest(store.families(), context.calibrated)
        self.parity = ParityTest()
        own: list[StreamingTest] = [self.errors["surrogate"], self.groups, self.parity]
        if context.calibrated:
            self.error_bars = ErrorBarTest(surrogate.trust.value("constant_width"))
            threshold = surrogate.trust.reliability_threshold
            self.reliability = ReliabilityTest(threshold)
            own += [self.error_bars, self.reliability]
            if not quick:
                self.error_maps = ErrorMapTest(context)
                own.append(self.error_maps)
        self.stress = StressTests(context) if stress else None

        loop = partial(roll_out_closed_loop, context)
        self.rollouts = [
            Rollout.whole(context.roll_out, own),
            Rollout.whole(context.reconstruct, [self.errors["reconstruction"]]),
        ]
        if self.closed_loop:
            self.rollouts.append(Rollout.whole(loop, [self.closed_loop]))
        for name, baseline in plan.baselines.items():
            self.errors[name] = metrics()
            predict = partial(predict_baseline, baseline)
            self.rollouts.append(Rollout.whole(predict, [self.errors[name]]))
        for share, test in self.later.items():
            run = partial(roll_out_later, context, share)
            self.rollouts.append(Rollout(run, [test]))
        for stride, test in self.strided.items():
            run = partial(roll_out_strided, context, stride)
            self.rollouts.append(Rollout(run, [test]))


def _run(
    context: EvaluationContext,
    tests: EvaluationTests,
    writer: PredictionWriter,
    progress: bool,
) -> float:
    """Roll out all tracers, feed the tests, and return the seconds it took."""
    began, done = time.monotonic(), 0
    tests.rollouts[0].tests.append(writer)
    with ExitStack() as stack:
        advance = None
        if progress:
            from astrokeras.system.progress import tracer_bar

            advance = stack.enter_context(tracer_bar("Evaluating"))
        parts: list[Rollout | StressTests] = [*tests.rollouts]
        parts += [tests.stress] if tests.stress else []
        for block in context.blocks():
            for i, part in enumerate(parts, 1):
                part.update(block)
                if advance:
                    advance(done + len(block) * i // len(parts), len(context.rows))
            done += len(block)
    return time.monotonic() - began


def _collect(
    context: EvaluationContext,
    plan: EvaluationPlan,
    target: SurrogateReference,
    split: str,
    tests: EvaluationTests,
    seconds: float,
) -> Evaluation:
    """Return the results of all tests."""
    store, errors = context.store, tests.errors
    simulation = store.simulation[plan.rows]
    return Evaluation(
        surrogate=target.name,
        surrogate_sha256=target.sha256(),
        file=store.path.name,
        split=split,
        species=store.species,
        simulations=len(np.unique(simulation)),
        optimistic=plan.optimistic,
        notes=plan.notes,
        outside_box=plan.outside.left,
        outside_starts=plan.outside.initial_outside,
        errors={name: one.result() for name, one in errors.items()},
        details={name: one.detail() for name, one in errors.items()},
        dex_standard_error=standard_error(errors["surrogate"].tracer_dex, simulation),
        groups=tests.groups.result(),
        closed_loop=tests.closed_loop.result() if tests.closed_loop else None,
        later_starts=_results(tests.later),
        intervals=_results(tests.strided),
        semigroup=step_doubling_errors(context) if tests.strided else {},
        seconds=round(seconds, 3),
        steps_per_second=context.steps_per_second(),
        solver_steps_per_second=solver_rate(store),
        error_bars=tests.error_bars.result() if tests.error_bars else None,
        reliability=tests.reliability.result() if tests.reliability else None,
        stress=tests.stress.result() if tests.stress else None,
    )


def _results(tests: Mapping[Any, MeanError]) -> dict[str, dict[str, float]]:
    return {f"{key:g}": one.result() for key, one in tests.items() if one.tracers}
