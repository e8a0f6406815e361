"""Waves that steepen into viscous shocks."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.spectral import SpectralPDE, crossing_rate
from pdefm.pdes.wavenumbers import Wavenumbers


class Burgers(SpectralPDE):
    """Two-dimensional viscous Burgers equations in advective form.

    ``u_t + u u_x + v u_y = viscosity (u_xx + u_yy)``,
    ``v_t + u v_x + v v_y = viscosity (v_xx + v_yy)``.

    Limits: a shock is a few ``viscosity / |u|`` wide. The default range suits 64 points an axis (a
    percent of difference to 128 points at its lower end); a smaller viscosity needs more points.

    Source: Burgers (1948), Adv. Appl. Mech. 1, 171-199.
    """

    name = "burgers"
    solver_version = 1
    fields = (Field("velocity", tensor_order=1),)
    parameter_ranges: Mapping[str, Range] = {"viscosity": (5e-3, 2e-2)}
    log_uniform = frozenset({"viscosity"})
    extent = (1.0, 1.0)
    dt = 0.05
    invariant_kinds: Mapping[str, str] = {"largest_velocity": "bounded"}
    courant_number = 0.5

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Smooth waves of 0.2 to 0.6 m/s on a mean wind of up to 0.3 m/s along each axis."""
        peak_mode, amplitude = rng.uniform(1.0, 2.5), rng.uniform(0.2, 0.6)
        wind = rng.uniform(-0.3, 0.3, size=len(self.extent))
        return torch.stack(
            [
                mean + amplitude * random_periodic_field(grid, rng, peak_mode=peak_mode)
                for mean in wind
            ]
        )

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-viscosity |k|^2``, the same for both components."""
        return as_column(parameters["viscosity"], 1 + wavenumbers.grid.num_dims) * (
            wavenumbers.laplacian
        )

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-F[u u_x + v u_y]`` and the same for ``v``."""
        num_dims = wavenumbers.grid.num_dims
        # A value and its derivatives in one transform: [1 + dim, *modes].
        one = torch.ones_like(wavenumbers.derivative[:1])
        multiplier = torch.cat((one, wavenumbers.derivative))

        def term(state_hat: Tensor) -> Tensor:
            spread = (state_hat[:, :, None] * multiplier).flatten(1, 2)
            values = wavenumbers.to_physical(spread).unflatten(1, (num_dims, 1 + num_dims))
            advection = -values[:, :1, 0] * values[:, :, 1]
            for i in range(1, num_dims):
                advection = torch.addcmul(
                    advection, values[:, i : i + 1, 0], values[:, :, 1 + i], value=-1
                )
            return wavenumbers.to_spectral(advection)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """``courant_number / max(|u|/dx + |v|/dy)``."""
        return self.courant_number / crossing_rate(state, grid)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Largest component of the velocity, which by the maximum principle does not grow."""
        return {"largest_velocity": state.abs().flatten(1).amax(1)}
