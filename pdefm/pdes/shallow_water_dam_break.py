"""Dams that break: water waves that run out of the picture."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.random_shapes import random_discs
from pdefm.pdes.shallow_water import ShallowWater


class ShallowWaterDamBreak(ShallowWater):
    """Shallow water equations over a flat bottom, all sides open.

    ``h_t + div(h U) = 0``, ``(h U)_t + div(h U U) + grad(g h^2 / 2) = 0`` as in ``ShallowWater``.
    Round dams around higher or lower water vanish at time 0. Ghost cells repeat the nearest cell,
    so outgoing waves leave. Dimensionless: the depth between the dams and the box are 1.

    Source: Toro (2001), Shock-Capturing Methods for Free-Surface Shallow Flows, chapter 13.
    """

    name = "shallow_water_dam_break"
    solver_version = 1
    boundary = BoundaryCondition.OPEN
    dt = 0.02
    invariant_kinds: Mapping[str, str] = MappingProxyType({})

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """None: the bottom is flat."""
        return {}

    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Two to four basins at rest, 1.4 to 2.5 times or 0.3 to 0.7 times as deep as the rest."""
        depth = torch.ones(grid.shape, dtype=torch.float64)
        for covered in random_discs(grid, rng, count=int(rng.integers(2, 5))):
            high = rng.uniform() < 0.7
            level = rng.uniform(1.4, 2.5) if high else rng.uniform(0.3, 0.7)
            depth = depth + covered * (level - depth)
        velocity = torch.zeros(self.num_dims, *grid.shape, dtype=torch.float64)
        return torch.cat((depth[None], velocity))
