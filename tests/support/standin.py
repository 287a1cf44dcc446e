"""A surrogate of plain NumPy, with the interface of the real one and known answers."""

import numpy as np
from score import ELEMENTS, composition

from astrokeras.data.tracers.reader import Tracers, TracerWriter
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.status import Status, status_of_ranges

SPECIES = ("H2", "H", "HE", "C+", "CO", "#CO", "#H2O", "@H2O", "#CH3OH", "O", "E-")
PARAMETERS = ("Density", "Radfield", "Av", "gasTemp")
UNITS = ("H nuclei cm^-3", "Habing", "mag", "K")


class StandIn:
    """Predicts the solution of `solve`, off by `error` dex a step.

    Args:
        error: Added to log10 at each step.
        autoencoder: Added to log10 by `reconstruct`.
        species: Names.
    """

    name = "standin"

    def __init__(self, error=0.0, autoencoder=0.0, species=SPECIES, step=100.0):
        self.error, self.autoencoder = error, autoencoder
        self.species = tuple(species)
        self.step = step
        self.batches = []

    def get_config(self):
        matrix = [[composition(s)[e] for e in ELEMENTS] for s in self.species]
        start = np.full(len(self.species), 1e-3)
        return {
            "species": list(self.species),
            "parameters": list(PARAMETERS),
            "units": list(UNITS),
            "elements": list(ELEMENTS),
            "stoichiometry": matrix,
            "dt_range": [self.step, self.step],
            "t_max": 2000.0,
            "parameter_ranges": {name: [1.0, 1e4] for name in PARAMETERS},
            "species_ranges": [[1e-20] * len(start), [0.5] * len(start)],
            "initial_conditions": {
                "standard": start.tolist(),
                "poor": (start / 1e4).tolist(),
            },
            "floor": 1e-20,
            "fixed": [],
            "version": 1,
        }

    @property
    def metadata(self):
        calibrated = getattr(self, "trust", None) is not None
        return SurrogateMetadata(**self.get_config(), calibrated=calibrated)

    @property
    def stoichiometry(self):
        return self.metadata.stoichiometry

    @property
    def elements(self):
        return ELEMENTS

    def emulate(
        self,
        initial,
        physical,
        time,
        state_indices=None,
        batch_size=256,
        return_status=False,
    ):
        states = self.evolve(initial, physical, time)
        status = status_of_ranges(self.metadata, initial, physical, time)
        bad = ~(np.isfinite(states) & (states > 0)).all(-1)
        status[bad] |= np.uint8(Status.TOTALS)
        if state_indices is not None:
            states, status = states[:, state_indices], status[:, state_indices]
        return (states, status) if return_status else states

    def evolve(self, initial, physical, time):
        """Return all states of tracers, (n, T+1, S)."""
        assert np.isfinite(initial).all()
        assert np.isfinite(physical).all()
        np.testing.assert_allclose(np.diff(time), self.step, rtol=1e-6)
        self.batches.append(len(initial))
        steps = np.arange(physical.shape[1] + 1)[:, None]
        drift = np.minimum(self.error * steps, 30.0)  # however long the rollout
        return solve(initial, physical) * np.float32(10.0) ** drift

    def reconstruct(self, abundances):
        assert np.isfinite(abundances).all()
        return abundances * np.float32(10.0**self.autoencoder)


class Trusting(StandIn):
    """A calibrated stand-in: an error bar for each species, known expected errors.

    A state is reliable if its expected error is at most the threshold, whatever its
    inputs. The status has the bits of the ranges, and that of a large expected error.

    Args:
        bars: Error bars of states 1 to T, dex, (S,).
        expected: Expected errors, dex, `expected(initial, physical)` to (n, T+1).
        **arguments: Of `StandIn`.
    """

    def __init__(self, bars, expected, **arguments):
        super().__init__(**arguments)
        self.bars, self.expected = np.asarray(bars), expected
        self.trust = self  # holds the threshold and the fitted numbers
        self.reliability_threshold = 0.2

    def value(self, name):
        assert name == "constant_width"
        return np.full(len(self.species), 0.3)

    def emulate(
        self,
        initial,
        physical,
        time,
        state_indices=None,
        batch_size=256,
        species=None,
        conserve=True,
        return_sigma=False,
        return_expected_error=False,
        return_reliable=False,
        return_status=False,
    ):
        states, status = super().emulate(
            initial, physical, time, state_indices, batch_size, return_status=True
        )
        sigma = np.broadcast_to(self.bars, states.shape).copy()
        sigma[:, 0] = 0
        extra = [sigma] * return_sigma
        if return_expected_error or return_reliable or return_status:
            expected = self.expected(initial, physical).astype("float32")
            if state_indices is not None:
                expected = expected[:, state_indices]
            reliable = expected <= np.float32(self.reliability_threshold)
            extra += [expected] * return_expected_error + [reliable] * return_reliable
            if return_status:
                status[~reliable] |= np.uint8(Status.ERROR)
                extra.append(status)
        return (states, *extra) if extra else states


def solve(initial, physical):
    """Abundances (n, T+1, S): they shrink the faster the lower the temperature."""
    rate = np.concatenate([0 * physical[:, :1, -1], 0.2 / physical[..., -1]], 1)
    decay = np.cumsum(rate, 1)[:, :, None] * np.linspace(0.5, 2, initial.shape[-1])
    return (initial[:, None] * 10.0**-decay).astype("float32")


def write_tracers(path, count=12, states=9, *, species=SPECIES, **changes):
    """Write tracers that `StandIn` predicts exactly; `changes` replace what is named.

    Two tracers a simulation, eight of train, two of validation, the rest of test.
    """
    rng = np.random.default_rng(5)
    physical = 10.0 ** rng.uniform(0.5, 3.5, (count, states - 1, 4)).astype("float32")
    initial = np.full((count, len(species)), 1e-3, "float32")
    initial[1::2] /= 1e4
    length = np.full(count, states, "int32")
    length[-1] = states - 2
    content = {
        "abundances": solve(initial, physical),
        "physical": physical,
        "time": 50.0 + 100.0 * np.arange(states) * np.ones((count, 1)),
        "length": length,
        "tracer": np.arange(count) + 100,
        "simulation": np.arange(count) // 2,
        "split": np.repeat([0, 1, 2], [8, 2, count - 10]).astype("u1"),
    }
    attributes = {"source": "test", **changes.pop("attributes", {})}
    names = {"parameters": PARAMETERS, "units": UNITS}
    names = {key: changes.pop(key, value) for key, value in names.items()}
    content |= changes
    for row, valid in enumerate(content["length"]):
        for key, first in (("abundances", valid), ("physical", valid - 1)):
            content[key][row, first:] = np.nan
    tracers = Tracers(rows=np.arange(count), **content)
    with TracerWriter(
        path,
        species=species,
        states=content["time"].shape[1],
        attributes=attributes,
        solved=content["abundances"].shape[1] > 1,
        **names,
    ) as writer:
        writer.append(tracers)
    return tracers
