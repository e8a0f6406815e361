"""A user's own array: bytes without words, so the user says what the axes are."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.description import Description, choose_one_per_channel
from pdefm.data.formats.axis_spec import AxisSpec
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

NPY_SIGNATURE = b"\x93NUMPY"


class ArrayFile(TrajectoryCollection):
    """One ``.npy`` array, memory-mapped, with the meaning of its axes given as ``N T C X Y``.

    What is not said is: channels ``channel_0``, ``channel_1``, ..., ``dt`` 1, extent 1 an axis,
    periodic boundary. Numbers of any real type, integers and booleans too, are read as float32.

    Args:
        path: The file.
        description: ``axes`` is needed, the rest is optional.
    """

    format = "arrays"
    suffixes = (".npy",)

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """NumPy's signature in the first bytes."""
        with path.open("rb") as file:
            start = file.read(len(NPY_SIGNATURE))
        return "NumPy array" if start == NPY_SIGNATURE else None

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled with all its data.
        return {key: value for key, value in self.__dict__.items() if key != "array"}

    @cached_property
    def array(self) -> np.ndarray:
        """The memory-mapped array.

        Raises:
            DataError: A damaged file, or an array that does not hold real numbers.
        """
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"{self.path}: cannot be read as a NumPy array",
                got=error,
                do="Save it again with numpy.save, as plain numbers",
            ) from error
        if array.dtype.kind not in "fiub":
            raise DataError(
                f"{self.path}: fields must be real numbers",
                got=f"dtype {array.dtype}",
                do="Store real and imaginary parts as two channels, or convert to float32",
            )
        return array

    @cached_property
    def spec(self) -> AxisSpec:
        """What the axes are."""
        return AxisSpec.parse(self.description.axes, tuple(self.array.shape), str(self.path))

    def __len__(self) -> int:
        return self.spec.size("N")

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories."""
        self.check_index(index)
        return self.spec.size("T")

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        values = self.spec.take(self.array, index, start, stop)
        said, where = self.description, str(self.path)
        default = tuple(f"channel_{i}" for i in range(self.spec.size("C")))
        unknown = ("unknown",) * len(default)
        boundary = said.boundary or BoundaryCondition.PERIODIC
        dt = 1.0 if said.dt is None else said.dt
        return Trajectory(
            fields=torch.from_numpy(np.array(values, np.float32, order="C")),
            names=choose_one_per_channel(said.names, default, where=where, option="names"),
            units=choose_one_per_channel(said.units, unknown, where=where, option="units"),
            grid=self._grid(boundary),
            times=torch.arange(start, stop, dtype=torch.float64) * dt,
            boundary=uniform_boundary(boundary, len(self.spec.space)),
            source=Source(where, index),
        )

    def _grid(self, boundary: BoundaryCondition) -> Grid:
        letters = self.spec.space
        shape = tuple(self.spec.size(letter) for letter in letters)
        extent = Grid.regular(shape, self.description.extent or None).extent
        periodic = boundary is BoundaryCondition.PERIODIC
        return Grid(
            tuple(
                Axis(letter.lower(), num_points, length, periodic)
                for letter, num_points, length in zip(letters, shape, extent, strict=True)
            )
        )
