"""Dams that break in a basin: water waves over hills, thrown back by walls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.random_shapes import random_bumps, random_discs
from pdefm.pdes.shallow_water import ShallowWater


class ShallowWaterWalls(ShallowWater):
    """Shallow water equations over hills in a basin with reflecting walls.

    ``h_t + div(h U) = 0``, ``(h U)_t + div(h U U) + grad(g h^2 / 2) = -g h grad b`` as in
    ``ShallowWater``. Dams around higher water vanish at time 0. At a wall the normal velocity is
    zero and nothing sticks. Dimensionless: the depth between the dams, above the flat part, and the
    box are 1.

    Source: as for ``ShallowWater``.
    """

    name = "shallow_water_walls"
    solver_version = 1
    boundary = BoundaryCondition.WALL
    dt = 0.06

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """One to three smooth hills, 0.15 to 0.5 high."""
        bottom = torch.zeros(grid.shape, dtype=torch.float64)
        for bump in random_bumps(grid, rng, count=int(rng.integers(1, 4))):
            bottom = torch.maximum(bottom, rng.uniform(0.15, 0.5) * bump)
        return {"topography": bottom}

    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """One to three basins whose surface is 0.2 to 1 higher than the rest, at rest."""
        surface = torch.ones(grid.shape, dtype=torch.float64)
        for covered in random_discs(grid, rng, count=int(rng.integers(1, 4))):
            surface = surface + covered * (1 + rng.uniform(0.2, 1.0) - surface)
        velocity = torch.zeros(self.num_dims, *grid.shape, dtype=torch.float64)
        return torch.cat(((surface - parameters["topography"])[None], velocity))
