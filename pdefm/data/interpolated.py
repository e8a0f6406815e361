"""Trajectories on another grid than that of their files."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError


class Interpolated(TrajectoryCollection):
    """Fields of two space axes, bilinear on ``num_points`` points an axis, as DPOT prepares them.

    Points are centres of cells (``align_corners=False``); there is no filter in front of
    coarsening, and the border knows nothing of periodic axes.

    Args:
        parent: Trajectories on the grid of their files.
        num_points: Along each axis.
    """

    def __init__(self, parent: TrajectoryCollection, num_points: int) -> None:
        self.parent, self.num_points = parent, num_points
        self.format, self.path, self.name = parent.format, parent.path, parent.name
        self.licence, self.staggered = parent.licence, parent.staggered

    def __len__(self) -> int:
        return len(self.parent)

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory."""
        return self.parent.num_frames(index)

    def native_shape(self) -> tuple[int, ...]:
        """Points of the first trajectory's own grid, which stands for all."""
        return self.parent.read(0, 0, 1).grid.shape

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory on the new grid.

        Raises:
            DataError: Not two space axes, or a mask, which cannot be interpolated.
        """
        found = self.parent.read(index, start, stop)
        if found.grid.num_dims != 2 or found.mask is not None:
            raise DataError(
                f"{found.source}: only whole planes are interpolated",
                got=f"{found.grid.num_dims} space axes{'' if found.mask is None else ', a mask'}",
                do="Leave out resolution",
            )
        axes = tuple(replace(axis, num_points=self.num_points) for axis in found.grid.axes)
        return replace(
            found,
            fields=self._on_grid(found.fields),
            constants=None if found.constants is None else self._on_grid(found.constants[None])[0],
            grid=Grid(axes),
        )

    def _on_grid(self, fields: Tensor) -> Tensor:
        """``[time, channel, x, y]`` on the new grid."""
        size = (self.num_points, self.num_points)
        return F.interpolate(fields, size, mode="bilinear", align_corners=False)
