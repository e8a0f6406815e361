"""Incompressible flow in two dimensions that is left to itself."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.base import Range
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.vorticity import VorticityPDE


class NavierStokesDecaying(VorticityPDE):
    """Two-dimensional incompressible Navier-Stokes equations in vorticity form, without a force.

    ``w_t + u w_x + v w_y = viscosity (w_xx + w_yy)`` with ``w = v_x - u_y``, ``u = psi_y``,
    ``v = -psi_x``, ``-Lap psi = w``. Vortices of equal sign merge until two remain. Periodic; mean
    velocity and mean vorticity are zero; vorticity in 1/s, viscosity in m^2/s.

    Source: McWilliams (1984), J. Fluid Mech. 146, 21-43, on isolated vortices in decaying flow.
    """

    name = "navier_stokes_decaying"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {"viscosity": (1e-4, 1e-3)}
    log_uniform = frozenset({"viscosity"})
    extent = (1.0, 1.0)
    dt = 0.2

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Eddies of one dominant size: 2.5 to 5 across the box, 3 to 5 radians a second."""
        return waves_of_one_size(grid, rng, peak_mode=(2.5, 5.0), amplitude=(3.0, 5.0))
