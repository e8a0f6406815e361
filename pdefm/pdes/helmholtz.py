"""Waves of one frequency in a medium of variable speed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.diffusion import cell_sides, couplings, flux_divergence, wall_values
from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.random_coefficients import cosine_random_field
from pdefm.pdes.steady import SteadyPDE


class Helmholtz(SteadyPDE):
    """Helmholtz equation ``-Lap u - (omega / c)^2 u = f`` with walls that let waves out.

    Unit square, dimensionless. ``p(x, t) = Re(u e^{-i omega t})`` is the pressure of a wave of
    angular frequency ``omega`` in a medium of speed ``c(x)``; its two parts are the two channels.
    Impedance condition ``du/dn = i (omega / c) u`` on all sides, exact for waves that leave at a
    right angle. The source is a Gaussian of unit integral. Five-point scheme of second order: in
    the default range a wavelength has 11 points of a 64 x 64 grid or more.

    Source: Engquist & Majda (1977), Math. Comp. 31, 629-651, for the condition of lowest order.
    """

    name = "helmholtz"
    solver_version = 1
    fields = (Field("pressure_real"), Field("pressure_imaginary"))
    parameter_ranges: Mapping[str, Range] = {
        "angular_frequency": (8.0, 25.0),
        "speed_variation": (0.05, 0.3),
        "source_x": (0.2, 0.8),
        "source_y": (0.2, 0.8),
        "source_width": (0.03, 0.06),
    }
    extent = (1.0, 1.0)
    boundary = BoundaryCondition.OPEN
    symmetric_positive = False

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """Speed ``1 + speed_variation tanh(g)`` of a random field ``g``, and the source."""
        field = cosine_random_field(grid, rng, inverse_length=6.0)
        x, y = (axis.coordinates() for axis in grid.axes)
        width = parameters["source_width"]
        reach_x = (x - parameters["source_x"])[:, None] / width
        reach_y = (y - parameters["source_y"]) / width
        source = np.exp(-(reach_x**2 + reach_y**2) / 2) / (2 * np.pi * width**2)
        return {
            "speed": torch.from_numpy(1 + parameters["speed_variation"] * np.tanh(field)),
            "source": torch.from_numpy(source),
        }

    def system(self, sample: Mapping[str, Any], grid: Grid) -> FivePointSystem:
        """Complex symmetric system; half a cell lies between the outer cells and the walls.

        With ``k = omega / c`` at the wall and ``h`` the spacing, the wall's value ``w`` obeys
        ``(w - u) / (h / 2) = i k w``, so the flux is ``i k u / (1 - i k h / 2)``.
        """
        spacing = [axis.spacing for axis in grid.axes]
        across_x, across_y, diagonal = couplings(np.ones(grid.shape), spacing)
        wavenumber = sample["angular_frequency"] / sample["speed"]
        diagonal = diagonal - wavenumber**2 + 0j
        for axis, step in enumerate(spacing):
            edges = (slice(None),) * axis
            for edge, at_wall in zip((0, -1), wall_values(wavenumber, axis), strict=True):
                diagonal[(*edges, edge)] -= 1j * at_wall / (1 - 0.5j * at_wall * step) / step
        return FivePointSystem(diagonal, across_x + 0j, across_y + 0j, sample["source"] + 0j)

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """``Lap u + (omega / c)^2 u + f``, its real and imaginary part."""
        spacing = [axis.spacing for axis in grid.axes]
        frequency = as_column(parameters["angular_frequency"], 2).to(state)
        wavenumber = frequency / parameters["speed"].to(state)
        values = torch.complex(state[:, 0], state[:, 1])
        outer = [
            tuple(
                1j * at_wall * u / (1 - 0.5j * at_wall * spacing[axis])
                for at_wall, u in zip(
                    wall_values(wavenumber, axis), cell_sides(values, axis), strict=True
                )
            )
            for axis in range(2)
        ]
        laplacian = flux_divergence(values, torch.ones_like(wavenumber), spacing, outer)
        found = laplacian + wavenumber.square() * values + parameters["source"].to(state)
        return torch.stack((found.real, found.imag), dim=1)
