"""Rolls, hexagons and labyrinths of a heated layer."""

from collections.abc import Mapping
from math import pi

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class SwiftHohenberg(SpectralPDE):
    """Swift-Hohenberg equation, two-dimensional.

    ``u_t = drive u - (1 + Lap)^2 u + asymmetry u^2 - u^3``: patterns of wavelength ``2 pi``, rolls
    without and hexagons with asymmetry. Periodic box of six wavelengths, dimensionless.

    Source: Swift & Hohenberg (1977), Phys. Rev. A 15, 319-328.
    """

    name = "swift_hohenberg"
    solver_version = 1
    fields = (Field("amplitude"),)
    parameter_ranges: Mapping[str, Range] = {"drive": (0.3, 0.9), "asymmetry": (0.0, 1.2)}
    extent = (12 * pi, 12 * pi)
    dt = 1.0
    invariant_kinds: Mapping[str, str] = {"free_energy": "decays"}
    steps_per_reaction_time = 2.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Weak disorder of one dominant size, 2 to 6 across the box."""
        return waves_of_one_size(grid, rng, peak_mode=(2.0, 6.0), amplitude=(0.1, 0.4))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"]:
        """``drive - (1 - |k|^2)^2``."""
        drive = as_column(parameters["drive"], 1 + wavenumbers.grid.num_dims)
        return drive - (1 + wavenumbers.laplacian).square()

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``F[asymmetry u^2 - u^3]``."""
        num_axes = 1 + wavenumbers.grid.num_dims
        asymmetry = as_column(parameters["asymmetry"], num_axes).to(wavenumbers.dtype)

        def term(state_hat: Tensor) -> Tensor:
            u = wavenumbers.to_physical(state_hat)
            return wavenumbers.to_spectral((asymmetry - u) * u * u)

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the reaction time ``1 / max(3 u^2 + 2 asymmetry |u|)``, with ``u`` near 1."""
        largest = state.abs().flatten(1).amax(1).clamp(min=1)
        rate = 3 * largest.square() + 2 * parameters["asymmetry"] * largest
        return 1 / (self.steps_per_reaction_time * rate)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Mean of ``((u + Lap u)^2 - drive u^2) / 2 - asymmetry u^3 / 3 + u^4 / 4``."""
        num_dims = wavenumbers.grid.num_dims
        bent = wavenumbers.to_physical(
            wavenumbers.to_spectral(state)
            * (1 + wavenumbers.laplacian).to(wavenumbers.complex_dtype)
        )[:, 0]
        u = state[:, 0]
        drive = as_column(parameters["drive"], num_dims).to(u)
        asymmetry = as_column(parameters["asymmetry"], num_dims).to(u)
        density = (bent.square() - drive * u.square()) / 2 - asymmetry * u**3 / 3 + u**4 / 4
        return {"free_energy": space_mean(density, num_dims)}
