"""Sound in a medium whose speed differs from place to place."""

from collections.abc import Mapping
from math import cos, pi, sin

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field, random_pulses
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class AcousticWave(SpectralPDE):
    """Two-dimensional acoustic wave equation with a variable speed of sound.

    ``h_t = v``, ``v_t = div(c^2 grad h)`` with the pressure ``h``, its rate ``v`` and the stored
    coefficient ``wave_speed = c(x, y) = mean_speed exp(contrast g)``, ``g`` a smooth random field:
    a medium of one stiffness and variable density. Periodic unit box, dimensionless. There is no
    stiff linear part, so the time stepper is the classical Runge-Kutta method; the truncation of
    modes is a Galerkin one and keeps the energy.

    Source: Landau & Lifshitz (1987), Fluid Mechanics, 2nd ed., section 76.
    """

    name = "acoustic_wave"
    solver_version = 1
    fields = (Field("pressure"), Field("pressure_rate"))
    parameter_ranges: Mapping[str, Range] = {"mean_speed": (0.6, 1.2), "contrast": (0.1, 0.4)}
    extent = (1.0, 1.0)
    dt = 0.02
    invariant_kinds: Mapping[str, str] = {"mean_rate": "conserved", "energy": "conserved"}
    courant_number = 0.4

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """``wave_speed``, of one to three lenses across the box."""
        field = random_periodic_field(grid, rng, peak_mode=rng.uniform(1.0, 3.0))
        return {"wave_speed": parameters["mean_speed"] * torch.exp(parameters["contrast"] * field)}

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Two to six pressure pulses on their way in one direction, of zero mean."""
        num_pulses, width = int(rng.integers(2, 7)), rng.uniform(0.06, 0.1)
        heading = rng.uniform(0, 2 * pi)
        pulses = random_pulses(grid, rng, num_pulses=num_pulses, width=width)[None, None]
        slope_x, slope_y = Wavenumbers(grid, pulses.dtype, pulses.device).gradient(pulses)[0]
        rate = parameters["mean_speed"] * (cos(heading) * slope_x + sin(heading) * slope_y)
        return torch.stack((pulses[0, 0] - pulses.mean(), -rate))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """Zero: with a variable speed no part of the equation is diagonal in the modes."""
        shape = (len(parameters["wave_speed"]), 2, *wavenumbers.shape)
        return torch.zeros(shape, dtype=torch.float64, device=wavenumbers.device)

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``F[v]`` and ``i k . F[c^2 grad h]``."""
        stiffness = parameters["wave_speed"].square().to(wavenumbers.dtype)[:, None]
        derivative = wavenumbers.derivative

        def term(state_hat: Tensor) -> Tensor:
            slopes = wavenumbers.to_physical(state_hat[:, :1] * derivative)
            flux_hat = wavenumbers.to_spectral(stiffness * slopes) * derivative
            return torch.cat((state_hat[:, 1:], flux_hat.sum(1, keepdim=True)), dim=1)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """``courant_number / max(c / dx + c / dy)``."""
        fastest = parameters["wave_speed"].flatten(1).amax(1)
        limit = self.courant_number / (fastest * sum(1 / axis.spacing for axis in grid.axes))
        return limit.where(state.flatten(1).isfinite().all(1), float("nan"))

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Means of ``v`` and of ``(v^2 + c^2 |grad h|^2) / 2``."""
        num_dims = wavenumbers.grid.num_dims
        slopes = wavenumbers.gradient(state[:, :1]).square().sum(1)
        stiffness = parameters["wave_speed"].square().to(state)
        density = (state[:, 1].square() + stiffness * slopes) / 2
        return {
            "mean_rate": space_mean(state[:, 1], num_dims),
            "energy": space_mean(density, num_dims),
        }
