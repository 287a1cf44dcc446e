"""Precision of the matrix products in dense layers, and of everything else."""

from astrokeras.system import arguments

PRECISIONS = ("float32", "mixed_bfloat16")
OWN_DTYPE = {"dtype": "float32"}
"""Default dtype of a model, which does not follow Keras' global policy.

The parts of a model, except its dense layers, have the dtype of its weights.
"""


def check_precision(precision: str) -> str:
    """Return the precision, or raise InputError if it is not one of `PRECISIONS`.

    The scaled abundances span 20 decades, and the 8 significant bits of bfloat16 would
    round them by up to 0.04 dex. The precision is therefore the dtype policy of dense
    layers alone: the state is summed, and outputs are scaled, in float32. The outputs
    of a dense layer, including the last, have 8 bits, in units of a species' own spread
    if the model standardises.
    """
    return arguments.choice("precision", precision, *PRECISIONS)
