"""A membrane or a potential with data on the walls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range
from pdefm.pdes.diffusion import cell_sides, couplings, flux_divergence, wall_values
from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.random_coefficients import cosine_random_field
from pdefm.pdes.steady import SteadyPDE

NUM_MODES = 6
"""Waves in the data of a wall."""


class Poisson(SteadyPDE):
    """Poisson's equation ``-Lap u = f`` with values on two walls and fluxes through the others.

    Unit square, dimensionless; ``u = g`` at ``x = 0`` and ``x = 1``, ``du/dn = q`` at ``y = 0`` and
    ``y = 1`` with the outward normal ``n``. The data are smooth random curves that agree in the
    corners (``g`` is level there, ``q`` zero). They are stored as fields of the whole square:
    ``wall_value`` goes linearly in x from ``g(0, y)`` to ``g(1, y)``, ``wall_flux`` linearly in y
    from ``q(x, 0)`` to ``q(x, 1)``, so that the walls' data follow from them exactly. Cell-centred
    finite volumes of second order.

    Source: LeVeque (2007), Finite Difference Methods, SIAM, chapter 3, for the five-point scheme.
    """

    name = "poisson"
    solver_version = 1
    fields = (Field("potential"),)
    parameter_ranges: Mapping[str, Range] = {
        "source_amplitude": (0.0, 20.0),
        "value_amplitude": (0.2, 1.0),
        "flux_amplitude": (0.5, 4.0),
    }
    extent = (1.0, 1.0)
    boundary = BoundaryCondition.WALL
    shared_matrix = True

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """Random ``source``, ``wall_value`` and ``wall_flux``."""
        x, y = (axis.coordinates() / axis.extent for axis in grid.axes)
        source = cosine_random_field(grid, rng, inverse_length=8.0)
        value = (1 - x)[:, None] * _cosines(y, rng) + x[:, None] * _cosines(y, rng)
        flux = (1 - y) * _sines(x, rng)[:, None] + y * _sines(x, rng)[:, None]
        return {
            "source": torch.from_numpy(parameters["source_amplitude"] * source),
            "wall_value": torch.from_numpy(parameters["value_amplitude"] * value),
            "wall_flux": torch.from_numpy(parameters["flux_amplitude"] * flux),
        }

    def system(self, sample: Mapping[str, Any], grid: Grid) -> FivePointSystem:
        """``-Lap u = f``; the data of the walls join the right-hand side."""
        dx, dy = (axis.spacing for axis in grid.axes)
        across_x, across_y, diagonal = couplings(np.ones(grid.shape), (dx, dy))
        right = sample["source"].copy()
        values, fluxes = wall_values(sample["wall_value"], 0), wall_values(sample["wall_flux"], 1)
        for side, (value, flux) in enumerate(zip(values, fluxes, strict=True)):
            diagonal[-side] += 2 / dx**2
            right[-side] += 2 * value / dx**2
            right[:, -side] += flux / dy
        return FivePointSystem(diagonal, across_x, across_y, right)

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """``Lap u + f``."""
        spacing = [axis.spacing for axis in grid.axes]
        source, value, flux = (
            parameters[name].to(state)[:, None] for name in ("source", "wall_value", "wall_flux")
        )
        lower, upper = (
            2 * (g - u) / spacing[0]
            for g, u in zip(wall_values(value, 0), cell_sides(state, 0), strict=True)
        )
        outer = [(lower, upper), wall_values(flux, 1)]
        return flux_divergence(state, torch.ones_like(state), spacing, outer) + source


def _cosines(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random mean and cosines of falling amplitude, unit mean square on average."""
    mode = np.arange(NUM_MODES)
    amplitude = 1 / (1 + mode**2)
    wave = np.sqrt(2) * np.cos(np.pi * np.outer(mode, position))
    wave[0] = 1.0
    return amplitude / np.linalg.norm(amplitude) * rng.standard_normal(NUM_MODES) @ wave


def _sines(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random sines of falling amplitude, unit mean square on average."""
    mode = np.arange(1, NUM_MODES + 1)
    amplitude = 1 / mode**2
    wave = np.sqrt(2) * np.sin(np.pi * np.outer(mode, position))
    return amplitude / np.linalg.norm(amplitude) * rng.standard_normal(NUM_MODES) @ wave
