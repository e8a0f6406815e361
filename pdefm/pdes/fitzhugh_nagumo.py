"""An activator and an inhibitor in a closed box: the reaction and diffusion of nerves and skins."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.cosine_modes import CosineModes
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_walled_field
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class FitzHughNagumo(SpectralPDE):
    """Two-dimensional FitzHugh-Nagumo reaction and diffusion, no flux through the walls.

    ``u_t = diffusivity_u Lap u + u - u^3 - offset - v``, ``v_t = diffusivity_v Lap v + u - v`` with
    activator ``u`` and inhibitor ``v``. Dimensionless, on a square of side 2. PDEBench's
    diffusion-reaction data has ``diffusivity_u = 1e-3``, ``diffusivity_v = 5e-3`` and
    ``offset = 5e-3``, which lie within the ranges here, but starts from white noise; this starts
    from smooth noise, the same function at any resolution.

    Source: Klaasen & Troy (1984), SIAM J. Appl. Math. 44, 96-110; Takamoto et al. (2022), PDEBench,
    arXiv:2210.07182, section D.5.
    """

    name = "fitzhugh_nagumo"
    solver_version = 1
    fields = (Field("activator"), Field("inhibitor"))
    parameter_ranges: Mapping[str, Range] = {
        "diffusivity_u": (5e-4, 2e-3),
        "diffusivity_v": (2.5e-3, 1e-2),
        "offset": (0.0, 0.05),
    }
    log_uniform = frozenset({"diffusivity_u", "diffusivity_v"})
    extent = (2.0, 2.0)
    boundary = BoundaryCondition.WALL
    dt = 0.25
    invariant_kinds: Mapping[str, str] = {"mean_square": "bounded"}
    steps_per_reaction_time = 2.0

    def modes(self, grid: Grid, dtype: torch.dtype, device: torch.device) -> Wavenumbers:
        """Cosines, whose slope at the walls is zero."""
        return CosineModes(grid, dtype, device)

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Smooth noise of one dominant size, 3 to 8 half waves across, in both substances."""
        peak_mode, amplitude = rng.uniform(3.0, 8.0), rng.uniform(0.3, 0.8)
        noise = [random_walled_field(grid, rng, peak_mode=peak_mode) for _ in range(2)]
        return amplitude * torch.stack(noise)

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-diffusivity_u |k|^2`` and ``-diffusivity_v |k|^2 - 1``."""
        diffusivity = torch.stack((parameters["diffusivity_u"], parameters["diffusivity_v"]), dim=1)
        decay = torch.tensor([0.0, 1.0], dtype=torch.float64, device=diffusivity.device)
        return diffusivity[..., None, None] * wavenumbers.laplacian - decay[:, None, None]

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``F[u - u^3 - offset] - F[v]`` and ``F[u]``."""
        offset = as_column(parameters["offset"], 3).to(wavenumbers.dtype)
        offset_hat = wavenumbers.to_spectral(offset.expand(-1, -1, *wavenumbers.grid.shape))

        def term(state_hat: Tensor) -> Tensor:
            u_hat, v_hat = state_hat.split(1, dim=1)
            u = wavenumbers.to_physical(u_hat)
            cubic_hat = wavenumbers.to_spectral(u * u * u)
            return torch.cat((u_hat - v_hat - offset_hat - cubic_hat, u_hat), dim=1)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the reaction time ``1 / (2 + 3 max u^2)``, from a row of the Jacobian."""
        largest = state[:, 0].square().flatten(1).amax(1)
        return 1 / (self.steps_per_reaction_time * (2 + 3 * largest))

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean of ``u^2 + v^2``, which the cubic term keeps near 1 at most."""
        return {"mean_square": state.square().sum(1).flatten(1).mean(1)}
