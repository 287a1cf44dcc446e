"""Element conservation: the hard constraint on element totals after the decoder."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.layers.registration import register
from astrokeras.system import arguments

TINY = 1e-30
"""Smallest element total; avoids a division by zero for an absent element."""
LEAST = 2e-38
"""Smallest abundance that is returned; float32 would round lower ones to zero."""
LEAST_SHARE = 1e-15
"""Smallest share of an element in one molecule, for molecules without atoms."""
RIDGE = 1e-6
"""Added to the diagonal, since elements that only occur together are degenerate."""


@register
class Conservation(keras.layers.Layer):
    """Multiplies abundances so that they have given element totals.

    Species s is multiplied by `exp(c_s (A mu)_s)`, which is positive for every mu. A is
    the stoichiometric matrix, with one number mu_e for each element. The weight c_s is
    the share of an element's total that s carries (the largest over its elements) to a
    power: the main carriers of an element take the correction, and trace species keep
    the abundance that the network predicts. With c = 1 this is the Kullback-Leibler
    projection onto the totals, which changes every carbon species when CO is wrong, and
    doubles the error.

    First, no species may hold more atoms than the totals. Then Newton's method solves
    for mu in the logarithms of the totals, where one step is exact if all carriers of
    an element have the same weight; the last step takes the Jacobian of the one before.
    Gradients are those of the solution (the implicit function): only the last step is
    differentiated, at a point held constant (Bolte, Pauwels & Vaiter 2023,
    arXiv:2305.13768), so that training keeps one step in memory.

    Args:
        stoichiometry: Atom counts, `(species, elements)`.
        steps: Newton steps. They reach float32's precision (4e-7) in 4 steps for
            errors of 0.3 dex; for 1 dex in 6 steps in all but one state in 300, and in
            8 steps in all.
        power: Power of the share, in the weights c.
        limit: Largest change of a mu in one step.
        **kwargs: Base layer arguments.

    Call arguments:
        abundances: Positive, relative to H nuclei, `(..., species)`.
        totals: Required element totals, `(..., elements)`, of a shape that broadcasts.

    Returns abundances of the same shape. `residual` returns the error that remains.
    """

    def __init__(
        self,
        stoichiometry: ArrayLike,
        steps: int = 6,
        power: float = 0.5,
        limit: float = 10.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.stoichiometry = as_numbers("stoichiometry", stoichiometry)
        if self.stoichiometry.ndim != 2:
            msg = (
                "`stoichiometry` must have shape (species, elements). "
                f"Received: shape={self.stoichiometry.shape}"
            )
            raise InputError(msg)
        self.steps = arguments.whole("steps", steps, low=1)
        self.power = arguments.number("power", power, 0, 1)
        self.limit = arguments.number("limit", limit, low=1e-6)
        # Products of atom counts: the Jacobian is one matrix product with them.
        atoms = self.stoichiometry
        self.products = (atoms[:, :, None] * atoms[:, None]).reshape(len(atoms), -1)
        self.built = True

    def totals(self, abundances: Any) -> Any:
        """Return element totals `(..., elements)` of abundances `(..., species)`."""
        return ops.matmul(abundances, self.stoichiometry)

    def residual(self, abundances: Any, totals: Any) -> Any:
        """Return the largest relative error of the totals, `(...)`."""
        wanted = ops.maximum(totals, TINY)
        found = _ratio(self.totals(abundances), wanted)
        return ops.max(ops.abs(found - 1.0), axis=-1)

    def call(self, abundances: Any, totals: Any) -> Any:
        wanted = ops.maximum(totals, TINY)
        bounded = ops.minimum(abundances, _ratio(1.0, self._largest_share(wanted)))
        weights = self._weights(bounded)
        species, elements = self.stoichiometry.shape
        shape = ops.shape(bounded)
        wanted = ops.broadcast_to(wanted, (*shape[:-1], elements))
        wanted = ops.reshape(wanted, (-1, elements))
        bounded = ops.reshape(bounded, (-1, species))
        weights = ops.reshape(weights, (-1, species))
        mu, inverse = self._solve(bounded, weights, wanted)
        moved = self._moved(bounded, weights, mu)
        mu = mu + self._step(inverse, self._error(moved, wanted))
        conserved = ops.maximum(self._moved(bounded, weights, mu), LEAST)
        return ops.reshape(conserved, shape)

    def _solve(self, abundances: Any, weights: Any, wanted: Any) -> tuple[Any, Any]:
        """Return mu `(n, E)` before the last step and the inverse Jacobian, constants.

        Args:
            abundances: `(n, S)`.
            weights: The exponents c, `(n, S)`.
            wanted: Required totals, `(n, E)`.
        """
        given = abundances, weights, wanted
        abundances, weights, wanted = map(ops.stop_gradient, given)

        def newton(_: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
            mu = found[0]
            moved = self._moved(abundances, weights, mu)
            inverse = self._inverse(moved * weights)
            return mu + self._step(inverse, self._error(moved, wanted)), inverse

        mu = ops.zeros_like(wanted)
        inverse = ops.expand_dims(ops.transpose(mu), 0)
        inverse = ops.repeat(inverse, self.stoichiometry.shape[1], axis=0)
        # A loop is traced and compiled once; unrolled, it took most of the time that
        # the compilation of a surrogate takes.
        mu, inverse = ops.fori_loop(0, self.steps - 1, newton, (mu, inverse))
        return ops.stop_gradient(mu), ops.stop_gradient(inverse)

    def _largest_share(self, totals: Any) -> Any:
        """Return the largest share of an element in one molecule, `(..., S)`."""
        # A loop over the few elements lets backends vectorise over the many species.
        shares = [
            _ratio(ops.convert_to_tensor(counts), totals[..., i : i + 1])
            for i, counts in enumerate(self.stoichiometry.T)
        ]
        return ops.maximum(functools.reduce(ops.maximum, shares), LEAST_SHARE)

    def _weights(self, abundances: Any) -> Any:
        """Return c: a power of the largest share of an element in a species."""
        present = ops.maximum(self.totals(abundances), TINY)
        share = ops.clip(abundances * self._largest_share(present), 1e-30, 1.0)
        return ops.power(share, self.power)  # finite gradient: the share is above zero

    def _moved(self, abundances: Any, weights: Any, mu: Any) -> Any:
        exponent = weights * ops.matmul(mu, self.stoichiometry.T)
        return abundances * ops.exp(ops.clip(exponent, -60.0, 60.0))

    def _error(self, moved: Any, wanted: Any) -> Any:
        """Return the residual that Newton's method drives to zero, `(n, E)`."""
        totals = ops.maximum(self.totals(moved), TINY)
        return totals * ops.log(_ratio(wanted, totals))

    def _step(self, inverse: Any, error: Any) -> Any:
        """Return the change of mu in a Newton step, `(n, E)`."""
        step = ops.transpose(ops.sum(inverse * ops.transpose(error), axis=1))
        largest = ops.max(ops.abs(step), axis=-1, keepdims=True)
        return step / ops.maximum(largest / self.limit, 1.0)

    def _inverse(self, weighted: Any) -> Any:
        """Return the inverse Jacobian, `(E, E, n)`, of weighted abundances `(n, S)`.

        Gauss-Jordan elimination without pivots, as the Jacobian is positive definite:
        elementwise operations on all states, which every backend compiles and exports.
        After each step the first row and column go to the end, so that all steps are
        the same.
        """
        count = self.stoichiometry.shape[1]
        matrix = ops.matmul(self.products.T, ops.transpose(weighted))
        matrix = ops.reshape(matrix, (count, count, -1))
        # A unit diagonal removes the range of the elements' abundances.
        diagonal = ops.transpose(ops.diagonal(matrix))
        scale = ops.rsqrt(diagonal + TINY)
        scale = scale[:, None] * scale[None]
        ridge = RIDGE * np.eye(count, dtype="float32")[..., None]
        matrix = matrix * scale + ops.convert_to_tensor(ridge)
        for _ in range(count):
            pivot = 1.0 / matrix[:1, :1]
            row, column = matrix[:1, 1:] * pivot, matrix[1:, :1]
            rest = matrix[1:, 1:] - column * row
            upper = ops.concatenate([rest, -column * pivot], axis=1)
            lower = ops.concatenate([row, pivot], axis=1)
            matrix = ops.concatenate([upper, lower], axis=0)
        return matrix * scale

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "stoichiometry": self.stoichiometry.tolist(),
            "steps": self.steps,
            "power": self.power,
            "limit": self.limit,
        }


def _ratio(above: Any, below: Any) -> Any:
    """Return a quotient of abundances, with a finite gradient for absent elements.

    A backend may divide by the square of `below`, which float32 rounds to zero under
    1e-19. The expression here is the tangent, with the same value and first
    derivatives.
    """
    fixed = ops.stop_gradient(below)
    return above / fixed * (2.0 - below / fixed)
