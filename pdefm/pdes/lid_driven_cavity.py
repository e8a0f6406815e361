"""Fluid in a box whose lid slides."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.base import Parameters, Range
from pdefm.pdes.incompressible import IncompressiblePDE, Rows
from pdefm.pdes.initial_states import random_stream_function
from pdefm.pdes.staggered_cells import Sides, StaggeredCells


class LidDrivenCavity(IncompressiblePDE):
    """Incompressible Navier-Stokes equations in a closed box, driven by its upper wall.

    ``u_t + div(u u) = -grad p + viscosity Lap u``, ``div u = 0``; ``u = (lid_speed, 0)`` at the
    wall ``y = 1`` and ``u = 0`` at the others. The Reynolds number is ``lid_speed / viscosity``.
    Velocities are solved for on the faces of the cells and given at the centres, as the mean of
    both faces. Dimensionless: the box is 1.

    Source: Ghia, Ghia & Shin (1982), J. Comput. Phys. 48, 387-411; methods in
    ``IncompressiblePDE``.
    """

    name = "lid_driven_cavity"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {"viscosity": (1e-3, 1e-2), "lid_speed": (0.5, 1.5)}
    log_uniform = frozenset({"viscosity"})
    extent = (1.0, 1.0)
    boundary = BoundaryCondition.WALL
    dt = 0.2
    invariant_kinds: Mapping[str, str] = {"energy": "bounded", "divergence": "conserved"}

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """A random flow, 0.2 to 0.5 strong, of eddies 2 to 5 to a wall; the lid starts at once."""
        strength = rng.uniform(0.2, 0.5)
        stream = random_stream_function(grid, rng, peak_mode=rng.uniform(2.0, 5.0))
        cells = StaggeredCells(grid, False, stream.dtype, stream.device)
        velocity = cells.from_stream_function(stream)
        return velocity * (strength / velocity.square().sum(0).mean().sqrt())

    def box_sides(self, rows: Rows) -> Sides:
        """Walls that the flow sticks to, one of which moves."""
        return Sides(lid=rows["lid_speed"])

    def invariants(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """Kinetic energy per area, which friction bounds, and the divergence, which is zero."""
        return {
            "energy": states.square().sum(2).flatten(2).mean(-1) / 2,
            "divergence": self.divergence(states, parameters, grid),
        }
