"""NumPy runtime of an exported surrogate: this folder and `surrogate.npz` suffice.

    import numpy_reader
    model = numpy_reader.Surrogate("surrogate.npz")
    evolved, expected_error, status, carried = model.step(abundances, physical, years)

Abundances are relative to H nuclei, (N, S). Parameters, (N, P) in `about["units"]`, are
constant during a time step of `years`, (N,). `rollout` takes (N, T, P) and (N, T) and
returns the states after each step, (N, T, S). Each state has an expected error in dex,
and a status, a sum of bits: 1 a parameter lies outside the trained range, 2 a time step
or the age does, 4 the state is unlike training, 8 the expected error is above the
threshold, 16 element totals could not be restored, 32 the input is invalid; 0 is fine.
A cell with invalid input comes back unchanged. What a step adds to the expected errors
of later ones is `carried`, (N, 4): hand it to the next step. Arrays of other shapes
raise ValueError.
"""

from .network import ACTIVATIONS
from .surrogate import Surrogate

__all__ = ["ACTIVATIONS", "Surrogate"]
