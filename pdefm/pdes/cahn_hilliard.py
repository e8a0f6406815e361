"""Two phases that separate while the amount of each is kept."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.phase_field import free_energy
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class CahnHilliard(SpectralPDE):
    """Cahn-Hilliard equation, two-dimensional.

    ``u_t = mobility Lap(u^3 - u - interface_energy Lap u)``; the phases are ``u = -1`` and
    ``u = 1``, and an interface is about ``sqrt(8 interface_energy)`` wide. Periodic unit box,
    dimensionless.

    Source: Cahn & Hilliard (1958), J. Chem. Phys. 28, 258-267.
    """

    name = "cahn_hilliard"
    solver_version = 1
    fields = (Field("phase"),)
    parameter_ranges: Mapping[str, Range] = {
        "mobility": (5e-3, 2e-2),
        "interface_energy": (1e-3, 3e-3),
    }
    log_uniform = frozenset({"mobility", "interface_energy"})
    extent = (1.0, 1.0)
    dt = 0.2
    invariant_kinds: Mapping[str, str] = {"mass": "conserved", "free_energy": "decays"}
    steps_per_reaction_time = 1.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """A weak mixture of both phases, finer than what it becomes, with an excess of one."""
        peak_mode, amplitude = rng.uniform(3.0, 6.0), rng.uniform(0.3, 0.6)
        excess = rng.uniform(-0.3, 0.3)
        return excess + amplitude * random_periodic_field(grid, rng, peak_mode=peak_mode)[None]

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``mobility |k|^2 (1 - interface_energy |k|^2)``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        mobility = as_column(parameters["mobility"], num_axes)
        interface_energy = as_column(parameters["interface_energy"], num_axes)
        laplacian = wavenumbers.laplacian
        return -mobility * laplacian * (1 + interface_energy * laplacian)

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-mobility |k|^2 F[u^3]``."""
        mobility = as_column(parameters["mobility"], 1 + wavenumbers.grid.num_dims)
        factor = (mobility * wavenumbers.laplacian).to(wavenumbers.complex_dtype)

        def term(state_hat: Tensor) -> Tensor:
            u = wavenumbers.to_physical(state_hat)
            return wavenumbers.to_spectral(u * u * u) * factor

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of ``interface_energy / (mobility max(3 u^2)^2)``.

        Beyond ``|k|^2 = max(3 u^2) / interface_energy`` the linear term outweighs the explicit one,
        whose rate is ``mobility |k|^2 max(3 u^2)``; ``u`` tends to at least 1.
        """
        slope = (3 * state.square()).flatten(1).amax(1).clamp(min=3)
        rate = parameters["mobility"] / parameters["interface_energy"] * slope.square()
        return 1 / (self.steps_per_reaction_time * rate)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Means of ``u`` and of ``interface_energy |grad u|^2 / 2 + (1 - u^2)^2 / 4``."""
        return {
            "mass": space_mean(state[:, 0], wavenumbers.grid.num_dims),
            "free_energy": free_energy(wavenumbers, parameters["interface_energy"], state),
        }
