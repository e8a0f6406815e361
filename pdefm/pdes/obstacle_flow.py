"""Flow through a channel past random obstacles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.base import Parameters, Range
from pdefm.pdes.incompressible import IncompressiblePDE, Rows
from pdefm.pdes.initial_states import random_stream_function
from pdefm.pdes.random_shapes import random_discs
from pdefm.pdes.staggered_cells import Sides, StaggeredCells


class ObstacleFlow(IncompressiblePDE):
    """Incompressible flow through a channel past discs, by Brinkman penalisation.

    ``u_t + div(u u) = -grad p + viscosity Lap u - penalty (1 - mask) u``, ``div u = 0`` with
    ``mask`` one in the fluid and zero in the obstacles, ``penalty = 400``. ``u = (inflow, 0)`` at
    the lower x side, zero pressure at the upper one; along the y sides the flow slips. The edge of
    an obstacle is a staircase of cells, through which a few percent of the flow seep: *first order
    in space at obstacles*, second order elsewhere. Velocities are solved for on the faces of the
    cells and given at the centres, as the mean of both faces. Dimensionless: the channel is 2 by 1.

    Source: Angot, Bruneau & Fabrie (1999), Numer. Math. 81, 497-520; methods in
    ``IncompressiblePDE``.
    """

    name = "obstacle_flow"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {"viscosity": (5e-4, 4e-3), "inflow": (0.5, 1.0)}
    log_uniform = frozenset({"viscosity"})
    extent = (2.0, 1.0)
    boundary = BoundaryCondition.OPEN
    has_outlet = True
    dt = 0.1
    invariant_kinds: Mapping[str, str] = {"energy": "bounded", "divergence": "conserved"}
    penalty = 400.0
    """Rate at which flow inside an obstacle is stopped, in 1/time."""
    num_start_sweeps = 30

    @property
    def sides(self) -> tuple[tuple[BoundaryCondition, BoundaryCondition], ...]:
        """Open along x, walls along y."""
        wall = BoundaryCondition.WALL
        return (self.boundary, self.boundary), (wall, wall)

    def configuration(self) -> dict[str, Any]:
        """As for every flow, with the penalty."""
        return super().configuration() | {"penalty": self.penalty}

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Bool[Tensor, "*space"]]:
        """One to four discs, 0.12 to 0.3 wide; true outside of them."""
        mask = torch.ones(grid.shape, dtype=torch.bool)
        count = int(rng.integers(1, 5))
        for covered in random_discs(grid, rng, count=count, radius=(0.03, 0.075)):
            mask &= covered < 0.5
        return {"mask": mask}

    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """A flow that goes round the obstacles without friction, with weak random eddies."""
        stream = random_stream_function(grid, rng, peak_mode=rng.uniform(2.0, 5.0))
        cells = StaggeredCells(grid, True, stream.dtype, stream.device)
        eddies = cells.from_stream_function(stream)
        inflow = parameters["inflow"]
        eddies *= rng.uniform(0.05, 0.3) * inflow / eddies.square().sum(0).mean().sqrt()
        eddies[0] += inflow
        sides = Sides(slip=True, inflow=inflow)
        rows = cells.from_cells(eddies[None], sides)
        solid = self._solid(cells.as_rows({"mask": parameters["mask"][None]})["mask"], cells)
        for _ in range(self.num_start_sweeps):
            cells.inner(rows).mul_(1 - solid)
            cells.fill_ghosts(rows, sides)
            cells.project(rows)
        return cells.to_cells(rows)[0]

    @staticmethod
    def _solid(
        mask: Float[Tensor, "batch points"], cells: StaggeredCells
    ) -> Float[Tensor, "2 batch inner"]:
        """Part of both cells at the x faces and at the y faces that is obstacle."""
        pairs = [
            cells.inner(mask) + mask.narrow(-1, cells.start - shift, cells.num_inner)
            for shift in (cells.stride, 1)
        ]
        return 1 - torch.stack(pairs) / 2

    def box_sides(self, rows: Rows) -> Sides:
        """Inlet, outlet and slippery walls."""
        return Sides(slip=True, inflow=rows["inflow"])

    def add_forces(
        self,
        tendency: Float[Tensor, "channel batch inner"],
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        cells: StaggeredCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """The obstacles' drag."""
        drag = self._solid(rows["mask"], cells) * self.penalty
        return tendency.sub_(drag * cells.inner(primitive[:2]))

    def force_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        spacings: Sequence[float],
    ) -> float:
        """Heun's method is stable up to ``dt = 2 / penalty``; used up to two thirds of that."""
        return self.courant_number * self.penalty * 0.75

    def invariants(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """Kinetic energy per area, which friction bounds, and the divergence, which is zero."""
        return {
            "energy": states.square().sum(2).flatten(2).mean(-1) / 2,
            "divergence": self.divergence(states, parameters, grid),
        }
