"""In which precision dense layers multiply their matrices, and all else computes."""

from astrokeras.system import arguments

PRECISIONS = ("float32", "mixed_bfloat16")
OWN_DTYPE = {"dtype": "float32"}
"""Of a model unless it is told another: Keras' global policy is that of other models.

A model's parts but for its dense layers have the dtype of its weights.
"""


def check_precision(precision: str) -> str:
    """Return a precision that is known.

    The scaled abundances span 20 decades: with the 8 significant bits of bfloat16 they
    would be rounded by up to 0.04 dex. So this is the dtype policy of dense layers
    alone, not of a model: the state is summed up, and outputs are scaled, in float32.
    What a dense layer gives has 8 bits, also the last one, in units of a species' own
    spread if the model standardises.

    Raises:
        InputError: If it is none of `PRECISIONS`.
    """
    return arguments.choice("precision", precision, *PRECISIONS)
