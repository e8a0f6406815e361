"""Cells of a box with two layers of ghost cells, one flat row of numbers per sample and channel.

A neighbour is a shift along the row, so a scheme of any dimension is arithmetic on long contiguous
slices. What is computed across the ends of a line of cells means nothing and is never read.
"""

from collections.abc import Mapping
from functools import cached_property
from math import prod

from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.base import Parameters

NUM_GHOSTS = 2
Rows = Mapping[str, Float[Tensor, "batch #points"]]
"""Scalars ``[batch, 1]`` and coefficient fields over the same points as the state."""


class PaddedCells:
    """Layout of one grid.

    Two kinds of rows occur: *padded* ones of ``num_points`` numbers, and *inner* ones without the
    ghost layers of the first axis (but with those of the others), which tendencies fill.

    Args:
        grid: The cells inside.
        boundary: Decides what ghost cells hold: periodic copies, the nearest cell (open), or the
            mirror image (wall).
    """

    def __init__(self, grid: Grid, boundary: BoundaryCondition) -> None:
        self.boundary = boundary
        self.inside = grid.shape
        self.shape = tuple(n + 2 * NUM_GHOSTS for n in grid.shape)
        self.strides = tuple(prod(self.shape[i + 1 :]) for i in range(grid.num_dims))
        self.spacings = tuple(axis.spacing for axis in grid.axes)
        self.num_points = prod(self.shape)
        self.margin = NUM_GHOSTS * self.strides[0]

    @cached_property
    def inner_shape(self) -> tuple[int, ...]:
        """Shape of an inner row."""
        return (self.inside[0], *self.shape[1:])

    def pad(
        self, values: Float[Tensor, "channel batch *space"], vector_start: int | None = None
    ) -> Float[Tensor, "channel batch padded"]:
        """A new padded copy with its ghost cells filled.

        Args:
            values: Inside the box.
            vector_start: First channel of the vector field that a wall reflects, if any.
        """
        row = values.new_zeros(*values.shape[:2], self.num_points)
        box = row.view(*values.shape[:2], *self.shape)
        for axis, num_cells in enumerate(self.inside):
            box = box.narrow(2 + axis, NUM_GHOSTS, num_cells)
        box.copy_(values)
        self.fill_ghosts(row, vector_start)
        return row

    def fill_ghosts(
        self, row: Float[Tensor, "channel batch padded"], vector_start: int | None = None
    ) -> None:
        """Fill ghost cells in place from the cells inside, corners included."""
        box = row.view(*row.shape[:2], *self.shape)
        for axis, num_cells in enumerate(self.inside):
            dim = 2 + axis
            low, high = box.narrow(dim, 0, NUM_GHOSTS), box.narrow(dim, num_cells + 2, NUM_GHOSTS)
            if self.boundary is BoundaryCondition.PERIODIC:
                low.copy_(box.narrow(dim, num_cells, NUM_GHOSTS))
                high.copy_(box.narrow(dim, NUM_GHOSTS, NUM_GHOSTS))
            elif self.boundary is BoundaryCondition.OPEN:
                low.copy_(box.narrow(dim, NUM_GHOSTS, 1).expand_as(low))
                high.copy_(box.narrow(dim, num_cells + 1, 1).expand_as(high))
            else:
                low.copy_(box.narrow(dim, NUM_GHOSTS, NUM_GHOSTS).flip(dim))
                high.copy_(box.narrow(dim, num_cells, NUM_GHOSTS).flip(dim))
                if vector_start is not None:
                    low[vector_start + axis].neg_()
                    high[vector_start + axis].neg_()

    def inner(self, row: Float[Tensor, "*lead padded"]) -> Float[Tensor, "*lead inner"]:
        """The part of padded rows that inner rows cover, as a view."""
        return row.narrow(-1, self.margin, self.num_points - 2 * self.margin)

    def unpad(
        self, row: Float[Tensor, "channel batch inner"]
    ) -> Float[Tensor, "channel batch *space"]:
        """The cells inside the box of inner rows, as a view."""
        box = row.unflatten(-1, self.inner_shape)
        for axis, num_cells in enumerate(self.inside[1:], start=1):
            box = box.narrow(axis - len(self.inside), NUM_GHOSTS, num_cells)
        return box


def limited_faces(
    cells: Float[Tensor, "channel batch points"], stride: int
) -> tuple[Float[Tensor, "channel batch faces"], Float[Tensor, "channel batch faces"]]:
    """Values on both sides of the faces between neighbours, of second order and without overshoot.

    Face ``j`` lies between cells ``j + stride`` and ``j + 2 stride``; there are ``3 stride`` fewer
    faces than points. Within a cell with differences ``a``, ``b`` to its neighbours the field is
    linear and changes by ``2 max(a b, 0) / (a + b)``: never beyond the neighbours' values.

    Source: van Leer (1974), J. Comput. Phys. 14, 361-370; (1979), 32, 101-136.

    Returns:
        Values just below and just above each face.
    """
    num_inner = cells.shape[-1] - 2 * stride
    difference = cells[..., stride:] - cells[..., :-stride]
    below, above = difference[..., :num_inner], difference[..., stride:]
    # The tiny number avoids 0 / 0; where the product is positive it is far below the sum.
    half_slope = (below * above).relu_() / (below + above).add_(1e-30)
    centre = cells[..., stride:-stride]
    return (
        centre[..., :-stride] + half_slope[..., :-stride],
        centre[..., stride:] - half_slope[..., stride:],
    )


def as_rows(
    parameters: Parameters, cells: PaddedCells, like: Tensor
) -> dict[str, Float[Tensor, "batch _"]]:
    """Scalars ``[batch]`` as ``[batch, 1]``; coefficient fields padded, ``[batch, padded]``."""
    rows = {}
    for name, value in parameters.items():
        value = value.to(like)
        rows[name] = value[:, None] if value.ndim == 1 else cells.pad(value[None])[0]
    return rows


def inner_rows(rows: Rows, cells: PaddedCells) -> dict[str, Float[Tensor, "batch _"]]:
    """The parts of padded coefficient fields over inner rows; scalars as they are."""
    return {
        name: cells.inner(value) if value.shape[-1] > 1 else value for name, value in rows.items()
    }


def fluxes_to_tendency(
    entering: Float[Tensor, "channel batch faces"],
    leaving: Float[Tensor, "channel batch faces"],
    stride: int,
    spacing: float,
) -> Float[Tensor, "channel batch cells"]:
    """``(flux in through the lower face - flux out through the upper one) / spacing`` of each cell.

    Args:
        entering: As the cells above the faces see it.
        leaving: As the cells below see it: the same, but for terms that act on one side only.
        stride: Distance of neighbours in a row.
        spacing: Distance of neighbours in space.
    """
    return (entering[..., :-stride] - leaving[..., stride:]).mul_(1 / spacing)
