"""The forced flow that Fourier neural operators were first measured on."""

from collections.abc import Mapping, Sequence
from math import ceil, pi, sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.base import Integration, Parameters, Range
from pdefm.pdes.initial_states import sum_of_modes
from pdefm.pdes.navier_stokes import NavierStokes

MAX_MODE = 21  # the largest that 64 points hold under the 2/3 rule


class NavierStokesRandom(NavierStokes):
    """Two-dimensional incompressible Navier-Stokes equations from a Gaussian random field.

    Equation and force of :class:`NavierStokes`; the initial vorticity is rough,
    ``w = Re sum_k a(k) z_k exp(2 pi i k.x)`` with ``a(k) = sqrt(2) 7^(3/2) (4 pi^2 |k|^2 +
    49)^(-5/4)`` and ``z_k`` complex with normal parts of unit variance, without the mean. Frames
    are one time unit apart; the published sets have viscosities 1e-3, 1e-4 and 1e-5.

    With ``solver_points`` it is solved on a multiple of the grid's points that is not smaller, and
    kept at the grid's, as the published sets were: a grid too coarse for the viscosity then does
    not spoil the solution. The residual on the kept points means little in that case.

    Source: Li et al. (2021), arXiv 2010.08895, section 5.3 and appendix A.3.3. The amplitude is
    that of their published generator, where ``7^(3/2)`` is the deviation; in the paper's formula
    it is the variance. Modes above 21, a ten-thousandth of the variance, are left out.

    Args:
        solver_points: Points along an axis that are enough, about ``0.4 / sqrt(viscosity)``: 128
            for 1e-5. By default the grid's own.
    """

    name = "navier_stokes_random"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {
        "viscosity": (1e-5, 1e-3),
        "force_amplitude": (0.1, 0.1),
    }
    dt = 1.0
    max_substeps = 4096

    def __init__(
        self,
        *,
        dt: float | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
        num_substeps: int | None = None,
        method: str = "etdrk4",
        solver_points: int | None = None,
    ) -> None:
        super().__init__(
            dt=dt, parameter_ranges=parameter_ranges, num_substeps=num_substeps, method=method
        )
        self.solver_points = solver_points

    def scheme(self) -> dict[str, Any]:
        """See ``SteppedPDE.scheme``."""
        return super().scheme() | {"solver_points": self.solver_points}

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """The random field; see the class."""
        modes = np.arange(-MAX_MODE, MAX_MODE + 1)
        squares = modes[:, None] ** 2 + modes[None] ** 2
        amplitude = sqrt(2) * 7**1.5 * (4 * pi**2 * squares + 49.0) ** -1.25
        amplitude[squares == 0] = 0
        shape = amplitude.shape
        values = amplitude * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
        return sum_of_modes(values, modes, grid)[None]

    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """On the finer grid; see the class and ``PDE.integrate``."""
        factors = [ceil((self.solver_points or n) / n) for n in grid.shape]
        if factors == [1] * len(factors):
            return super().integrate(initial, parameters, grid, times)
        shape = tuple(n * factor for n, factor in zip(grid.shape, factors, strict=True))
        solved = super().integrate(refined(initial, shape), parameters, self.grid(shape), times)
        kept = (..., *(slice(None, None, factor) for factor in factors))
        states = solved.states[kept].contiguous()
        states[:, 0] = initial  # to the last bit
        return Integration(states, solved.faults)


def refined(
    values: Float[Tensor, "*lead nx ny"], shape: tuple[int, ...]
) -> Float[Tensor, "*lead mx my"]:
    """Periodic fields at more points, by their Fourier modes (those below the largest)."""
    nx, ny = values.shape[-2:]
    coarse = torch.fft.rfft2(values, norm="forward")
    kept, half = (nx - 1) // 2, (ny - 1) // 2 + 1
    fine = coarse.new_zeros(*values.shape[:-2], shape[0], shape[1] // 2 + 1)
    fine[..., : kept + 1, :half] = coarse[..., : kept + 1, :half]
    fine[..., -kept:, :half] = coarse[..., -kept:, :half]
    return torch.fft.irfft2(fine, s=shape, norm="forward")
