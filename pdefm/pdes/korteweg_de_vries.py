"""Waves in a shallow canal that break up into solitons."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column, space_mean
from pdefm.pdes.etdrk import NonlinearTerm
from pdefm.pdes.initial_states import waves_of_one_size
from pdefm.pdes.spectral import SpectralPDE
from pdefm.pdes.wavenumbers import Wavenumbers


class KortewegDeVries(SpectralPDE):
    """One-dimensional Korteweg-de Vries equation.

    ``u_t + 6 u u_x + dispersion u_xxx = 0``. Periodic box, dimensionless. A soliton
    ``2 d k^2 sech^2(k (x - 4 d k^2 t))`` with ``d = dispersion`` keeps its shape.

    Source: Korteweg & de Vries (1895), Phil. Mag. 39, 422-443; Zabusky & Kruskal (1965), Phys. Rev.
    Lett. 15, 240-243.
    """

    name = "korteweg_de_vries"
    solver_version = 1
    fields = (Field("height"),)
    parameter_ranges: Mapping[str, Range] = {"dispersion": (1.0, 2.0)}
    extent = (32.0,)
    dt = 0.3
    invariant_kinds: Mapping[str, str] = {
        "mass": "conserved",
        "momentum": "conserved",
        "energy": "conserved",
    }
    steps_per_crossing = 4.0

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Long waves, one to three in the box, that are too high to stay as they are."""
        return waves_of_one_size(grid, rng, peak_mode=(1.0, 2.5), amplitude=(0.25, 0.55))

    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Complex[Tensor, "batch channel *modes"]:
        """``-dispersion (i k)^3``."""
        (k,) = wavenumbers.axes
        rate = as_column(parameters["dispersion"], 2) * k**3
        return torch.complex(torch.zeros_like(rate), rate)

    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """``-3 i k F[u^2]``."""
        factor = -3 * wavenumbers.derivative

        def term(state_hat: Tensor) -> Tensor:
            return wavenumbers.to_spectral(wavenumbers.to_physical(state_hat).square()) * factor

        return term

    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """A part of the time in which the highest crest, ``6 max |u|`` fast, crosses a cell."""
        rate = 6 * state.abs().flatten(1).amax(1) / grid.axes[0].spacing
        return 1 / (self.steps_per_crossing * rate)

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Means of ``u``, ``u^2 / 2`` and ``dispersion u_x^2 / 2 - u^3``."""
        u, slope = state[:, 0], wavenumbers.gradient(state)[:, 0]
        dispersion = as_column(parameters["dispersion"], 1).to(u)
        return {
            "mass": space_mean(u, 1),
            "momentum": space_mean(u.square(), 1) / 2,
            "energy": space_mean(dispersion * slope.square() / 2 - u**3, 1),
        }
