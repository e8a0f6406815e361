"""A flame front that wrinkles without end."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.spectral import SpectralPDE, crossing_rate
from pdefm.pdes.wavenumbers import Wavenumbers


class KuramotoSivashinsky(SpectralPDE):
    """Kuramoto-Sivashinsky equation for the height of a front, two-dimensional.

    ``u_t = -Lap u - hyperdiffusivity Lap Lap u - (|grad u|^2 - mean |grad u|^2) / 2``: the mean
    of ``u`` is kept at zero. Periodic box, dimensionless.

    Source: Sivashinsky (1977), Acta Astronaut. 4, 1177-1206; Kuramoto (1978), Prog. Theor. Phys.
    Suppl. 64, 346-367.
    """

    name = "kuramoto_sivashinsky"
    solver_version = 1
    fields = (Field("height"),)
    parameter_ranges: Mapping[str, Range] = {"hyperdiffusivity": (0.7, 1.3)}
    extent = (32.0, 32.0)
    dt = 0.6
    invariant_kinds: Mapping[str, str] = {"mean_height": "conserved", "roughness": "bounded"}
    courant_number = 0.8

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Wrinkles of one dominant size, 3 to 5 across the box, about as high as they will be."""
        return waves_of_one_size(grid, rng, peak_mode=(3.0, 5.0), amplitude=(1.5, 3.0))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``|k|^2 - hyperdiffusivity |k|^4``."""
        hyperdiffusivity = as_column(parameters["hyperdiffusivity"], 1 + wavenumbers.grid.num_dims)
        return -wavenumbers.laplacian - hyperdiffusivity * wavenumbers.laplacian.square()

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-F[|grad u|^2] / 2`` without its mean."""
        weight = (-0.5 * (wavenumbers.laplacian != 0)).to(wavenumbers.complex_dtype)

        def term(state_hat: Tensor) -> Tensor:
            slopes = wavenumbers.to_physical(state_hat * wavenumbers.derivative)
            return wavenumbers.to_spectral(slopes.square().sum(1, keepdim=True)) * weight

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """``courant_number / max(|u_x|/dx + |u_y|/dy)``: slopes travel with their own height."""
        slopes = Wavenumbers(grid, state.dtype, state.device).gradient(state)
        return self.courant_number / crossing_rate(slopes, grid)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean of ``u`` and of ``u^2``."""
        num_dims = wavenumbers.grid.num_dims
        return {
            "mean_height": space_mean(state[:, 0], num_dims),
            "roughness": space_mean(state[:, 0].square(), num_dims),
        }
