"""A population that grows and spreads in fronts."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_pulses
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class FisherKPP(SpectralPDE):
    """Equation of Fisher and of Kolmogorov, Petrovsky and Piskunov, two-dimensional.

    ``u_t = diffusivity Lap u + growth u (1 - u)``: fronts run into empty land at
    ``2 sqrt(diffusivity growth)``. Periodic unit box, dimensionless.

    Source: Fisher (1937), Ann. Eugen. 7, 355-369; Kolmogorov, Petrovsky & Piskunov (1937), Bull.
    Univ. Moscow Math. 1, 1-25.
    """

    name = "fisher_kpp"
    solver_version = 1
    fields = (Field("density"),)
    parameter_ranges: Mapping[str, Range] = {"diffusivity": (5e-4, 2e-3), "growth": (1.0, 3.0)}
    log_uniform = frozenset({"diffusivity"})
    extent = (1.0, 1.0)
    dt = 0.15
    invariant_kinds: Mapping[str, str] = {"population": "grows"}
    steps_per_reaction_time = 2.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Three to nine settled patches in almost empty land."""
        num_pulses, width = int(rng.integers(3, 10)), rng.uniform(0.03, 0.06)
        patches = random_pulses(grid, rng, num_pulses=num_pulses, width=width)
        return rng.uniform(0.4, 0.8) * (patches / patches.max())[None]

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``growth - diffusivity |k|^2``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        spreading = as_column(parameters["diffusivity"], num_axes) * wavenumbers.laplacian
        return as_column(parameters["growth"], num_axes) + spreading

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-growth F[u^2]``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        growth = as_column(parameters["growth"], num_axes).to(wavenumbers.complex_dtype)

        def term(state_hat: Tensor) -> Tensor:
            return -growth * wavenumbers.to_spectral(wavenumbers.to_physical(state_hat).square())

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the reaction time ``1 / (2 growth max |u|)``, where ``u`` tends to 1."""
        largest = state.abs().flatten(1).amax(1).clamp(min=1)
        return 1 / (self.steps_per_reaction_time * 2 * parameters["growth"] * largest)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean density."""
        return {"population": space_mean(state[:, 0], wavenumbers.grid.num_dims)}
