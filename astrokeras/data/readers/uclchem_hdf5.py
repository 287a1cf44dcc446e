"""Models that UCLCHEM 3.5 and later save as HDF5.

`AbstractModel.save_model` writes a dataset of xarray as netCDF-4, a group for each
model: `physics_array` and `chemical_abun_array`, (times, points, quantities), whose
names are in `physics_values` and `chemical_abun_values`.
"""

from collections.abc import Sequence

import h5py
import numpy as np

from astrokeras.data.tracers.file_format import decoded, plain_dataset, stored_item
from astrokeras.errors import InputError

_ARRAYS = {
    "physics_array": "physics_values",
    "chemical_abun_array": "chemical_abun_values",
}


class UclchemModel:
    """Saved model, read by rows: all times of the first point, then of the next.

    Args:
        group: The group of the model.

    Raises:
        InputError: If arrays and names do not fit.
    """

    def __init__(self, group: h5py.Group):
        self.name = f"{group.file.filename}:{group.name}".removesuffix(":/")
        self._arrays, columns = [], list[str]()
        for array, labels in _ARRAYS.items():
            dataset = plain_dataset(group, array)
            names = [decoded(n).strip() for n in plain_dataset(group, labels)[:]]
            if dataset.ndim != 3 or dataset.shape[2] != len(names):
                raise InputError(
                    f"{self.name}: {array} must be (times, points, {len(names)}), not "
                    f"{dataset.shape}; save the model again."
                )
            self._arrays.append(dataset)
            columns += names
        times, self._points = self._arrays[0].shape[:2]
        # Times after the end of a run are zero in every quantity.
        density = self._arrays[0][:, 0, columns.index("Density")]
        self._times = int(np.flatnonzero(density > 0).max(initial=-1)) + 1
        self.columns = (*columns, "point")
        self.rows = min(self._times, times) * self._points

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        wanted = np.array(list(columns), dtype=int)
        out = np.empty((stop - start, len(wanted)))
        for point in range(self._points):
            low = max(start, point * self._times)
            high = min(stop, (point + 1) * self._times)
            if low >= high:
                continue
            rows = slice(low - point * self._times, high - point * self._times)
            values = np.column_stack([array[rows, point] for array in self._arrays])
            values = np.column_stack([values, np.full(high - low, point + 1.0)])
            out[low - start : high - start] = values[:, wanted]
        return out


def models_in(file: h5py.File) -> list[h5py.Group]:
    """Return the groups of a file that hold a saved model, the root included."""
    groups = [file, *(stored_item(file, name) for name in file)]
    return [
        group
        for group in groups
        if isinstance(group, h5py.Group)
        and all(name in group for names in _ARRAYS.items() for name in names)
    ]
