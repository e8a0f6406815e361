"""A dye that a decaying two-dimensional flow stirs."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.vorticity import VorticityPDE, velocity_multiplier, vorticity_from_products
from pdefm.pdes.wavenumbers import Wavenumbers


class NavierStokesScalar(VorticityPDE):
    """Two-dimensional Navier-Stokes equations in vorticity form with a passive scalar.

    ``w_t + u w_x + v w_y = viscosity (w_xx + w_yy)``,
    ``s_t + u s_x + v s_y = diffusivity (s_xx + s_yy)``, with ``w = v_x - u_y``, ``u = psi_y``,
    ``v = -psi_x``, ``-Lap psi = w``. Periodic; mean velocity and mean vorticity are zero; vorticity
    in 1/s, viscosity and diffusivity in m^2/s, the concentration ``s`` is dimensionless.

    Source: Batchelor (1959), J. Fluid Mech. 5, 113-133, on scalars in turbulent flow.
    """

    name = "navier_stokes_scalar"
    solver_version = 1
    fields = (Field("vorticity", "1/s"), Field("concentration"))
    parameter_ranges: Mapping[str, Range] = {
        "viscosity": (2e-4, 2e-3),
        "diffusivity": (2e-4, 1e-3),
    }
    log_uniform = frozenset({"viscosity", "diffusivity"})
    extent = (1.0, 1.0)
    dt = 0.15
    invariant_kinds: Mapping[str, str] = {
        **VorticityPDE.invariant_kinds,
        "dye": "conserved",
        "dye_variance": "decays",
    }

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Eddies 1.5 to 4 across the box, 2 to 5 radians a second, and soft patches of dye."""
        peak_mode, amplitude = rng.uniform(1.5, 4.0), rng.uniform(2.0, 5.0)
        vorticity = amplitude * random_periodic_field(grid, rng, peak_mode=peak_mode)
        patches = random_periodic_field(grid, rng, peak_mode=rng.uniform(1.0, 2.0))
        return torch.stack((vorticity, torch.sigmoid(2 * patches)))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-viscosity |k|^2`` and ``-diffusivity |k|^2``."""
        rates = torch.stack((parameters["viscosity"], parameters["diffusivity"]), dim=1)
        return rates.to(torch.float64)[..., None, None] * wavenumbers.laplacian

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """As for the vorticity alone, and ``-i kx F[u s] - i ky F[v s]``."""
        to_velocity = velocity_multiplier(wavenumbers)
        factors = torch.cat((vorticity_from_products(wavenumbers), -wavenumbers.derivative))

        def term(state_hat: Tensor) -> Tensor:
            flow_hat = torch.cat((state_hat[:, :1] * to_velocity, state_hat[:, 1:]), dim=1)
            u, v, dye = wavenumbers.to_physical(flow_hat).unbind(1)
            products = torch.stack((u * v, (v - u) * (v + u), u * dye, v * dye), dim=1)
            scaled = wavenumbers.to_spectral(products) * factors
            return scaled[:, ::2] + scaled[:, 1::2]

        return term

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Those of the flow, and mean and variance of the concentration."""
        dye = state[:, 1]
        return super().state_invariants(wavenumbers, parameters, state) | {
            "dye": space_mean(dye, 2),
            "dye_variance": dye.flatten(1).var(1, correction=0),
        }
