"""Conservation of the elements in an exported surrogate, in NumPy."""

import numpy as np

TINY, RIDGE = 1e-30, 1e-6


def conserve(x, wanted, atoms, settings):
    """Return abundances with given element totals, scaled by exp(c A mu).

    Args:
        x: Abundances, (N, S).
        wanted: Element totals, (N, E).
        atoms: Atom counts, (S, E).
        settings: Newton steps, power of the weights c, and limit of a step.
    """
    with np.errstate(divide="ignore"):  # electrons contain no element
        x = np.minimum(x, 1 / (atoms / wanted[:, None]).max(-1))
    present = np.maximum(x @ atoms, TINY)
    share = np.clip(x * (atoms / present[:, None]).max(-1), 1e-30, 1)
    weight, mu = share ** settings["power"], np.zeros_like(wanted)
    products = atoms[:, :, None] * atoms[:, None]
    for _ in range(settings["steps"]):
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
        mu = mu + change / np.maximum(largest / settings["limit"], 1)
    moved = x * np.exp(np.clip(weight * (mu @ atoms.T), -60, 60))
    return moved.astype("f4")
