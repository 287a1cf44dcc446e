"""Surrogates of ten species with random weights, for tests of the machinery."""

from unittest import mock

import numpy as np
from keras import ops
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.layers.trust_model import KNOTS, Trust
from astrokeras.models import batched_evolution
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.emulator import Emulator
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.surrogate import Surrogate

L, P, S, E = 3, len(PARAMETERS), len(SPECIES), 3
TOLERANCE = 0.2  # dex, of the trust models


def to_numpy(tensor):
    return ops.convert_to_numpy(getattr(tensor, "value", tensor))


def randomise(model, rng, scale=0.3):
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, scale, weight.shape))


def make_autoencoder(rng, **arguments):
    model = Autoencoder(S, (8, 6), 3, seed=1, name="autoencoder", **arguments)
    model.build()
    randomise(model, rng)
    return model


def make_surrogate(rng, use_timestep=False, dt_range=(STEP, STEP), members=1):
    arguments = {"use_timestep": use_timestep, "members": members, "name": "emulator"}
    emulator = Emulator(make_autoencoder(rng), P, (7, 5), **arguments)
    emulator.build()
    emulator.latent_scaler.set_scales(rng.normal(size=3), np.array([0.5, 1, 2]))
    randomise(emulator, rng, 0.1)
    tracers = make_tracers()
    matrix, elements = stoichiometric_matrix(SPECIES)
    low, high = tracers.physical.min((0, 1)), tracers.physical.max((0, 1))
    surrogate = Surrogate(
        emulator,
        species=SPECIES,
        parameters=PARAMETERS,
        units=("cm^-3", "Habing", "mag"),
        elements=elements,
        stoichiometry=matrix,
        dt_range=dt_range,
        t_max=1200.0,
        parameter_ranges={name: (low[i], high[i]) for i, name in enumerate(PARAMETERS)},
        species_ranges=(
            tracers.abundances.min((0, 1)),
            tracers.abundances.max((0, 1)),
        ),
        initial_conditions={"tiny": tracers.abundances[0, 0]},
        fixed=["zeta = 1"],
        name="surrogate",
    )
    surrogate.build()
    surrogate.parameter_scaler.set_scales(np.zeros(P), np.ones(P))
    return surrogate


def make_projection(rng, members=1):
    """A surrogate of the shipped kind: a projection, a relaxing cell, rates, bounds."""
    coder = ProjectionAutoencoder(S, (8, 6), 3, seed=1, name="autoencoder")
    bounds = np.array([[-3.0, -3, -3], [3, 3, 3]])
    cell = {
        "relaxing": True,
        "bounds": bounds,
        "use_timestep": True,
        "activation": "silu",
        "members": members,
    }
    units = ("K", "Habing", "mag")
    cell["rates"] = {"units": units, "offset": np.zeros(P), "scale": np.ones(P)}
    if members > 1:  # as in the preset `ism`
        named = {"parameters": PARAMETERS, "step": 10.0}
        cell["exposures"] = cell["rates"] | named
    emulator = Emulator(coder, P, (7, 5), name="emulator", **cell)
    emulator.build()
    for weight in emulator.trainable_weights:
        if not weight.path.endswith("autoencoder/kernel"):
            weight.assign(rng.normal(0, 0.15, weight.shape))
    logs = np.log10(make_tracers().abundances.reshape(-1, S))
    # Far from all bounds: no prediction is cut off.
    middle = np.clip(1 + logs.mean(0) / 20, 0.2, 0.9)
    coder.species_scaler.set_scales(middle, np.full(S, 0.02))
    emulator.latent_scaler.set_scales(rng.normal(size=3), np.array([0.5, 1, 2]))
    whole = make_surrogate(rng, use_timestep=True, dt_range=(10.0, 1000.0))
    box = [[1e-20] * S, [1.0] * S]
    return whole.replace(
        emulator=emulator, residual_decay_length=0.3, species_ranges=box
    )


def bounded(surrogate, scaled):
    """Half a decade below the floor, a fifth beyond a range that ends elsewhere."""
    low, high = 1 + np.log10(surrogate.metadata.species_ranges) / 20
    below = np.where(low > 0, 0.2, 0.5) / 20
    return np.clip(scaled, low - below, np.minimum(high + 0.2 / 20, 1))


def make_trust(rng, references=6, latents=L, random_features=0):
    """A layer whose numbers are anything but zero and one."""
    counts = latents, P, S, E, references
    layer = Trust(*counts, TOLERANCE, random_features, name="trust")
    layer.assign(
        latent_offset=rng.normal(size=latents),
        latent_scale=rng.uniform(1, 3, latents),
        centre=rng.normal(size=P),
        whitening=rng.normal(size=(P, P)),
        states=rng.normal(size=(references, latents + P)),
        settings=rng.normal(size=(references, P)),
        coefficients=rng.normal(0, 0.1, layer.numbers["coefficients"].shape),
        error_range=[0.01, 0.5],
        half_width=rng.uniform(1, 3, S),
        constant_width=rng.uniform(0.1, 0.3, S),
        totals=[[-2.0, -3.0, -4.0], [-1.0, -2.9, -3.5]],
        largest=[2.0, 4.0, 0.3],
    )
    if random_features:
        layer.assign(
            frequencies=rng.normal(0, 0.1, layer.numbers["frequencies"].shape),
            phases=rng.uniform(0, 6, random_features),
            knots=np.sort(rng.uniform(-4, 0, (2, KNOTS)), axis=1),
        )
    return layer


def emulate_with_risks(surrogate, *given, **options):
    """Return what `emulate` returns, and the largest risk of each state, (N, T+1).

    Surrogates of former versions returned 1 / (1 + largest risk) as a trust score.
    """
    found, assess = [], batched_evolution.assess_trust

    def recorded(*arguments):
        found.append(assess(*arguments))
        return found[-1]

    with mock.patch.object(batched_evolution, "assess_trust", recorded):
        outputs = surrogate.emulate(*given, **options)
    if not isinstance(outputs, tuple):
        outputs = (outputs,)
    risks = np.concatenate([one.risks.max(-1) for one in found])
    return *outputs, risks[: len(outputs[0])]
