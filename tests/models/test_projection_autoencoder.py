"""The autoencoder that is a projection: its decoder is undone by its encoder."""

import keras
import numpy as np
import pytest
from keras import ops

from astrokeras.config import FitConfig
from astrokeras.layers.orthonormal import Orthonormal
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.training.fit import _optimizer

S, L = 12, 3


def to_numpy(tensor):
    return ops.convert_to_numpy(getattr(tensor, "value", tensor))


@pytest.fixture
def model(rng):
    model = ProjectionAutoencoder(S, (9, 7), L, activation="tanh", seed=1, name="a")
    model.build()
    for weight in model.trainable_weights[1:]:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    model.species_scaler.set_scales(rng.random(S), rng.uniform(0.1, 0.3, S))
    return model


def decoded(model, latents):
    """Decode in NumPy, after the equations of the docstring."""
    kernel, *rest = [to_numpy(w).astype("f8") for w in model.trainable_weights]
    said = latents
    for layer in range(0, len(rest), 2):
        said = said @ rest[layer] + rest[layer + 1]
        said = np.tanh(said) if layer + 2 < len(rest) else said
    u = said + (latents - said @ kernel) @ kernel.T
    offset, scale = (to_numpy(w) for w in model.species_scaler.weights)
    return u * scale + offset


def test_what_is_decoded_encodes_to_where_it_came_from(model, rng):
    latents = rng.normal(size=(5, 4, L)).astype("f4")
    states = model.decode(latents)

    assert tuple(states.shape) == (5, 4, S)
    np.testing.assert_allclose(to_numpy(model.encode(states)), latents, atol=1e-5)


def test_what_the_decoder_misses_is_invisible_to_the_encoder(model, rng):
    state = rng.random((6, S)).astype("f4")
    latents = to_numpy(model.encode(state))
    missed = state - to_numpy(model.decode(latents))
    other = rng.normal(size=(6, L)).astype("f4")

    assert np.abs(missed).max() > 0.1
    again = model.encode(to_numpy(model.decode(other)) + missed)
    np.testing.assert_allclose(to_numpy(again), other, atol=1e-5)


def test_it_decodes_as_its_equations_say(model, rng):
    latents = rng.normal(size=(20, L)).astype("f4")
    states = to_numpy(model.decode(latents))

    np.testing.assert_allclose(states, decoded(model, latents), atol=1e-5)
    some = to_numpy(model.decode(latents, outputs=[7, 2]))
    np.testing.assert_allclose(some, states[:, [7, 2]], atol=1e-5)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_keeps_the_kernel_orthonormal(model, rng, optimizer):
    before = to_numpy(model.kernel)
    settings = FitConfig(optimizer=optimizer, learning_rate=1e-2)
    model.compile(_optimizer(settings), "mse")
    states = rng.random((64, S)).astype("f4")
    loss = model.fit(states, states, epochs=4, batch_size=8, verbose=0).history["loss"]

    kernel = to_numpy(model.kernel)
    assert loss[-1] < loss[0]
    assert np.abs(kernel - before).max() > 1e-2
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(L), atol=1e-6)
    latents = rng.normal(size=(5, L)).astype("f4")
    again = to_numpy(model.encode(model.decode(latents)))
    np.testing.assert_allclose(again, latents, atol=1e-5)


def test_the_constraint_finds_the_nearest_orthonormal_kernel(rng):
    kernel = np.linalg.qr(rng.normal(size=(S, L)))[0] + rng.normal(0, 0.05, (S, L))
    left, _, right = np.linalg.svd(kernel, full_matrices=False)

    found = to_numpy(Orthonormal()(ops.convert_to_tensor(kernel.astype("f4"))))

    np.testing.assert_allclose(found, left @ right, atol=1e-6)


def test_a_file_gives_it_back(model, rng, tmp_path):
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    states = rng.random((3, S)).astype("f4")

    np.testing.assert_array_equal(to_numpy(again(states)), to_numpy(model(states)))
    assert again.kernel.constraint.__class__ is Orthonormal


def test_noise_and_dropout_are_of_training(rng):
    model = ProjectionAutoencoder(S, (9,), L, noise=0.5, dropout=0.5, seed=1, name="a")
    model.build()
    states = rng.random((3, S)).astype("f4")
    quiet, loud = (to_numpy(model(states, training=t)) for t in (False, True))

    np.testing.assert_array_equal(quiet, to_numpy(model(states)))
    assert np.abs(loud - quiet).max() > 0.01


def test_more_latents_than_species_are_refused():
    with pytest.raises(ValueError, match="Received: latents=13, species=12"):
        ProjectionAutoencoder(S, (9,), 13)
