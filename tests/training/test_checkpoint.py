"""Checkpoints on disk: what they hold, and what is refused."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from astrokeras.callbacks import AnnealOnPlateau
from astrokeras.errors import InputError
from astrokeras.training.checkpoint import Checkpoint


def small_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.compile("adam", "mse")
    return model


def test_a_checkpoint_keeps_the_best_and_the_last_weights(tmp_path):
    model = small_model()
    x, y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")
    checkpoint = Checkpoint(tmp_path, "val_dex", [], {})
    checkpoint.set_model(model)
    kernels = []
    for epoch, value in enumerate([0.5, 0.3, 0.4]):
        model.fit(x, y, verbose=0)
        kernels.append(np.array(ops.convert_to_numpy(model.layers[0].kernel.value)))
        checkpoint.on_epoch_end(epoch, {"val_dex": value})

    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.npz",
        "epoch-3.npz",
        "state.json",
    ]
    checkpoint.restore_best(model)
    kernel = ops.convert_to_numpy(model.layers[0].kernel.value)
    np.testing.assert_array_equal(kernel, kernels[1])
    assert Checkpoint(tmp_path, "val_dex", [], {}).restore(model) == 3
    kernel = ops.convert_to_numpy(model.layers[0].kernel.value)
    np.testing.assert_array_equal(kernel, kernels[2])
    assert int(ops.convert_to_numpy(model.optimizer.iterations.value)) == 3


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(tmp_path, "val_dex", [], {})
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"val_dex": 1.0})
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")])
    other.compile("adam", "mse")

    with pytest.raises(InputError, match=r"shape \(3, 2\), the model's is \(4, 2\)"):
        Checkpoint(tmp_path, "val_dex", [], {}).restore(other)


def test_a_checkpoint_stays_in_its_folder(tmp_path):
    other = AnnealOnPlateau([], "x", 0.5, 3)
    one = Checkpoint(tmp_path, "x", [other], {})
    state = {"arrays": "epoch-1.npz", "best": 0.1, "facts": {}, "history": []}
    numbers = {"best": 0.1, "wait": 2, "factor": 0.5, "patience": 3}
    for change, expected in (
        ({"arrays": "../../x.npz"}, "'arrays' is ../../x.npz"),
        ({"callbacks": [{"on_epoch_end": 1}]}, "'callbacks' is"),
        ({"callbacks": [{"best": "x"}]}, "'callbacks' is"),
        ({"callbacks": []}, "'callbacks' is []"),
        ({"best": None}, "'best' is None"),
    ):
        stored = state | {"callbacks": [numbers]} | change
        one.state_path.write_text(json.dumps(stored))
        with pytest.raises(InputError, match=r"state\.json: this is not a c") as error:
            one.restore(None)
        assert expected in str(error.value)
