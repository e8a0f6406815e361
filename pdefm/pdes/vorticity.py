"""Incompressible flow in two dimensions by its vorticity: what all such families share."""

from collections.abc import Mapping

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.spectral import SpectralPDE, crossing_rate
from pdefm.pdes.wavenumbers import Wavenumbers


class VorticityPDE(SpectralPDE):
    """``w_t + u w_x + v w_y = viscosity (w_xx + w_yy) + force``.

    ``w = v_x - u_y``, ``u = psi_y``, ``v = -psi_x``, ``-Lap psi = w``; mean velocity and mean
    vorticity are zero. Viscosity is a parameter of this name.

    Source: the four-transform form of the nonlinear term is Basdevant (1983), J. Comput. Phys. 50,
    209-214.
    """

    fields = (Field("vorticity", "1/s"),)
    invariant_kinds: Mapping[str, str] = {
        "circulation": "conserved",
        "energy": "decays",
        "enstrophy": "decays",
    }
    courant_number = 0.8

    def force(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch 1 *space"] | None:
        """Curl of the force at the grid points in 1/s^2, float64; none unless a family has one."""
        return None

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-viscosity |k|^2``."""
        return as_column(parameters["viscosity"], 3) * wavenumbers.laplacian

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``(kx^2 - ky^2) F[u v] + kx ky F[v^2 - u^2] + force``, equal to ``-F[u w_x + v w_y]``."""
        to_velocity = velocity_multiplier(wavenumbers)
        from_products = vorticity_from_products(wavenumbers)
        force = self.force(wavenumbers, parameters)
        if force is None:
            force_hat = torch.zeros((), dtype=wavenumbers.complex_dtype, device=wavenumbers.device)
        else:
            force_hat = wavenumbers.to_spectral(force).to(wavenumbers.complex_dtype)

        def term(state_hat: Tensor) -> Tensor:
            u, v = wavenumbers.to_physical(state_hat * to_velocity).unbind(1)
            products = torch.stack((u * v, (v - u).mul_(v + u)), dim=1)
            scaled = wavenumbers.to_spectral(products).mul_(from_products)
            return (scaled[:, :1] + scaled[:, 1:]).add_(force_hat)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """``courant_number / max(|u|/dx + |v|/dy)``."""
        wavenumbers = Wavenumbers(grid, state.dtype, state.device)
        return self.courant_number / crossing_rate(velocity(wavenumbers, state[:, :1]), grid)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Means of ``w``, ``(u^2 + v^2) / 2`` and ``w^2 / 2``."""
        vorticity = state[:, :1]
        speed_squared = velocity(wavenumbers, vorticity).square().sum(1)
        return {
            "circulation": space_mean(vorticity[:, 0], 2),
            "energy": space_mean(speed_squared, 2) / 2,
            "enstrophy": space_mean(vorticity[:, 0].square(), 2) / 2,
        }


def velocity_multiplier(wavenumbers: Wavenumbers) -> Complex[Tensor, "dim *modes"]:
    """``(u, v) = (psi_y, -psi_x)`` of ``psi = -Lap^-1 w``, as factors of ``w``."""
    kx, ky = torch.broadcast_tensors(*wavenumbers.axes)
    psi = -wavenumbers.inverse_laplacian
    return torch.stack((1j * ky * psi, -1j * kx * psi)).to(wavenumbers.complex_dtype)


def vorticity_from_products(wavenumbers: Wavenumbers) -> Complex[Tensor, "product *modes"]:
    """Factors of ``F[u v]`` and ``F[v^2 - u^2]`` in the tendency of the vorticity."""
    kx, ky = wavenumbers.axes
    factors = torch.stack(torch.broadcast_tensors(kx.square() - ky.square(), kx * ky))
    return factors.to(wavenumbers.complex_dtype)


def velocity(
    wavenumbers: Wavenumbers, vorticity: Float[Tensor, "batch 1 *space"]
) -> Float[Tensor, "batch dim *space"]:
    """Velocity of zero mean, in the unit of the vorticity times that of length."""
    state_hat = wavenumbers.to_spectral(vorticity)
    return wavenumbers.to_physical(state_hat * velocity_multiplier(wavenumbers))
