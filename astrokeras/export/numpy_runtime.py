"""Runs an exported surrogate with NumPy alone: copy this file and `surrogate.npz`.

    import numpy_reader
    model = numpy_reader.Surrogate("surrogate.npz")
    evolved = model.step(abundances, physical, years)

Abundances are relative to H nuclei, (N, S); parameters (N, P) in `about["units"]` hold
for an interval of `years`, (N,); `rollout` takes (N, T, P) and (N, T) and returns the
states after each interval, (N, T, S). Other shapes, and what is not finite or not
positive where it must be, are a `ValueError`. Ranges are in `about`; nothing checks
them here.
"""

import json
import math
import zipfile

import numpy as np

TINY, RIDGE = 1e-30, 1e-6
OLD_NAMES = {
    "step": "dt_range",
    "duration": "t_max",
    "box": "parameter_ranges",
    "carry": "residual_decay_length",
    "timed": "use_timestep",
}
"""Keys of exports by version 0.1.0, which this file reads alone and without imports."""
_erf = np.vectorize(math.erf, otypes=["f8"])


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


ACTIVATIONS: dict = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))).astype(x.dtype),
}


def _read(file, member):
    """Return an array that takes no more memory than its file has bytes."""
    with file.open(member) as array:
        np.lib.format.read_magic(array)
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(array)
        size = math.prod(shape) * kind.itemsize
        if member.compress_type or size != member.file_size - array.tell():
            raise ValueError(f"{file.filename}: {member.filename} claims {size} bytes")
        values = np.frombuffer(array.read(), kind)
    return values.reshape(shape, order="F" if by_columns else "C")


def _take(name, values, shape, least=-math.inf):
    """Return finite numbers of a shape, in which `None` is any length."""
    try:
        array = np.asarray(values).astype("f4")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} are no numbers ({error}); give an array.") from error
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} have shape {array.shape}; give ({wanted}).")
    if not (np.isfinite(array) & (array > least)).all():
        lowest = "finite" if least < 0 else "finite and positive"
        raise ValueError(f"{name} must be {lowest}; correct them.")
    return array


