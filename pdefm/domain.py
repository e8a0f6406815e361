"""The physical vocabulary: fields, grids and what happens at their edges."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pdefm.errors import DataError

AXIS_NAMES = ("x", "y", "z")


class BoundaryCondition(StrEnum):
    """What happens at one side of an axis, in the words of The Well's file format."""

    PERIODIC = "periodic"
    WALL = "wall"
    OPEN = "open"


@dataclass(frozen=True)
class Field:
    """A physical quantity.

    Args:
        name: Such as ``vorticity``; a vector's components become ``velocity_x``, ``velocity_y``.
        unit: SI-like text, or ``dimensionless``.
        tensor_order: 0 scalar, 1 vector.
    """

    name: str
    unit: str = "dimensionless"
    tensor_order: int = 0

    def component_names(self, axis_names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the channels that this field fills, slowest index first."""
        names = (self.name,)
        for _ in range(self.tensor_order):
            names = tuple(f"{name}_{axis}" for name in names for axis in axis_names)
        return names


@dataclass(frozen=True)
class Axis:
    """One space axis with evenly spaced points.

    A periodic axis has points ``origin + i extent / num_points`` (the right end is the left
    end); any other has cell centres ``origin + (i + 1/2) extent / num_points``.
    """

    name: str
    num_points: int
    extent: float = 1.0
    periodic: bool = True
    origin: float = 0.0

    def __post_init__(self) -> None:
        if self.num_points < 1 or not self.extent > 0:
            raise DataError(
                f"axis '{self.name}' needs points and a positive extent",
                got=f"{self.num_points} points over {self.extent}",
                do="Check the extent that was given, one number per space axis",
            )

    @property
    def spacing(self) -> float:
        """Distance between neighbouring points."""
        return self.extent / self.num_points

    def coordinates(self) -> np.ndarray:
        """Positions of the points, float64 ``[num_points]``."""
        shift = 0.0 if self.periodic else 0.5
        return self.origin + (np.arange(self.num_points) + shift) * self.spacing


@dataclass(frozen=True)
class Grid:
    """One to three axes, in the order of the array's space axes ("ij")."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 3:
            raise DataError(
                "a grid has one to three space axes",
                got=len(self.axes),
                do="Say which array axes are space, as in --axes 'N T C X Y'",
            )

    @classmethod
    def regular(
        cls, shape: tuple[int, ...], extent: tuple[float, ...] | None = None, periodic: bool = True
    ) -> "Grid":
        """Grid over ``[0, extent]`` per axis, named x, y, z.

        Raises:
            DataError: As many extents as axes are needed.
        """
        extent = (1.0,) * len(shape) if extent is None else extent
        if len(extent) != len(shape):
            raise DataError(
                "extent needs one number per space axis",
                got=f"{len(extent)} for {len(shape)} axes",
                do=f"Give {len(shape)} numbers, as in --extent {','.join(['1'] * len(shape))}",
            )
        return cls(
            tuple(
                Axis(AXIS_NAMES[i], shape[i], extent[i], periodic=periodic)
                for i in range(len(shape))
            )
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Points per axis."""
        return tuple(axis.num_points for axis in self.axes)

    @property
    def extent(self) -> tuple[float, ...]:
        """Length per axis."""
        return tuple(axis.extent for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def num_dims(self) -> int:
        """Number of space axes."""
        return len(self.axes)
