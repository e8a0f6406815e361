"""One solved (or measured) evolution, checked the moment it is made."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError

Boundary = tuple[tuple[BoundaryCondition, BoundaryCondition], ...]


@dataclass(frozen=True)
class Source:
    """Where a trajectory came from: a file or generator, and the index in it."""

    name: str = "memory"
    index: int = 0

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


def uniform_boundary(kind: BoundaryCondition, num_dims: int) -> Boundary:
    """The same condition on both sides of every axis."""
    return ((kind, kind),) * num_dims


def periodic_axes(boundary: Boundary) -> tuple[bool, ...]:
    """Per axis, whether its two sides are one."""
    return tuple(lower is BoundaryCondition.PERIODIC for lower, _ in boundary)


@dataclass(frozen=True)
class Trajectory:
    """Fields on a grid at growing times, in physical units.

    Construction checks shapes, dtypes, times and lengths. Values are not checked: a NaN is a
    finding of ``pdefm data inspect`` and an error of training, so that a damaged file can be
    looked at.

    Args:
        fields: ``[time, channel, *space]``, floating point.
        names: One per channel, unique.
        grid: Points and extents of the space axes.
        times: ``[time]``, strictly growing; one entry for steady data.
        units: One per channel; empty means unknown.
        boundary: Per axis, condition at the lower and the upper side; empty means periodic
            or open as the axis says.
        parameters: Scalars of the equation, such as ``viscosity``.
        mask: True inside the domain; ``None`` means everywhere.
        constants: ``[channel, *space]`` coefficients that do not change in time.
        constant_names: One per channel of ``constants``.
        source: File and index, for messages.

    Raises:
        DataError: Anything above is violated.
    """

    fields: Float[Tensor, "time channel *space"]
    names: tuple[str, ...]
    grid: Grid
    times: Float[Tensor, " time"]
    units: tuple[str, ...] = ()
    boundary: Boundary = ()
    parameters: dict[str, float] = field(default_factory=dict)
    mask: Bool[Tensor, "*space"] | None = None
    constants: Float[Tensor, "constant *space"] | None = None
    constant_names: tuple[str, ...] = ()
    source: Source = Source()

    def __post_init__(self) -> None:
        if not self.units:
            object.__setattr__(self, "units", ("unknown",) * len(self.names))
        if not self.boundary:
            sides = tuple(
                BoundaryCondition.PERIODIC if axis.periodic else BoundaryCondition.OPEN
                for axis in self.grid.axes
            )
            object.__setattr__(self, "boundary", tuple((side, side) for side in sides))
        self._check_shapes()
        self._check_names_and_times()

    def _fail(self, what: str, got: object, do: str) -> None:
        raise DataError(f"{self.source}: {what}", got=got, do=do)

    def _check_shapes(self) -> None:
        shape = tuple(self.fields.shape)
        if shape[2:] != self.grid.shape:
            self._fail(
                f"fields must be [time, channel, *space] with space {self.grid.shape}",
                list(shape),
                "Check the axis order",
            )
        if not torch.is_floating_point(self.fields):
            self._fail("fields must be floating point", self.fields.dtype, "Convert them first")
        if not torch.is_floating_point(self.times):
            self._fail("times must be floating point", self.times.dtype, "Convert them first")
        if self.mask is not None and tuple(self.mask.shape) != self.grid.shape:
            self._fail(
                f"mask must have the shape of the grid {self.grid.shape}",
                list(self.mask.shape),
                "Check the mask",
            )
        if self.constants is not None and (
            tuple(self.constants.shape[1:]) != self.grid.shape
            or len(self.constant_names) != len(self.constants)
        ):
            self._fail(
                f"constants need one name a channel and space {self.grid.shape}",
                f"{list(self.constants.shape)} named {self.constant_names}",
                "Check the constant fields",
            )
        if len(self.boundary) != self.grid.num_dims:
            self._fail(
                "boundary needs a pair per axis", self.boundary, "Give one condition per axis"
            )

    def _check_names_and_times(self) -> None:
        channels = self.fields.shape[1]
        if len(self.names) != channels or len(set(self.names)) != channels:
            self._fail(
                f"{channels} channels need {channels} different names",
                ", ".join(self.names),
                "Give the names with --names a,b,...",
            )
        if len(self.units) != channels:
            self._fail(f"{channels} channels need {channels} units", self.units, "Check the units")
        if tuple(self.times.shape) != (self.num_frames,):
            self._fail(
                f"{self.num_frames} frames need {self.num_frames} times",
                list(self.times.shape),
                "Check the time axis",
            )
        if self.num_frames > 1 and not bool((torch.diff(self.times) > 0).all()):
            self._fail(
                "times must grow strictly",
                [round(t, 6) for t in self.times[:4].tolist()],
                "Sort the frames or give --dt",
            )

    @property
    def num_frames(self) -> int:
        """Number of stored times."""
        return self.fields.shape[0]

    @property
    def dt(self) -> float:
        """Mean time between frames; 0 for a single frame."""
        if self.num_frames < 2:
            return 0.0
        return float((self.times[-1] - self.times[0]) / (self.num_frames - 1))

    def is_finite(self) -> bool:
        """True if no value inside the domain is NaN or infinite."""
        finite = torch.isfinite(self.fields)
        return bool((finite if self.mask is None else finite | ~self.mask).all())

    def frames(self, start: int, stop: int, step: int = 1) -> "Trajectory":
        """The same trajectory between two frames, every ``step``-th of them."""
        chosen = slice(start, stop, step)
        return replace(self, fields=self.fields[chosen], times=self.times[chosen])
