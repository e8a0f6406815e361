"""Blasts in a closed box: shocks that bounce off walls and cross each other."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.euler import Euler
from pdefm.pdes.random_shapes import random_discs


class EulerWalls(Euler):
    """Compressible Euler equations in a box with reflecting walls.

    ``U_t + F(U)_x + G(U)_y = 0`` as in ``Euler``. At a wall the normal velocity is zero and nothing
    sticks (slip). Discs of gas of other pressure and density burst at time 0. Dimensionless.

    Source: as for ``Euler``; mirrored ghost cells as in Toro (2009), section 6.3.3.
    """

    name = "euler_walls"
    solver_version = 1
    boundary = BoundaryCondition.WALL
    dt = 0.04
    invariant_kinds: Mapping[str, str] = {"mass": "conserved", "energy": "conserved"}

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Two to four discs in a gas at rest, their pressure 2 to 6 or 0.2 to 0.5 times as high."""
        density = torch.ones(grid.shape, dtype=torch.float64)
        pressure = torch.ones(grid.shape, dtype=torch.float64)
        for covered in random_discs(grid, rng, count=int(rng.integers(2, 5))):
            high = rng.uniform() < 0.7
            inner = rng.uniform(2.0, 6.0) if high else rng.uniform(0.2, 0.5)
            pressure = pressure + covered * (inner - pressure)
            density = density + covered * (rng.uniform(0.3, 2.0) - density)
        velocity = torch.zeros(self.num_dims, *grid.shape, dtype=torch.float64)
        return torch.cat((density[None], pressure[None], velocity))
