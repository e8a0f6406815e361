"""Two phases that separate and then coarsen."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.phase_field import free_energy
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class AllenCahn(SpectralPDE):
    """Two-dimensional Allen-Cahn equation.

    ``u_t = interface_energy (u_xx + u_yy) + u - u^3``; the phases are ``u = -1`` and ``u = 1``, and
    an interface is about ``sqrt(8 interface_energy)`` wide.

    Source: Allen & Cahn (1979), Acta Metall. 27, 1085-1095.
    """

    name = "allen_cahn"
    solver_version = 1
    fields = (Field("phase"),)
    parameter_ranges: Mapping[str, Range] = {"interface_energy": (1e-3, 8e-3)}
    log_uniform = frozenset({"interface_energy"})
    extent = (1.0, 1.0)
    dt = 0.2
    invariant_kinds: Mapping[str, str] = {"free_energy": "decays"}
    steps_per_reaction_time = 2.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """A weak to strong mixture of both phases with a random excess of one of them."""
        peak_mode, amplitude = rng.uniform(1.5, 3.5), rng.uniform(0.4, 1.0)
        excess = rng.uniform(-0.15, 0.15)
        return amplitude * (excess + random_periodic_field(grid, rng, peak_mode=peak_mode))[None]

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``1 - interface_energy |k|^2``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        return 1 + as_column(parameters["interface_energy"], num_axes) * wavenumbers.laplacian

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-F[u^3]``."""

        def term(state_hat: Tensor) -> Tensor:
            u = wavenumbers.to_physical(state_hat)
            return wavenumbers.to_spectral(-(u * u) * u)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the reaction time ``1 / max(3 u^2)``, where ``u`` tends to at least 1."""
        rate = (3 * state.square()).flatten(1).amax(1).clamp(min=3)
        return 1 / (self.steps_per_reaction_time * rate)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean of ``interface_energy |grad u|^2 / 2 + (1 - u^2)^2 / 4``."""
        return {"free_energy": free_energy(wavenumbers, parameters["interface_energy"], state)}
