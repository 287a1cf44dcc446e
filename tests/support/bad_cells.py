"""Cells with invalid input, which every format of a surrogate has to flag."""

import numpy as np

NAN, INF = np.nan, np.inf
ABUNDANCES = (NAN, INF, -INF, -1e-3, -1e-11, 1.00001, 1.5, 1e30)
PARAMETERS = (NAN, INF, -INF, 0.0, -1.0)
YEARS = (NAN, INF, -INF, 0.0, -100.0)


def bad_cells(surrogate, initial, physical, years):
    """Return forty variants of a valid cell of one step, each with invalid input.

    Args:
        surrogate: A surrogate of three parameters at least.
        initial: Its abundances, (S,).
        physical: Its parameters, (P,).
        years: The length of its step.

    Returns:
        Abundances (40, S), parameters (40, P), lengths of the step (40,) and the status
        that each must get (40,).
    """
    shortest, longest = surrogate.dt_range
    cells = []
    for value in ABUNDANCES:
        for column in (0, len(initial) - 1):
            wrong = initial.copy()
            wrong[column] = value
            cells.append((wrong, physical, years, 32))
    for value in PARAMETERS:
        for column in (0, 1, len(physical) - 1):
            wrong = physical.copy()
            wrong[column] = value
            cells.append((initial, wrong, years, 32))
    cells += [(initial, physical, value, 32) for value in YEARS]
    cells += [
        (initial, physical, shortest / 2, 2),
        (initial, physical, longest * 2, 2),
        (initial * NAN, physical, longest * 2, 34),
        (initial * NAN, physical * NAN, NAN, 32),
    ]
    columns = [np.array(values, "f4") for values in zip(*cells, strict=True)]
    return *columns[:3], columns[3].astype("i4")
