"""Turbulence over a row of forced jets."""

from collections.abc import Mapping
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.vorticity import VorticityPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class KolmogorovFlow(VorticityPDE):
    """Two-dimensional Navier-Stokes equations with Kolmogorov's sinusoidal force and drag.

    ``w_t + u w_x + v w_y = viscosity (w_xx + w_yy) - drag w - 4 a cos(4 y)``, the curl of the force
    ``(a sin(4 y), 0)`` with ``a = force_amplitude``, and ``w = v_x - u_y``, ``u = psi_y``,
    ``v = -psi_x``, ``-Lap psi = w``. Periodic box of ``2 pi`` metres; mean velocity is zero;
    vorticity in 1/s, viscosity in m^2/s, drag in 1/s, force in m/s^2.

    Source: Meshalkin & Sinai (1961), J. Appl. Math. Mech. 25, 1700-1705; force, drag and box as in
    Kochkov et al. (2021), Proc. Natl. Acad. Sci. 118, e2101784118.
    """

    name = "kolmogorov_flow"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {
        "viscosity": (5e-3, 2.5e-2),
        "drag": (0.05, 0.15),
        "force_amplitude": (0.7, 1.3),
    }
    log_uniform = frozenset({"viscosity"})
    extent = (2 * pi, 2 * pi)
    dt = 0.25
    invariant_kinds: Mapping[str, str] = {
        "circulation": "conserved",
        "energy": "bounded",
        "enstrophy": "bounded",
    }
    force_mode = 4

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Eddies of one dominant size: 2 to 5 across the box, 2 to 4 radians a second."""
        return waves_of_one_size(grid, rng, peak_mode=(2.0, 5.0), amplitude=(2.0, 4.0))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-viscosity |k|^2 - drag``."""
        return super().linear_operator(wavenumbers, parameters) - as_column(parameters["drag"], 3)

    def force(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch 1 *space"]:
        """``-4 a cos(4 y)``."""
        _, y = wavenumbers.coordinates()
        amplitude = as_column(parameters["force_amplitude"], 3)
        return -self.force_mode * amplitude * torch.cos(self.force_mode * y)
