"""Reader of ConDiff: steady diffusion with coefficients of high contrast."""

from math import isqrt

import h5py
import numpy as np
import torch

from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import HdfNode
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError


def _cells_per_side(file: HdfNode) -> int | None:
    """``n`` if ``x`` and ``rhs`` are ``(N, n n)`` and ``k``, if there, is ``(N, n+1, n+1)``."""
    nodes = [file.get(key) for key in ("x", "rhs", *(["k"] if "k" in file else []))]
    datasets = [node for node in nodes if isinstance(node, h5py.Dataset) and node.shape]
    arrays = [node for node in datasets if node.dtype.kind == "f"]
    if len(arrays) < len(nodes):
        return None
    shape = arrays[0].shape
    num_cells = isqrt(shape[1]) if len(shape) == 2 else 0
    nodes_shape = (shape[0], num_cells + 1, num_cells + 1) if num_cells else ()
    right = (
        num_cells > 1
        and shape[1] == num_cells**2
        and arrays[1].shape == shape
        and all(k.shape == nodes_shape for k in arrays[2:])
    )
    return num_cells if right else None


class ConDiffFile(Hdf5Collection):
    """One HDF5 file of ConDiff: ``-div(k grad u) = f`` on the unit square, one frame a sample.

    ``x (N, n n)`` is the solution in the centres of cells, flattened column by column (Fortran
    order). Constants are ``source``, the file's ``rhs``, whose scale depends on the grid, and
    ``log_permeability``: ``k`` lies on the ``(n+1)^2`` nodes and spans up to five decades, so each
    cell has the mean of ``log k`` over its four corners. Files without ``k`` are Poisson's
    equation; their field is called ``potential`` in place of ``pressure``. All is read as float32.

    Args:
        path: The file.
        description: May override names, units, dt, extent and boundary.

    Raises:
        RecipeError: The description gives axes or variables, which the file itself says.
    """

    format = "condiff"

    @classmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """Solution and right-hand side flattened, permeability on one node more a side."""
        n = _cells_per_side(file)
        if n is None:
            return None
        nodes = f" and k on {n + 1} x {n + 1} nodes" if "k" in file else ""
        return f"HDF5 with x and rhs of {n} x {n} cells{nodes}"

    def frame_counts(self, file: HdfNode) -> list[int]:
        """One frame each."""
        if _cells_per_side(file) is None:
            raise DataError(
                f"{self.path}: x and rhs must be (N, n n), and k, if there, (N, n+1, n+1)",
                got=", ".join(f"{key} {getattr(file[key], 'shape', '')}" for key in file),
                do="Check that this is a file of ConDiff",
            )
        return [1] * file["x"].shape[0]

    def data_keys(self, file: HdfNode) -> list[str]:
        """Coefficient, right-hand side and solution."""
        return [key for key in ("k", "rhs", "x") if key in file]

    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """The solution of one sample and its coefficients."""
        n = isqrt(file["x"].shape[1])
        solution, source = (
            np.asarray(file[key][index]).reshape(n, n, order="F")  # [X, Y]
            for key in ("x", "rhs")
        )
        constants, names = [source], ("source",)
        if "k" in file:
            # A damaged k is for the doctor to report, not for a warning here.
            with np.errstate(divide="ignore", invalid="ignore"):
                log_k = np.log(np.asarray(file["k"][index], np.float64))
            corners = log_k[:-1, :-1] + log_k[1:, :-1] + log_k[:-1, 1:] + log_k[1:, 1:]
            constants, names = [corners / 4, source], ("log_permeability", "source")
        return Trajectory(
            fields=torch.from_numpy(np.array(solution, np.float32, order="C"))[None, None],
            names=("pressure",) if "k" in file else ("potential",),
            units=("dimensionless",),
            grid=Grid.regular((n, n), periodic=False),
            times=torch.zeros(1, dtype=torch.float64),
            boundary=uniform_boundary(BoundaryCondition.WALL, 2),
            constants=torch.from_numpy(np.stack(constants).astype(np.float32, order="C")),
            constant_names=names,
            source=Source(str(self.path), index),
        )
