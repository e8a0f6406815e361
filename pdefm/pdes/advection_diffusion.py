"""A substance that a steady wind carries and that spreads on its way."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class AdvectionDiffusion(SpectralPDE):
    """Linear transport by a uniform velocity, with diffusion; solved exactly.

    ``u_t + velocity_x u_x + velocity_y u_y = diffusivity (u_xx + u_yy)``. Periodic unit box,
    dimensionless.

    Source: Crank (1975), The Mathematics of Diffusion, Oxford, on the fundamental solutions.
    """

    name = "advection_diffusion"
    solver_version = 1
    fields = (Field("concentration"),)
    parameter_ranges: Mapping[str, Range] = {
        "velocity_x": (-1.0, 1.0),
        "velocity_y": (-1.0, 1.0),
        "diffusivity": (5e-4, 5e-3),
    }
    log_uniform = frozenset({"diffusivity"})
    extent = (1.0, 1.0)
    dt = 0.05
    invariant_kinds: Mapping[str, str] = {"mass": "conserved", "variance": "decays"}

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Soft patches of concentration 0 to 1, of one to three across the box."""
        field = random_periodic_field(grid, rng, peak_mode=rng.uniform(1.0, 2.5))
        return torch.sigmoid(rng.uniform(1.0, 2.5) * field)[None]

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Complex[Tensor, "batch channel *modes"]:
        """``-diffusivity |k|^2 - i velocity . k``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        rate = as_column(parameters["diffusivity"], num_axes) * wavenumbers.laplacian
        crossing = torch.zeros_like(rate)
        for axis, k in zip(wavenumbers.grid.axes, wavenumbers.axes, strict=True):
            crossing = crossing + as_column(parameters[f"velocity_{axis.name}"], num_axes) * k
        return torch.complex(rate, -crossing)

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """Zero: the equation is linear."""
        return torch.zeros_like

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """No limit: any step is exact."""
        return torch.full((len(state),), float("inf"), dtype=state.dtype, device=state.device)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean and variance of the concentration."""
        return {
            "mass": space_mean(state[:, 0], wavenumbers.grid.num_dims),
            "variance": state.flatten(1).var(1, correction=0),
        }
