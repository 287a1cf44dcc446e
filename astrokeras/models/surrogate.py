"""The surrogate: from physical units to physical units."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.limits import Limits
from astrokeras.errors import InputError
from astrokeras.layers.register import register
from astrokeras.layers.scalers import AbundanceScaler, AffineScaler
from astrokeras.models.emulator import Emulator
from astrokeras.models.program import Programs

FORMAT = 1


class OutsideBoxWarning(UserWarning):
    """Parameters or a start lie outside what the surrogate was trained on."""


@register
class Surrogate(keras.Model):
    """A trained emulator with its scales, names, units and limits.

    Everything a caller sees is in physical units; the model file needs nothing else.

    Args:
        emulator: The trained `Emulator` (or its serialised configuration).
        species: Names in column order, `(S,)`.
        parameters: Names in column order, `(P,)`.
        units: Units of the parameters, `(P,)`.
        elements: Names of the elements, `(E,)`.
        stoichiometry: Atom counts, `(S, E)`.
        step: Shortest and longest interval between states that was trained, years.
        duration: Longest time that training followed a tracer, years.
        box: Lowest and highest trained value of each parameter, in its unit.
        species_box: Lowest and highest trained abundance of each species, `(2, S)`.
        starts: Named initial abundances, `(S,)` each.
        floor: Smallest abundance relative to H nuclei.
        fixed: What was held fixed in the training data, for the record.
        version: Version of this format.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: `(initial, physical)` or `(initial, physical, index)` in physical
            units, `(batch, S)`, `(batch, T, P)`; `index` `(K,)` names the states to
            decode, 0 for state 1.

    Returns abundances, `(batch, T or K, S)`.
    """

    def __init__(
        self,
        emulator: Emulator,
        species: Sequence[str],
        parameters: Sequence[str],
        units: Sequence[str],
        elements: Sequence[str],
        stoichiometry: ArrayLike,
        step: ArrayLike,
        duration: float,
        box: Mapping[str, Sequence[float]],
        species_box: ArrayLike,
        starts: Mapping[str, ArrayLike],
        floor: float = 1e-20,
        fixed: Sequence[str] = (),
        version: int = FORMAT,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if version > FORMAT:
            msg = (
                f"the surrogate has format version {version}, this astrokeras reads "
                f"up to {FORMAT}; install a newer one."
            )
            raise InputError(msg)
        if isinstance(emulator, dict):
            emulator = keras.saving.deserialize_keras_object(emulator)
        self.emulator = emulator
        self._facts = {
            "species": list(species),
            "parameters": list(parameters),
            "units": list(units),
            "elements": list(elements),
            "stoichiometry": np.asarray(stoichiometry, "float64").tolist(),
            "step": np.asarray(step, "float64").tolist(),
            "duration": float(duration),
            "box": {name: [float(v) for v in bounds] for name, bounds in box.items()},
            "species_box": np.asarray(species_box, "float64").tolist(),
            "starts": {k: np.asarray(v, "float64").tolist() for k, v in starts.items()},
            "floor": float(floor),
            "fixed": list(fixed),
            "version": version,
        }
        self.abundance_scaler = AbundanceScaler(floor, name="abundance_scaler")
        self.parameter_scaler = AffineScaler(
            len(self._facts["parameters"]), log=True, name="parameter_scaler"
        )
        self._programs = Programs(self)

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if not self.built:
            self.emulator.build()
            self.built: bool = True

    def call(self, inputs: Any) -> Any:
        initial, physical, *index = inputs
        latents = self.latents(initial, physical)
        if index:
            latents = ops.take(latents, index[0], axis=1)
        return self.abundances(latents)

    def latents(self, initial: Any, physical: Any) -> Any:
        """Return latents of states 1 to T, `(batch, T, L)`, of physical inputs."""
        encoded = self.emulator.encode(self.abundance_scaler(initial))
        return self.emulator.rollout(encoded, self.parameter_scaler(physical))

    def abundances(self, latents: Any, outputs: Any = None) -> Any:
        """Return abundances `(..., S)` of latents, of the species `outputs` alone."""
        scaled = self.emulator.decode(latents, outputs=outputs)
        return self.abundance_scaler(scaled, reverse=True)

    def get_config(self) -> dict[str, Any]:
        emulator = keras.saving.serialize_keras_object(self.emulator)
        return super().get_config() | {"emulator": emulator} | dict(self._facts)

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, (S,), in column order."""
        return tuple(self._facts["species"])

    # Not `parameters`: PyTorch's modules have a method of that name.
    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the physical parameters, (P,), in column order."""
        return tuple(self._facts["parameters"])

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the physical parameters, (P,)."""
        return tuple(self._facts["units"])

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of the elements, (E,)."""
        return tuple(self._facts["elements"])

    @property
    def stoichiometry(self) -> np.ndarray:
        """Atom counts, (S, E)."""
        return np.asarray(self._facts["stoichiometry"])

    @property
    def step(self) -> tuple[float, float]:
        """Shortest and longest trained interval between states, years."""
        low, high = self._facts["step"]
        return low, high

    @property
    def duration(self) -> float:
        """Longest time that training followed a tracer, years."""
        return self._facts["duration"]

    @property
    def box(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest trained value of each parameter, in its unit."""
        return {name: (low, high) for name, (low, high) in self._facts["box"].items()}

    @property
    def starts(self) -> dict[str, np.ndarray]:
        """Named initial abundances, (S,) each."""
        return {k: np.asarray(v) for k, v in self._facts["starts"].items()}

    @property
    def floor(self) -> float:
        """Smallest abundance relative to H nuclei."""
        return self._facts["floor"]

    def emulate(
        self,
        initial: Any,
        physical: Any,
        time: Any,
        species: Sequence[str] | None = None,
        times: Sequence[int] | None = None,
        batch_size: int = 256,
        strict: bool = False,
    ) -> np.ndarray:
        """Evolve tracers.

        Args:
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of `starts`.
            physical: Parameters, `(N, T, P)` or `(T, P)`, in `units`; entry t drives
                state t to state t + 1.
            time: Years of the states, `(N, T+1)` or `(T+1,)`, or one interval.
            species: Names of the species wanted, all by default; `$H2O` is the total
                ice `#H2O` + `@H2O`. Only what is asked for is decoded.
            times: Numbers of the states wanted, 0 to T or negative from the end.
            batch_size: Tracers evolved at once.
            strict: Whether leaving the training box is an error and not a warning.

        Returns:
            Abundances, `(N, T+1 or len(times), S or len(species))`, float32.

        Raises:
            InputError: For shapes that disagree, values that are not finite or not
                physical, unknown species, or intervals that were not trained.
        """
        initial, physical = self._check_arrays(initial, physical)
        count, steps = physical.shape[:2]
        self.check_time(time, steps)
        outside = self.describe_outside(initial, physical)
        if outside and strict:
            raise InputError(f"{outside[0]}; stay inside or pass strict=False.")
        for line in outside:
            warnings.warn(line, OutsideBoxWarning, stacklevel=2)

        columns, mixing = self._columns(species)
        wanted = np.arange(steps + 1) if times is None else np.asarray(times)
        if ((wanted < -steps - 1) | (wanted > steps)).any():
            raise InputError(
                f"times {wanted.tolist()} reach beyond the {steps + 1} states; "
                f"give numbers from {-steps - 1} to {steps}."
            )
        wanted = wanted % (steps + 1)
        later = wanted > 0

        width = len(self.species) if columns is None else len(mixing)
        result = np.empty((count, len(wanted), width), "float32")
        given = initial if columns is None else initial[:, columns] @ mixing.T
        result[:, ~later] = given[:, None]
        index = (wanted[later] - 1).astype("int32")
        for start, (x, p) in _batches((initial, physical), batch_size):
            if not index.size:
                break
            every = times is None
            rolled = self._programs.rollout(x, p, None if every else index, columns)
            if columns is not None:
                rolled = rolled @ mixing.T
            stop = min(start + batch_size, count)
            result[start:stop, later] = rolled[: stop - start]
        return result

    def encode(self, abundances: Any) -> np.ndarray:
        """Return latents `(N, L)` of abundances `(N, S)`."""
        abundances = self._check_abundances(np.asarray(abundances, "float32"))
        return self._programs.encode(abundances)

    def decode(self, latents: Any, species: Sequence[str] | None = None) -> np.ndarray:
        """Return abundances `(N, S or len(species))` of latents `(N, L)`."""
        columns, mixing = self._columns(species)
        decoded = self._programs.decode(np.asarray(latents, "float32"), columns)
        return decoded if columns is None else (decoded @ mixing.T).astype("float32")

    def reconstruct(self, abundances: Any) -> np.ndarray:
        """Return `decode(encode(x))` of abundances `(..., S)`, of the same shape."""
        abundances = np.asarray(abundances, "float32")
        rows = abundances.reshape(-1, abundances.shape[-1])
        out = np.empty_like(rows)
        for start, (block,) in _batches((rows,), 8192):
            stop = min(start + 8192, len(rows))
            out[start:stop] = self.decode(self.encode(block))[: stop - start]
        return out.reshape(abundances.shape)

    def start(self, name: str) -> np.ndarray:
        """Return the named initial abundances, `(S,)`.

        Raises:
            InputError: If there is no such start; the message lists those there are.
        """
        if name not in self.starts:
            known = ", ".join(self.starts)
            raise InputError(f"no start is named {name!r}; there are: {known}.")
        return self.starts[name]

    def check_time(self, time: Any, steps: int) -> None:
        """Refuse intervals that were not trained.

        Args:
            time: Years of the states, `(N, T+1)` or `(T+1,)`, or one interval.
            steps: T.

        Raises:
            InputError: Naming the interval and the trained range.
        """
        time = np.asarray(time, "float64")
        if time.ndim and time.shape[-1] != steps + 1:
            raise InputError(
                f"time has shape {time.shape} for {steps} steps; give {steps + 1} "
                "times a tracer, or one interval."
            )
        years = time if time.ndim else np.array([0.0, time])
        bad = self.limits.outside_steps(years)
        if bad.any():
            value = float(np.diff(years)[bad].flat[0])
            low, high = self.step
            raise InputError(
                f"time has an interval of {value:.6g} yr; this surrogate was trained "
                f"on {low:.6g} to {high:.6g} yr, give states at these."
            )

    @property
    def limits(self) -> Limits:
        """The training ranges, without Keras."""
        return Limits.from_metadata(self._facts)

    def describe_outside(self, initial: Any, physical: Any) -> list[str]:
        """Return a line for each parameter, and one for starts, outside the box."""
        lines = []
        for i, name in enumerate(self.parameter_names):
            low, high = self.box[name]
            values = physical[..., i]
            outside = self.limits.outside_parameters(physical)[..., i]
            for value in {values.min(), values.max()} if outside.any() else ():
                if not low <= value <= high:
                    lines.append(
                        f"{name} = {value:.6g} {self.units[i]} lies outside the "
                        f"training range {low:.6g} to {high:.6g}"
                    )
        excess = np.atleast_2d(self.limits.start_excess(initial))
        outside = excess.max(-1) > 0
        if outside.any():
            row = int(outside.argmax())
            worst = int(excess[row].argmax())
            low, high = self.limits.species_box[:, worst]
            lines.append(
                f"{int(outside.sum())} of {len(outside)} initial states lie outside "
                f"the training range, first {self.species[worst]} = "
                f"{np.atleast_2d(initial)[row, worst]:.3g} "
                f"(range {low:.3g} to {high:.3g})"
            )
        return lines

    def _check_arrays(
        self, initial: Any, physical: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        physical = np.asarray(physical, "float32")
        physical = physical[None] if physical.ndim == 2 else physical
        names = self.parameter_names
        if physical.ndim != 3 or physical.shape[-1] != len(names):
            raise InputError(
                f"physical has shape {physical.shape}; it must be "
                f"(tracers, steps, {len(names)}) with {', '.join(names)}."
            )
        if not (np.isfinite(physical) & (physical > 0)).all():
            bad = np.argwhere(~(np.isfinite(physical) & (physical > 0)))[0]
            raise InputError(
                f"physical: {names[bad[2]]} is {physical[tuple(bad)]} for tracer "
                f"{bad[0]}, step {bad[1]}; it must be positive and finite."
            )
        if isinstance(initial, str):
            initial = self.start(initial)
        initial = self._check_abundances(np.asarray(initial, "float32"))
        if initial.ndim == 1:
            initial = np.broadcast_to(initial, (len(physical), initial.size))
        if initial.shape != (len(physical), len(self.species)):
            raise InputError(
                f"initial has shape {initial.shape}; with {len(physical)} tracers it "
                f"must be {(len(physical), len(self.species))}."
            )
        return initial, physical

    def _check_abundances(self, abundances: np.ndarray) -> np.ndarray:
        if abundances.shape[-1:] != (len(self.species),):
            raise InputError(
                f"abundances have shape {abundances.shape}; the last axis must hold "
                f"the {len(self.species)} species of the surrogate."
            )
        good = (abundances >= -1e-12) & (abundances <= 1 + 1e-6)
        if not good.all():
            bad = tuple(np.argwhere(~good)[0])
            raise InputError(
                f"abundances: {self.species[bad[-1]]} is {abundances[bad]} in state "
                f"{bad[:-1]}; it must lie in [0, 1], relative to H nuclei."
            )
        return np.clip(abundances, self.floor, 1.0)

    def _columns(self, species: Sequence[str] | None) -> tuple[Any, np.ndarray]:
        """Return the columns to decode and how they add up to what is wanted."""
        if species is None:
            return None, np.empty(0)
        column = {name: i for i, name in enumerate(self.species)}
        parts = []
        for name in species:
            both = [f"#{name[1:]}", f"@{name[1:]}"] if name[:1] == "$" else [name]
            known = [part for part in both if part in column]
            if not known:
                raise InputError(
                    f"species {name!r} is not among the {len(column)} of this "
                    "surrogate; see its `species`."
                )
            parts.append(known)
        needed = list(dict.fromkeys(part for known in parts for part in known))
        mixing = np.zeros((len(parts), len(needed)), "float32")
        for i, known in enumerate(parts):
            mixing[i, [needed.index(part) for part in known]] = 1.0
        return tuple(column[part] for part in needed), mixing


def _batches(arrays: tuple[np.ndarray, ...], size: int) -> Any:
    """Cut arrays into equal batches, so that one shape is compiled.

    The last batch is filled up with copies of its last row, which the caller drops.
    """
    count = len(arrays[0])
    if not count:
        return
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + min(size, count)), count - 1)
        yield start, tuple(array[rows] for array in arrays)
