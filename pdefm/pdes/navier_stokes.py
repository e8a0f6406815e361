"""Forced incompressible flow in two dimensions, as the vorticity sees it."""

from collections.abc import Mapping
from math import pi

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.vorticity import VorticityPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class NavierStokes(VorticityPDE):
    """Two-dimensional incompressible Navier-Stokes equations in vorticity form.

    ``w_t + u w_x + v w_y = viscosity (w_xx + w_yy) + a (sin(2 pi (x+y)) + cos(2 pi (x+y)))`` with
    ``w = v_x - u_y``, ``u = psi_y``, ``v = -psi_x``, ``-Lap psi = w`` and ``a = force_amplitude``.
    Mean velocity and mean vorticity are zero.

    Source: equation, force and viscosities as in Li et al. (2021), arXiv 2010.08895, section 5.3.
    """

    name = "navier_stokes"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {
        "viscosity": (1e-4, 1e-2),
        "force_amplitude": (0.1, 0.1),
    }
    log_uniform = frozenset({"viscosity"})
    extent = (1.0, 1.0)
    dt = 0.2
    invariant_kinds: Mapping[str, str] = {
        "circulation": "conserved",
        "energy": "bounded",
        "enstrophy": "bounded",
    }

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Eddies of one dominant size: 1.5 to 4 across the box, 1 to 3 radians a second."""
        return waves_of_one_size(grid, rng, peak_mode=(1.5, 4.0), amplitude=(1.0, 3.0))

    def force(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch 1 *space"]:
        """``a (sin(2 pi (x+y)) + cos(2 pi (x+y)))``."""
        x, y = wavenumbers.coordinates()
        phase = 2 * pi * (x / self.extent[0] + y / self.extent[1])
        return as_column(parameters["force_amplitude"], 3) * (phase.sin() + phase.cos())
