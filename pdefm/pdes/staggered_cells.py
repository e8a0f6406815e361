"""Cells of a box whose velocities live on the faces between them (a MAC grid), as flat rows.

``u[i, j]`` is on the lower x face of cell ``(i, j)``, ``v[i, j]`` on its lower y face, a tracer at
its centre; all three share one layout with ghost layers, two below and three above per axis, so a
neighbour is a shift along a row and every scheme is arithmetic on long contiguous slices. What is
computed at ghosts means nothing and is overwritten.

Source: Harlow & Welch (1965), Phys. Fluids 8, 2182-2189.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pdefm.domain import Grid
from pdefm.pdes.base import Parameters
from pdefm.pdes.cosine_modes import cosine_basis

LOW, HIGH = 2, 3
"""Ghost layers below and above."""


@dataclass(frozen=True)
class Sides:
    """What happens at the sides of the box; per sample ``[batch, 1]`` or a number.

    Args:
        slip: Walls do not hold the flow along them; otherwise it sticks.
        lid: Velocity of the upper y wall along x.
        inflow: Velocity through the lower x side, which makes the upper x side an open one of zero
            pressure; ``None`` means walls all around.
    """

    slip: bool = False
    lid: Tensor | float = 0.0
    inflow: Tensor | float | None = None


class StaggeredCells:
    """Layout, ghosts, projection and the way to cell centres and back, for one grid.

    Args:
        grid: Cell centres, two-dimensional.
        has_outlet: The upper x side is open.
        dtype: Of the state.
        device: Of the state.
    """

    def __init__(
        self, grid: Grid, has_outlet: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.inside = grid.shape
        self.has_outlet = has_outlet
        self.spacings = tuple(axis.spacing for axis in grid.axes)
        self.shape = tuple(n + LOW + HIGH for n in grid.shape)
        self.stride = self.shape[1]
        self.num_points = self.shape[0] * self.shape[1]
        self.start = LOW * self.stride
        self.num_inner = (grid.shape[0] + 1) * self.stride
        self.dtype, self.device = dtype, device
        bases = [cosine_basis(grid.shape[0], open_above=has_outlet), cosine_basis(grid.shape[1])]
        rates = []
        for axis, n in enumerate(grid.shape):
            mode = torch.arange(n, dtype=torch.float64) + (0.5 if has_outlet and axis == 0 else 0)
            rates.append(-((2 / self.spacings[axis]) ** 2) * (torch.pi / 2 / n * mode).sin() ** 2)
        total = rates[0][:, None] + rates[1]
        if not has_outlet:
            total[0, 0] = float("inf")  # the mean of the pressure is free: it is set to zero
        self._inverse = (1 / total).to(device, dtype)
        self._basis_x, self._basis_y = (basis.to(device, dtype) for basis in bases)
        to_faces = [_cells_to_faces(grid.shape[0], has_outlet), _cells_to_faces(grid.shape[1])]
        self._to_faces = [matrix.to(device, dtype) for matrix in to_faces]

    def as_rows(self, parameters: Parameters) -> dict[str, Float[Tensor, "batch _"]]:
        """Scalars as ``[batch, 1]``, coefficient fields as full rows, ghosts like the last cell."""
        rows = {}
        for name, value in parameters.items():
            value = value.to(self.device, self.dtype)
            if value.ndim > 1:
                value = functional.pad(value[:, None], (LOW, HIGH) * 2, mode="replicate")
            rows[name] = value.flatten(1) if value.ndim > 1 else value[:, None]
        return rows

    def box(self, row: Float[Tensor, "*lead points"]) -> Float[Tensor, "*lead x y"]:
        """Full rows as two axes, ghosts included, as a view."""
        return row.unflatten(-1, self.shape)

    def inner(self, row: Float[Tensor, "*lead points"]) -> Float[Tensor, "*lead inner"]:
        """The part of full rows that tendencies fill, as a view."""
        return row.narrow(-1, self.start, self.num_inner)

    def centres(self, row: Float[Tensor, "*lead points"]) -> Float[Tensor, "*lead nx ny"]:
        """The cells inside, as a view."""
        nx, ny = self.inside
        return self.box(row)[..., LOW : LOW + nx, LOW : LOW + ny]

    def faces_x(self, row: Float[Tensor, "*lead points"]) -> Float[Tensor, "*lead nx_1 ny"]:
        """``u`` on all faces, those on the sides included, as a view."""
        nx, ny = self.inside
        return self.box(row)[..., LOW : LOW + nx + 1, LOW : LOW + ny]

    def faces_y(self, row: Float[Tensor, "*lead points"]) -> Float[Tensor, "*lead nx ny_1"]:
        """``v`` on all faces, as a view."""
        nx, ny = self.inside
        return self.box(row)[..., LOW : LOW + nx, LOW : LOW + ny + 1]

    def from_stream_function(
        self, stream: Float[Tensor, "*lead nx_1 ny_1"]
    ) -> Float[Tensor, "*lead 2 nx ny"]:
        """Velocity ``(d psi / dy, -d psi / dx)`` at the centres, without divergence on the faces.

        Args:
            stream: ``psi`` at the corners of the cells, constant along walls.
        """
        u = stream.diff(dim=-1) / self.spacings[1]
        v = -stream.diff(dim=-2) / self.spacings[0]
        velocity = [(u[..., :-1, :] + u[..., 1:, :]) / 2, (v[..., :-1] + v[..., 1:]) / 2]
        return torch.stack(velocity, dim=-3)

    def to_cells(
        self, rows: Float[Tensor, "channel batch points"]
    ) -> Float[Tensor, "batch channel nx ny"]:
        """Velocity as the mean of both faces, and tracers, all at the cell centres."""
        u, v = self.faces_x(rows[0]), self.faces_y(rows[1])
        velocity = [(u[:, :-1] + u[:, 1:]) / 2, (v[..., :-1] + v[..., 1:]) / 2]
        return torch.stack([*velocity, *self.centres(rows[2:])], dim=1)

    def from_cells(
        self, state: Float[Tensor, "batch channel nx ny"], sides: Sides
    ) -> Float[Tensor, "channel batch points"]:
        """Faces whose means are the given velocity, the closest there are; ghosts are not filled.

        The normal velocity at the sides is known, so ``f_{i+1} = 2 c_i - f_i`` gives all of them,
        exactly for what ``to_cells`` returns. Elsewhere noise of one cell's size is enlarged.
        """
        u, v = state[:, 0], state[:, 1]
        inflow = None if sides.inflow is None else _as_box(sides.inflow, u)
        if inflow is not None:
            u = u - inflow
        u = self._to_faces[0] @ u
        if inflow is not None:
            u = u + inflow
        v = v @ self._to_faces[1].mT
        parts = [
            functional.pad(u, (LOW, HIGH, LOW, HIGH - 1)),
            functional.pad(v, (LOW, HIGH - 1, LOW, HIGH)),
        ]
        tracers = [functional.pad(s, (LOW, HIGH, LOW, HIGH)) for s in state[:, 2:].unbind(1)]
        return torch.stack([part.flatten(1) for part in (*parts, *tracers)])

    def fill_ghosts(self, rows: Float[Tensor, "channel batch points"], sides: Sides) -> None:
        """Fill ghosts and the fixed normal velocities at the sides, in place.

        A tracer has no flux. Along a wall the velocity is mirrored so that it slips, or so that its
        value at the wall is that of the wall; across a wall its slope is zero where the flow sticks
        (it has no divergence).
        """
        nx, ny = self.inside
        u, v, s = self.box(rows[0]), self.box(rows[1]), self.box(rows[2:])
        along = 1.0 if sides.slip else -1.0
        low, top, right = LOW, LOW + ny, LOW + nx
        # Far ghosts are multiplied by zero velocities, so they must stay finite.
        self.box(rows)[..., : low - 1] = 0.0
        self.box(rows)[..., top + 1 :] = 0.0
        # y sides: u and tracers are mirrored at the wall, v has faces on it.
        u[..., low - 1] = along * u[..., low]
        u[..., top] = along * u[..., top - 1]
        if not sides.slip:
            lid = sides.lid
            u[..., top] += 2 * lid if isinstance(lid, Tensor) else 2.0 * lid
        v[..., low] = 0.0
        v[..., top] = 0.0
        v[..., low - 1] = -along * v[..., low + 1]
        v[..., top + 1] = -along * v[..., top - 1]
        s[..., low - 1] = s[..., low]
        s[..., top] = s[..., top - 1]
        # x sides, whole rows.
        s[..., low - 1, :] = s[..., low, :]
        s[..., right, :] = s[..., right - 1, :]
        if sides.inflow is None:
            u[..., low, :] = 0.0
            u[..., right, :] = 0.0
            u[..., low - 1, :] = -along * u[..., low + 1, :]
            u[..., right + 1, :] = -along * u[..., right - 1, :]
            v[..., low - 1, :] = along * v[..., low, :]
            v[..., right, :] = along * v[..., right - 1, :]
        else:
            inflow = sides.inflow
            u[..., low - 1 : low + 1, :] = (
                inflow[..., None] if isinstance(inflow, Tensor) else inflow
            )
            v[..., low - 1, :] = -v[..., low, :]
            for ghost in range(HIGH - 1):
                u[..., right + 1 + ghost, :] = u[..., right, :]
            for ghost in range(HIGH):
                v[..., right + ghost, :] = v[..., right - 1, :]

    def unpad(
        self, row: Float[Tensor, "channel batch inner"]
    ) -> Float[Tensor, "channel batch nx ny"]:
        """``to_cells`` of what ``inner`` returns, channels first."""
        return self.to_cells(self.widen(row)).movedim(1, 0)

    def widen(
        self, row: Float[Tensor, "channel batch inner"]
    ) -> Float[Tensor, "channel batch points"]:
        """Full rows of what ``inner`` returns, with zeros around it."""
        behind = self.num_points - self.start - self.num_inner
        return functional.pad(row, (self.start, behind))

    def divergence(
        self, rows: Float[Tensor, "channel batch points"]
    ) -> Float[Tensor, "batch nx ny"]:
        """Of the face velocities, per cell, in 1/time."""
        u, v = self.faces_x(rows[0]), self.faces_y(rows[1])
        across_x = (u[:, 1:] - u[:, :-1]) / self.spacings[0]
        return across_x + (v[..., 1:] - v[..., :-1]) / self.spacings[1]

    def project(self, rows: Float[Tensor, "channel batch points"]) -> None:
        """Take the closest velocity without divergence, in place; normal velocities at walls stay.

        The pressure solve is exact (a transform in which the Laplacian is diagonal), so what is
        left of the divergence is rounding.
        """
        modes = self._basis_x @ self.divergence(rows) @ self._basis_y.mT
        pressure = self._basis_x.mT @ (modes * self._inverse) @ self._basis_y
        u, v = self.faces_x(rows[0]), self.faces_y(rows[1])
        u[:, 1:-1] -= (pressure[:, 1:] - pressure[:, :-1]) / self.spacings[0]
        if self.has_outlet:
            u[:, -1] += pressure[:, -1] * (2 / self.spacings[0])
        v[..., 1:-1] -= (pressure[..., 1:] - pressure[..., :-1]) / self.spacings[1]


def _as_box(value: Tensor | float, like: Tensor) -> Tensor:
    """A number per sample ``[batch, 1]``, or one for all, as ``[batch, 1, 1]``."""
    return torch.as_tensor(value).to(like).reshape(-1, 1, 1)  # [batch, 1, 1]


def _cells_to_faces(num_cells: int, open_above: bool = False) -> Float[Tensor, "face cell"]:
    """Pseudo-inverse of the means of neighbouring faces; the lowest is zero, float64.

    With both ends zero the alternating part of the cells is out of reach and is dropped.
    """
    face, cell = torch.meshgrid(torch.arange(num_cells + 1), torch.arange(num_cells), indexing="ij")
    sign = (1 - 2 * ((face - 1 - cell) % 2)).to(torch.float64)
    matrix = torch.where(cell < face, 2 * sign, 0.0)
    if open_above:
        return matrix
    alternating = (1 - 2 * (torch.arange(num_cells) % 2)).to(torch.float64)
    projector = torch.eye(num_cells, dtype=torch.float64)
    projector -= torch.outer(alternating, alternating) / num_cells
    return matrix @ projector
