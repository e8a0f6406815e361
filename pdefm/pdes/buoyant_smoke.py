"""Smoke that rises in a closed box."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range
from pdefm.pdes.incompressible import IncompressiblePDE, Rows
from pdefm.pdes.initial_states import random_walled_field
from pdefm.pdes.staggered_cells import Sides, StaggeredCells


class BuoyantSmoke(IncompressiblePDE):
    """Incompressible flow driven by the smoke that it carries, in a closed box.

    ``u_t + div(u u) = -grad p + viscosity Lap u + buoyancy s e_y``, ``div u = 0``,
    ``s_t + div(u s) = diffusivity Lap s`` with the density ``s`` of the smoke; upwards is ``y``.
    The flow sticks to the walls (``u = 0``) and smoke does not pass them. Velocities are solved for
    on the faces of the cells and given at the centres, as the mean of both faces. Dimensionless:
    the box is 1 and the smoke at first between 0 and 1.

    Source: Boussinesq's approximation, as in Gupta & Brandstetter (2022), arXiv:2209.15616, on
    smoke in a closed box with random buoyancy; methods in ``IncompressiblePDE``.
    """

    name = "buoyant_smoke"
    solver_version = 1
    fields = (Field("velocity", tensor_order=1), Field("smoke"))
    parameter_ranges: Mapping[str, Range] = {
        "buoyancy": (0.2, 0.5),
        "viscosity": (3e-4, 2e-3),
        "diffusivity": (1e-4, 5e-4),
    }
    log_uniform = frozenset({"viscosity", "diffusivity"})
    extent = (1.0, 1.0)
    boundary = BoundaryCondition.WALL
    dt = 0.3
    invariant_kinds: Mapping[str, str] = {
        "smoke": "conserved",
        "smoke_variance": "decays",
        "divergence": "conserved",
    }

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Soft patches of smoke in still air."""
        noise = random_walled_field(grid, rng, peak_mode=rng.uniform(2.0, 5.0))
        smoke = torch.sigmoid(4 * (noise - rng.uniform(-0.2, 0.6)))
        return torch.stack((torch.zeros_like(smoke), torch.zeros_like(smoke), smoke))

    def box_sides(self, rows: Rows) -> Sides:
        """Walls that the flow sticks to."""
        return Sides()

    def tracer_diffusivity(self, rows: Rows) -> Float[Tensor, "batch 1"]:
        """Of the smoke."""
        return rows["diffusivity"]

    def add_forces(
        self,
        tendency: Float[Tensor, "channel batch inner"],
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        cells: StaggeredCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """Buoyancy of the smoke on both sides of a face."""
        smoke = primitive[2]
        pair = cells.inner(smoke) + smoke.narrow(-1, cells.start - 1, cells.num_inner)
        tendency[1] += pair * (rows["buoyancy"] / 2)
        return tendency

    def force_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, " batch"]:
        """From rest, half a cell is crossed in ``sqrt(dx / (buoyancy max s))``."""
        return (primitive[2].amax(-1) * rows["buoyancy"][:, 0] / spacings[1]).clamp(min=0).sqrt()

    def invariants(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """Mean and variance of the smoke, and the flow's divergence, which is zero."""
        smoke = states[:, :, 2].flatten(2)
        return {
            "smoke": smoke.mean(-1),
            "smoke_variance": smoke.var(-1, correction=0),
            "divergence": self.divergence(states, parameters, grid),
        }
