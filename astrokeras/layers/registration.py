"""One decorator that makes a class known to Keras' serialisation."""

from collections.abc import Callable
from typing import TypeVar

import keras

T = TypeVar("T", bound=type)

# The package string is written here once and never derived from a module path, so
# that a model file stays readable when a class moves to another module.
register: Callable[[T], T] = keras.saving.register_keras_serializable(
    package="astrokeras"
)
