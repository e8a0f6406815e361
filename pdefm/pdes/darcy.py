"""Flow through a porous square: three kinds of permeability."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range
from pdefm.pdes.diffusion import cell_sides, couplings, flux_divergence
from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.random_coefficients import (
    COVARIANCES,
    LATTICE_SIZE,
    contrast,
    cosine_random_field,
    lattice_random_field,
    on_cells,
    roughness,
)
from pdefm.pdes.steady import SteadyPDE


class DarcyProblem(SteadyPDE):
    """Pressure ``u`` of a flow through a porous medium, ``-div(a grad u) = f``, ``u = 0`` outside.

    Unit square, all quantities dimensionless. Cell-centred finite volumes with harmonic means of
    the permeability on the faces: second order where ``a`` is smooth or jumps on faces, fluxes
    conserved in every cell. Two measures of how hard a sample is are recorded with it, taken on its
    grid: ``contrast`` (largest over smallest ``a``, by which ConDiff sorts its problems) and
    ``roughness`` (mean total variation of ``log a`` along lines across the box).
    """

    solver_version = 1
    fields = (Field("pressure"),)
    extent = (1.0, 1.0)
    boundary = BoundaryCondition.WALL

    @abstractmethod
    def permeability(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> np.ndarray:
        """Random ``a [nx, ny]``, positive."""

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """``permeability``, and the numbers ``contrast`` and ``roughness``."""
        values = self.permeability(parameters, grid, rng)
        return {
            "permeability": torch.from_numpy(values),
            "contrast": torch.tensor(contrast(values), dtype=torch.float64),
            "roughness": torch.tensor(roughness(values, grid), dtype=torch.float64),
        }

    def system(self, sample: Mapping[str, Any], grid: Grid) -> FivePointSystem:
        """``-div(a grad u) = f`` with half a cell between the outer cells and ``u = 0``."""
        values = sample["permeability"]
        spacing = [axis.spacing for axis in grid.axes]
        across_x, across_y, diagonal = couplings(values, spacing)
        for axis, step in enumerate(spacing):
            edges = (slice(None),) * axis
            for edge in (0, -1):
                diagonal[(*edges, edge)] += 2 * values[(*edges, edge)] / step**2
        source = np.broadcast_to(sample["source"], grid.shape)
        return FivePointSystem(diagonal, across_x, across_y, source)

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """``div(a grad u) + f``."""
        spacing = [axis.spacing for axis in grid.axes]
        values = parameters["permeability"].to(state)[:, None]
        outer = [
            tuple(
                -2 * a * u / spacing[axis]
                for a, u in zip(cell_sides(values, axis), cell_sides(state, axis), strict=True)
            )
            for axis in range(2)
        ]
        source = parameters["source"].to(state)
        if source.ndim == 1:
            source = source[:, None, None]
        return flux_divergence(state, values, spacing, outer) + source[:, None]


class Darcy(DarcyProblem):
    """Darcy flow with a log-normal permeability, ``a = exp(log_std g)``, driven evenly.

    ``g`` is a Gaussian random field of unit variance and covariance
    ``(-Lap + inverse_length^2)^-2``. See ``DarcyProblem`` for the equation.

    Source: the covariance is that of Li et al. (2021), arXiv 2010.08895, section 5.2.
    """

    name = "darcy"
    solver = "iterative"
    parameter_ranges: Mapping[str, Range] = {
        "log_std": (0.3, 1.5),
        "inverse_length": (3.0, 10.0),
        "source": (1.0, 1.0),
    }

    def permeability(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> np.ndarray:
        """``exp(log_std g)``."""
        field = cosine_random_field(grid, rng, inverse_length=parameters["inverse_length"])
        return np.exp(parameters["log_std"] * field)


class DarcyTwoPhase(DarcyProblem):
    """Darcy flow through two kinds of rock, driven evenly.

    ``a = high`` where a Gaussian random field of covariance ``(-Lap + 9)^-2`` is positive and
    ``low`` elsewhere. See ``DarcyProblem`` for the equation.

    Source: Li et al. (2021), arXiv 2010.08895, section 5.2.
    """

    name = "darcy_two_phase"
    solver = "iterative"
    parameter_ranges: Mapping[str, Range] = {
        "low": (3.0, 3.0),
        "high": (12.0, 12.0),
        "source": (1.0, 1.0),
    }

    def permeability(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> np.ndarray:
        """``high`` or ``low`` by the sign of the field."""
        field = cosine_random_field(grid, rng, inverse_length=3.0)
        return np.where(field >= 0, parameters["high"], parameters["low"])


class DarcyHighContrast(DarcyProblem):
    """Darcy flow with jumps of up to five orders of magnitude, driven by noise.

    ``a = exp(sqrt(variance) g)`` is constant on each of 64 x 64 blocks, with ``g`` a Gaussian
    random field of correlation length 0.05; the source is normal white noise, ``f = 64 z`` on the
    blocks. A grid of a multiple of 64 points has every jump on a face; a coarser one takes the
    block around each cell's centre and misses the others. See ``DarcyProblem``.

    Args:
        covariance: ``cubic``, ``exponential`` or ``gaussian``.
        **settings: As for every steady PDE.

    Source: covariances, correlation length, variances and noise of Trifonov et al. (2024), arXiv
    2406.04709 (ConDiff), which draws on the grid itself and keeps samples by their contrast.
    """

    name = "darcy_high_contrast"
    parameter_ranges: Mapping[str, Range] = {"variance": (0.1, 2.0)}
    log_uniform = frozenset({"variance"})

    def __init__(self, *, covariance: str = "exponential", **settings: Any) -> None:
        super().__init__(**settings)
        self.covariance = self._checked_choice("covariance", covariance, list(COVARIANCES))

    def configuration(self) -> dict[str, Any]:
        """As for every steady PDE, with the covariance."""
        return super().configuration() | {"covariance": self.covariance}

    def permeability(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> np.ndarray:
        """``exp(sqrt(variance) g)`` on blocks."""
        field = lattice_random_field(rng, covariance=self.covariance, correlation_length=0.05)
        return np.exp(np.sqrt(parameters["variance"]) * on_cells(field, grid))

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """As for all Darcy problems, and the field ``source``."""
        found = super().coefficients(parameters, grid, rng)
        noise = LATTICE_SIZE * rng.standard_normal((LATTICE_SIZE, LATTICE_SIZE))
        return found | {"source": torch.from_numpy(on_cells(noise, grid))}
