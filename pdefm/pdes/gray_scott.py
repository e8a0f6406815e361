"""Two reacting and diffusing substances that form spots, worms and waves."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class GrayScott(SpectralPDE):
    """Two-dimensional Gray-Scott reaction and diffusion.

    ``u_t = diffusivity_u Lap u - u v^2 + feed (1 - u)``,
    ``v_t = diffusivity_v Lap v + u v^2 - (feed + kill) v``.

    Source: Pearson (1993), Science 261, 189-192, whose patterns need ``feed`` and ``kill`` near
    the ranges here.
    """

    name = "gray_scott"
    solver_version = 1
    fields = (Field("concentration_u"), Field("concentration_v"))
    parameter_ranges: Mapping[str, Range] = {
        "diffusivity_u": (1e-4, 1.6e-4),
        "diffusivity_v": (5e-5, 7e-5),
        "feed": (0.03, 0.044),
        "kill": (0.056, 0.06),
    }
    extent = (1.0, 1.0)
    dt = 10.0
    invariant_kinds: Mapping[str, str] = {"total_concentration": "bounded"}
    steps_per_reaction_time = 2.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """The resting state ``(1, 0)`` with smooth patches that are seeded with ``v``."""
        peak_mode, threshold = rng.uniform(2.0, 4.0), rng.uniform(0.2, 1.0)
        strength = rng.uniform(0.8, 1.2)
        field = random_periodic_field(grid, rng, peak_mode=peak_mode)
        patches = strength * torch.sigmoid(4 * (field - threshold))
        return torch.stack((1 - 0.5 * patches, 0.3 * patches))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``-diffusivity_u |k|^2 - feed`` and ``-diffusivity_v |k|^2 - feed - kill``."""
        feed, kill = parameters["feed"], parameters["kill"]
        diffusivity = torch.stack((parameters["diffusivity_u"], parameters["diffusivity_v"]), dim=1)
        decay = torch.stack((feed, feed + kill), dim=1)
        shape = (*decay.shape, *(1,) * wavenumbers.grid.num_dims)
        return diffusivity.reshape(shape) * wavenumbers.laplacian - decay.reshape(shape)

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-F[u v^2] + F[feed]`` and ``F[u v^2]``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        feed = as_column(parameters["feed"], num_axes).to(wavenumbers.dtype)

        def term(state_hat: Tensor) -> Tensor:
            u, v = wavenumbers.to_physical(state_hat).split(1, dim=1)
            reaction = u * v * v
            return wavenumbers.to_spectral(torch.cat((feed - reaction, reaction), dim=1))

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the reaction time ``1 / max(v^2 + 2 |u v|)``, from a row of the Jacobian."""
        u, v = state.unbind(1)
        rate = (v.square() + 2 * (u * v).abs()).flatten(1).amax(1)
        return 1 / (self.steps_per_reaction_time * rate.clamp(min=0.2))

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean of ``u + v``, which only feed and kill change and which stays between 0 and 1."""
        return {"total_concentration": space_mean(state.sum(1), wavenumbers.grid.num_dims)}
