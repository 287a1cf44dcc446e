"""Write the small surrogate that every later version must still read.

    python tests/support/make_old_model.py

writes `tests/old/formatN.keras`, a surrogate of format version N with random weights
and everything that the format knows (error bars, trust, a timed and relaxing emulator,
what is carried of state 0), and `formatN.npz`, what it was given and what it answered,
as the backend that wrote it computed it. Run it for a new format only: the files of an
old one are never written again.
"""

from pathlib import Path

import keras
import numpy as np
from surrogates import emulate_with_risks
from tiny import PARAMETERS, SPECIES, make_tracers

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.layers.trust_model import Trust
from astrokeras.models.emulator import Emulator
from astrokeras.models.metadata import FORMAT
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.surrogate import Surrogate

FOLDER = Path(__file__).parents[1] / "old"
LATENTS, REFERENCES = 3, 16
YEARS = (0.0, 100.0, 300.0, 350.0, 1000.0)


def make_surrogate() -> Surrogate:
    """Return a calibrated surrogate of random weights."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    matrix, elements = stoichiometric_matrix(SPECIES)
    autoencoder = ProjectionAutoencoder(len(SPECIES), [8], LATENTS, seed=1)
    autoencoder.build()
    emulator = Emulator(autoencoder, 3, [8], use_timestep=True, relaxing=True)
    emulator.build()
    tracers = make_tracers()
    states = tracers.abundances.reshape(-1, len(SPECIES))
    surrogate = Surrogate(
        emulator,
        species=SPECIES,
        parameters=PARAMETERS,
        units=("cm^-3", "Habing", "mag"),
        elements=elements,
        stoichiometry=matrix,
        dt_range=(50.0, 1000.0),
        t_max=2000.0,
        parameter_ranges=dict.fromkeys(PARAMETERS, (0.1, 1000.0)),
        species_ranges=np.stack([states.min(0), states.max(0)]),
        initial_conditions={"first": states[0]},
        fixed=["zeta = 1"],
        residual_decay_length=1.0,
        trust=make_trust(rng, len(elements)),
        name="surrogate",
    )
    surrogate.build()
    surrogate.parameter_scaler.set_scales(np.full(3, 1.0), np.full(3, 0.5))
    return surrogate


def make_trust(rng: np.random.Generator, elements: int) -> Trust:
    """Return a trust model of no training."""
    trust = Trust(LATENTS, 3, len(SPECIES), elements, REFERENCES)
    trust.assign(
        latent_scale=np.ones(LATENTS),
        whitening=np.eye(3),
        states=rng.normal(0, 1, (REFERENCES, LATENTS + 3)),
        settings=rng.normal(0, 1, (REFERENCES, 3)),
        coefficients=rng.normal(0, 0.1, 14),
        error_range=(0.01, 1.0),
        half_width=rng.uniform(0.5, 2, len(SPECIES)),
        constant_width=np.full(len(SPECIES), 0.3),
        totals=np.stack([np.full(elements, 1e-20), np.full(elements, 10.0)]),
        largest=(5.0, 20.0, 20.0),
    )
    return trust


def main() -> None:
    """Write the surrogate, what it is given and what it answers."""
    FOLDER.mkdir(exist_ok=True)
    surrogate = make_surrogate()
    surrogate.save(FOLDER / f"format{FORMAT}.keras")
    tracers = make_tracers()
    initial, physical = tracers.abundances[::5, 0], tracers.physical[::5, :4]
    abundances, sigma, risks = emulate_with_risks(
        surrogate, initial, physical, YEARS, return_sigma=True
    )
    latents = surrogate.encode(initial)
    np.savez(
        FOLDER / f"format{FORMAT}.npz",
        initial=initial,
        physical=physical,
        years=YEARS,
        abundances=abundances,
        sigma=sigma,
        trust=1 / (1 + risks),
        latents=latents,
        decoded=surrogate.decode(latents),
    )


if __name__ == "__main__":
    main()
