"""Forced incompressible flow in two dimensions, as the vorticity sees it."""

from collections.abc import Mapping
from math import pi

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Range, as_column
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.spectral import Parameters, SpectralPDE, crossing_rate
from pdefm.pdes.wavenumbers import Wavenumbers


class NavierStokes(SpectralPDE):
    """Two-dimensional incompressible Navier-Stokes equations in vorticity form.

    ``w_t + u w_x + v w_y = viscosity (w_xx + w_yy) + a (sin(2 pi (x+y)) + cos(2 pi (x+y)))`` with
    ``w = v_x - u_y``, ``u = psi_y``, ``v = -psi_x``, ``-Lap psi = w`` and ``a = force_amplitude``.
    Mean velocity and mean vorticity are zero.

    Source: equation, force and viscosities as in Li et al. (2021), arXiv 2010.08895, section 5.3;
    the four-transform form of the nonlinear term is Basdevant (1983), J. Comput. Phys. 50, 209-214.
    """

    name = "navier_stokes"
    solver_version = 1
    fields = (Field("vorticity", "1/s"),)
    parameter_ranges: Mapping[str, Range] = {
        "viscosity": (1e-4, 1e-2),
        "force_amplitude": (0.1, 0.1),
    }
    log_uniform = frozenset({"viscosity"})
    extent = (1.0, 1.0)
    dt = 0.2
    courant_number = 0.8

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Eddies of one dominant size: 1.5 to 4 across the box, 1 to 3 radians a second."""
        peak_mode, amplitude = rng.uniform(1.5, 4.0), rng.uniform(1.0, 3.0)
        return amplitude * random_periodic_field(grid, rng, peak_mode=peak_mode)[None]

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-viscosity |k|^2``."""
        return as_column(parameters["viscosity"], 3) * wavenumbers.laplacian

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``(kx^2 - ky^2) F[u v] + kx ky F[v^2 - u^2] + force``, equal to ``-F[u w_x + v w_y]``."""
        kx, ky = wavenumbers.axes
        to_velocity = _velocity_multiplier(wavenumbers)
        from_products = torch.stack(torch.broadcast_tensors(kx.square() - ky.square(), kx * ky))
        from_products = from_products.to(wavenumbers.complex_dtype)
        x, y = wavenumbers.coordinates()
        phase = 2 * pi * (x / self.extent[0] + y / self.extent[1])
        force = as_column(parameters["force_amplitude"], 3) * (phase.sin() + phase.cos())
        force_hat = wavenumbers.to_spectral(force).to(wavenumbers.complex_dtype)

        def term(state_hat: Tensor) -> Tensor:
            u, v = wavenumbers.to_physical(state_hat * to_velocity).unbind(1)
            products = torch.stack((u * v, (v - u) * (v + u)), dim=1)
            scaled = wavenumbers.to_spectral(products) * from_products
            return scaled[:, :1] + scaled[:, 1:] + force_hat

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """``courant_number / max(|u|/dx + |v|/dy)``."""
        wavenumbers = Wavenumbers(grid, state.dtype, state.device)
        state_hat = wavenumbers.to_spectral(state)
        velocity = wavenumbers.to_physical(state_hat * _velocity_multiplier(wavenumbers))
        return self.courant_number / crossing_rate(velocity, grid)


def _velocity_multiplier(wavenumbers: Wavenumbers) -> Complex[Tensor, "dim *modes"]:
    """``(u, v) = (psi_y, -psi_x)`` of ``psi = -Lap^-1 w``, as factors of ``w``."""
    kx, ky = torch.broadcast_tensors(*wavenumbers.axes)
    psi = -wavenumbers.inverse_laplacian
    return torch.stack((1j * ky * psi, -1j * kx * psi)).to(wavenumbers.complex_dtype)