class Surrogate:
    """Encode, decode, step and rollout of an exported surrogate.

    Args:
        path: The `surrogate.npz` that `astrokeras export --to numpy` writes.
    """

    def __init__(self, path):
        with zipfile.ZipFile(path) as file:
            self.weights = {
                member.filename.removesuffix(".npy"): _read(file, member)
                for member in file.infolist()
            }
        self.about, self.facts = (
            {OLD_NAMES.get(key, key): value for key, value in json.loads(text).items()}
            for text in (str(self.weights.pop(name)) for name in ("about", "facts"))
        )
        self.members = range(self.facts["members"])

    def encode(self, abundances):
        """Return latents, (N, L), of abundances, (N, S)."""
        given = _take("abundances", abundances, (None, self.species), -1e-12)
        scaled = self._scale(given)
        return np.concatenate([self._encode(k, scaled) for k in self.members], -1)

    def decode(self, latents):
        """Return abundances, (N, S), of latents, (N, L)."""
        return self._finish(self._decode(_take("latents", latents, (None, None))))

    def step(self, abundances, physical, years):
        """Return abundances after one interval, (N, S)."""
        physical = _take("physical", physical, (None, None), 0)
        years = _take("years", years, (None,), 0)
        return self.rollout(abundances, physical[:, None], years[:, None])[:, 0]

    def rollout(self, abundances, physical, years):
        """Return abundances after each interval, (N, T, S)."""
        initial = _take("abundances", abundances, (None, self.species), -1e-12)
        count = len(self.about["parameters"])
        physical = _take("physical", physical, (len(initial), None, count), 0)
        years = _take("years", years, physical.shape[:2], 0)
        scaled = self._scale(initial)
        latents = np.concatenate([self._encode(k, scaled) for k in self.members], -1)
        told = self._tell(physical, years)
        missed = scaled - self._decode(latents)
        totals = np.maximum(initial @ self.weights["atoms"], TINY)
        path = np.zeros((len(initial), 1), "f4")
        states = np.full((len(initial), told.shape[1], self.species), np.nan, "f4")
        for t in range(told.shape[1]):
            before, latents = latents, self._step(latents, told[:, t])
            path += np.sqrt(np.square(latents - before).mean(-1, keepdims=True))
            found = self._decode(latents)
            if self.facts["residual_decay_length"]:
                found = found + missed * np.exp(
                    -path / self.facts["residual_decay_length"]
                )
            found = self._finish(found)
            states[:, t] = self._conserve(found, totals) if self.conserves else found
        return states

    @property
    def species(self):
        """Number of species."""
        return len(self.about["species"])

    @property
    def conserves(self):
        """Whether rollouts keep the element totals of their start."""
        return self.about["conserve"]

    def _scale(self, abundances):
        floor = self.about["floor"]
        # What is handed out within a margin below the floor is kept.
        least = floor * 10 ** -(self.facts["margin"] + 0.01)
        logs = np.log10(np.where(abundances < least, floor, abundances))
        return (1 - logs / np.log10(floor)).astype("f4")

    def _finish(self, scaled):
        """Return abundances, within the trained range and its margin."""
        decades = -np.log10(self.about["floor"])
        inside = np.clip(scaled, self.weights["low"], self.weights["high"])
        return np.power(10.0, (inside - 1) * decades).astype("f4")

    def _affine(self, name, x, reverse=False):
        offset, scale = self.weights[f"{name}/offset"], self.weights[f"{name}/scale"]
        return x * scale + offset if reverse else (x - offset) / scale

    def _dense(self, name, x):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def _activate(self, x, kind="coder"):
        return ACTIVATIONS[self.facts[kind]](x)

    def _norm(self, name, x):
        if f"{name}/gamma" not in self.weights:
            return x
        gamma, beta, mean, variance = (
            self.weights[f"{name}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def _encode(self, k, scaled):
        x = self._affine(f"{k}/species", scaled)
        if self.facts["kind"] == "projection":
            x = x @ self.weights[f"{k}/kernel"]
        else:
            depth = self.facts["depth"]
            for i in range(depth):
                x = self._dense(f"{k}/dense_{i}", x)
                if i < depth - 1 or self.facts["latent_activation"]:
                    x = self._activate(self._norm(f"{k}/encoder_norm_{i}", x))
        return self._affine(f"{k}/latents", x).astype("f4")

    def _decode(self, latents):
        parts = np.split(latents, len(self.members), axis=-1)
        return sum(map(self._decode_one, self.members, parts)) / len(self.members)

    def _decode_one(self, k, latents):
        x = z = self._affine(f"{k}/latents", latents, reverse=True)
        depth = self.facts["depth"]
        if self.facts["kind"] == "projection":
            for i in range(depth - 1):
                x = self._activate(self._dense(f"{k}/dense_{i}", x))
            x, kernel = self._dense(f"{k}/last", x), self.weights[f"{k}/kernel"]
            x = x + (z - x @ kernel) @ kernel.T
        else:
            for i in reversed(range(depth)):
                kernel = self.weights[f"{k}/dense_{i}/kernel"]
                x = x @ kernel.T + self.weights[f"{k}/dense_{i}/reverse_bias"]
                if i:
                    norm = f"{k}/decoder_norm_{depth - 1 - i}"
                    x = self._activate(self._norm(norm, x))
            if self.facts["output"] == "sigmoid":
                return _sigmoid(x)
        return self._affine(f"{k}/species", x, reverse=True)

    def _tell(self, physical, years):
        logs = np.log10(physical)
        p = self._affine("parameters", logs)
        told = [p]
        if self.facts["use_timestep"]:
            length = np.log10(years / self.about["dt_range"][0])[..., None]
            told += [0 * p, 0 * p, length]
        if self.facts["rates"]:
            told += self._rates(logs, **self.facts["rates"])
        return np.concatenate(told, -1).astype("f4")

    @staticmethod
    def _rates(
        logs, units, switches, width, cool, largest, shields, dark, opaque, black
    ):
        """Return what rates depend on beside logarithms of parameters."""

        def having(unit):
            return [logs[..., [i]] for i, one in enumerate(units) if one == unit]

        found = []
        for log in having("K"):
            found.append(np.minimum(cool * 10**-log, largest) - 1)
            found += [np.tanh((log - np.log10(one)) / width) for one in switches]
        field = (having("Habing") or [0])[0]
        for log in having("mag"):
            extinction = np.minimum(10**log, black)
            found.append(2 * np.minimum(extinction, opaque) / opaque - 0.5)
            for shield in shields:
                light = 10 ** (field - shield / np.log(10) * extinction)
                found.append(np.log10(light + dark) / 2)
        return found

    def _step(self, latents, told):
        parts = np.split(latents, len(self.members), axis=-1)
        return np.concatenate(
            [self._step_one(k, z, told) for k, z in enumerate(parts)], -1
        )

    def _step_one(self, k, z, told):
        x = self._dense(f"{k}/drive", told) + z @ self.weights[f"{k}/first/kernel"]
        x = self._activate(x, "cell")
        for i in range(self.facts["inner"]):
            x = self._activate(self._dense(f"{k}/inner_{i}", x), "cell")
        change = self._dense(f"{k}/last_cell", x)
        if self.facts["relaxing"]:
            reach, slope = self.facts["relaxing"]
            equilibrium = reach * np.tanh(change * (slope / reach))
            change = _sigmoid(self._dense(f"{k}/rate", x)) * (equilibrium - z)
        z = z + change
        if f"{k}/bounds" in self.weights:
            z = np.clip(z, *self.weights[f"{k}/bounds"])
        return z.astype("f4")

    def _conserve(self, x, wanted):
        """Multiply species by exp(c A mu) so that the element totals are `wanted`."""
        atoms, facts = self.weights["atoms"], self.facts["conservation"]
        with np.errstate(divide="ignore"):  # an electron has no atoms
            x = np.minimum(x, 1 / (atoms / wanted[:, None]).max(-1))
        present = np.maximum(x @ atoms, TINY)
        share = np.clip(x * (atoms / present[:, None]).max(-1), 1e-30, 1)
        weight, mu = share ** facts["power"], np.zeros_like(wanted)
        products = atoms[:, :, None] * atoms[:, None]
        for _ in range(facts["steps"]):
            moved = x * np.exp(np.clip(weight * (mu @ atoms.T), -60, 60))
            totals = np.maximum(moved @ atoms, TINY)
            jacobian = np.tensordot(moved * weight, products, 1)
            diagonal = np.einsum("nii->ni", jacobian)
            scale = 1 / np.sqrt(diagonal + TINY)
            jacobian = jacobian * scale[:, :, None] * scale[:, None]
            jacobian += RIDGE * np.eye(len(scale.T), dtype="f4")
            right = scale * totals * np.log(wanted / totals)
            change = np.linalg.solve(jacobian, right[..., None])[..., 0] * scale
            largest = np.abs(change).max(-1, keepdims=True)
            mu = mu + change / np.maximum(largest / facts["limit"], 1)
        moved = x * np.exp(np.clip(weight * (mu @ atoms.T), -60, 60))
        return moved.astype("f4")
