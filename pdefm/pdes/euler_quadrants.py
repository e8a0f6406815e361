"""Four states of a gas that meet in a corner: shocks, contacts and rarefactions cross."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.euler import Euler


class EulerQuadrants(Euler):
    """Compressible Euler equations from one constant state in each quadrant.

    ``U_t + F(U)_x + G(U)_y = 0`` as in ``Euler``. All sides are open: ghost cells repeat the
    nearest cell, so outgoing waves leave. The corner, the four states and gamma are random.
    Dimensionless.

    Source: Lax & Liu (1998), SIAM J. Sci. Comput. 19, 319-340, for the kind of problem.
    """

    name = "euler_quadrants"
    solver_version = 1
    boundary = BoundaryCondition.OPEN
    dt = 0.02
    invariant_kinds: Mapping[str, str] = MappingProxyType({})

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Density and pressure within a factor of ten, flow of up to Mach 0.6 along each axis.

        Cells that the boundary of a quadrant cuts hold the mean by covered volume.
        """
        corners = (2,) * self.num_dims
        density = np.exp(rng.uniform(np.log(0.2), np.log(1.5), corners))
        pressure = np.exp(rng.uniform(np.log(0.15), np.log(1.5), corners))
        speed = np.sqrt(parameters["gamma"]) * 0.6
        velocity = rng.uniform(-speed, speed, (self.num_dims, *corners))
        values = torch.from_numpy(np.stack([density, pressure, *velocity]))
        for axis in grid.axes:
            edge = rng.uniform(0.35, 0.65) * axis.extent
            centres = torch.from_numpy(axis.coordinates())
            upper = ((centres - edge) / axis.spacing + 0.5).clamp(0, 1)
            weights = torch.stack((1 - upper, upper))
            values = torch.einsum("cl...,lx->c...x", values, weights)
        return values
