"""TensorBoard callback: writes a training's event files, without TensorFlow.

Scalars are written after each epoch, from values that the training computes anyway.
Every few epochs, predictions for a fixed sample of validation tracers are written too.
The callback draws no random numbers and changes no variables.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX, unscale_abundances
from astrokeras.evaluation.error_metrics import ErrorMetrics
from astrokeras.metrics import Dex
from astrokeras.monitoring.event_files import EventWriter, cut
from astrokeras.monitoring.example_tracers import Sample, draw
from astrokeras.monitoring.model_graph import model_graph

PERCENTILES = (50, 90, 99)


class Board(keras.callbacks.Callback):
    """Writes the training of a stage for TensorBoard.

    It must come before the callbacks that change the learning rate and strengths, so
    that it writes the values of the epoch, and before the checkpoint, so that every
    epoch of a checkpoint is written.

    Args:
        folder: Folder of the event files.
        loss: The loss, whose `terms` are written.
        metric: The error of each species over all validation tracers.
        layers: Layers with a weight `strength`.
        sample: Validation tracers for predictions.
        every: Epochs between two predictions, 0 for none.
        first: Number of finished epochs; records of later epochs are removed.
    """

    def __init__(
        self,
        folder: Path,
        loss: Any,
        metric: Dex,
        layers: Sequence[Any],
        sample: Sample,
        every: int,
        first: int = 0,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.loss = loss
        self.metric = metric
        self.layers = layers
        self.sample = sample
        self.every = every
        self.first = first
        self.writer: EventWriter | None = None
        matrix, self.elements = stoichiometric_matrix(
            sample.cache.species, sample.cache.elements
        )
        self.matrix = np.asarray(matrix)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        cut(self.folder, self.first)
        self.writer = EventWriter(self.folder)
        self.writer.restart(self.first + 1)
        if self.every and not self.first:
            graph = model_graph(self.model, self.sample.inputs)
            self.writer.write(Event(graph_def=graph))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert self.writer is not None
        number = epoch + 1
        self._write(logs or {}, number)
        self._write(self._schedule(), number, "schedule")
        self._write(self._species_percentiles(), number, "val_dex_species")
        last = number == self.params["epochs"]
        if self.every and (number == 1 or number % self.every == 0 or last):
            self._write_predictions(number)
        self.writer.flush()

    def close(self) -> None:
        """Close the event file, however the training ended."""
        if self.writer is not None:
            self.writer.close()

    def _write(
        self, figures: Mapping[str, float], number: int, group: str = ""
    ) -> None:
        """Write scalars; TensorBoard shows those of a group together."""
        assert self.writer is not None
        for name, value in figures.items():
            tag = f"{group}/{name}" if group else name
            self.writer.scalar(tag, float(value), number)

    def _schedule(self) -> dict[str, float]:
        """Return the learning rate and the strengths of noise and dropout."""
        values = {"learning_rate": self.model.optimizer.learning_rate}
        values |= {layer.name: layer.strength for layer in self.layers}
        # The variables may live on several devices.
        convert = keras.ops.convert_to_numpy
        return {name: float(convert(value)) for name, value in values.items()}

    def _species_percentiles(self) -> dict[str, float]:
        """Return percentiles over species of the errors, whose mean is `val_dex`."""
        errors = self.metric.per_species()
        percentiles = {f"p{p}": np.percentile(errors, p) for p in PERCENTILES}
        return percentiles | {"worst": errors.max()}

    def _write_predictions(self, number: int) -> None:
        """Write loss terms, conservation, errors and a picture of the sample."""
        assert self.writer is not None
        sample, floor = self.sample, self.sample.cache.floor
        scaled = self.model.predict_on_batch(sample.inputs)
        scaled = np.asarray(scaled, "float32").reshape(sample.truth.shape)
        self._write(self._terms(scaled), number, "val_loss_terms")

        truth = unscale_abundances(sample.truth, floor)
        predicted = unscale_abundances(scaled, floor, margin=MARGIN_DEX)
        species = sample.cache.species
        metrics = ErrorMetrics(species, truth.shape[1], self.matrix, self.elements)
        metrics.add(truth, predicted, sample.length)
        errors, detail = metrics.tracer_dex, metrics.detail()
        conservation = dict(zip(detail.elements, detail.element_mean, strict=True))
        self._write(conservation, number, "val_conservation")
        self.writer.histogram("val_dex_species", self.metric.per_species(), number)
        picture = draw(sample, truth, predicted, errors, detail)
        self.writer.image("tracers", picture, number)

    def _terms(self, scaled: np.ndarray) -> dict[str, float]:
        """Return the weighted terms of the loss, averaged over the sample's states."""
        terms = self.loss.terms(
            keras.ops.convert_to_tensor(self.sample.truth),
            keras.ops.convert_to_tensor(scaled),
        )
        return {
            name: keras.ops.convert_to_numpy(term)[self.sample.counts].mean()
            for name, term in terms.items()
        }
