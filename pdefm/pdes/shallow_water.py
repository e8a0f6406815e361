"""Water under gravity, much wider than deep, over an uneven bottom."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.finite_volume import FiniteVolumePDE
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.padded_cells import Rows, fluxes_to_tendency, limited_faces
from pdefm.pdes.riemann import hll_water_fluxes


class ShallowWater(FiniteVolumePDE):
    """Shallow water equations over a bottom of height ``b``, the coefficient ``topography``.

    ``h_t + div(h U) = 0``, ``(h U)_t + div(h U U) + grad(g h^2 / 2) = -g h grad b`` with depth
    ``h``, velocity ``U`` and ``g = gravity``; periodic here. Water at rest under a level surface
    stays at rest to rounding. Dry ground is not covered: a sample that falls dry is given up.
    Dimensionless: the mean depth and the box are 1.

    Source: hydrostatic reconstruction of Audusse, Bouchut, Bristeau, Klein & Perthame (2004), SIAM
    J. Sci. Comput. 25, 2050-2065.
    """

    name = "shallow_water"
    solver_version = 1
    fields = (Field("height"), Field("velocity", tensor_order=1))
    parameter_ranges: Mapping[str, Range] = {"gravity": (0.5, 2.0)}
    extent: tuple[float, ...] = (1.0, 1.0)
    boundary = BoundaryCondition.PERIODIC
    dt = 0.05
    vector_start = 1
    invariant_kinds: Mapping[str, str] = {"mass": "conserved", "energy": "decays"}

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Float[Tensor, "*space"]]:
        """Smooth hills and valleys of a few to twelve percent of the depth, root mean square."""
        peak_mode, amplitude = rng.uniform(1.0, 3.0), rng.uniform(0.03, 0.12)
        return {"topography": amplitude * random_periodic_field(grid, rng, peak_mode=peak_mode)}

    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Smooth surface waves and a flow of up to half the wave speed."""
        peak_mode, swell = rng.uniform(1.0, 3.0), rng.uniform(0.03, 0.12)
        froude = rng.uniform(0.1, 0.5)
        surface = 1 + swell * random_periodic_field(grid, rng, peak_mode=peak_mode)
        velocity = [
            froude * parameters["gravity"] ** 0.5 * random_periodic_field(grid, rng, peak_mode=1.5)
            for _ in grid.axes
        ]
        return torch.stack([surface - parameters["topography"], *velocity])

    def to_conserved(
        self, primitive: Float[Tensor, "channel batch points"], parameters: Rows
    ) -> Float[Tensor, "channel batch points"]:
        """Depth and depth times velocity."""
        return torch.cat((primitive[:1], primitive[:1] * primitive[1:]))

    def to_primitive(
        self,
        conserved: Float[Tensor, "channel batch points"],
        parameters: Rows,
        out: Float[Tensor, "channel batch points"],
    ) -> None:
        """Depth and velocity."""
        out[0] = conserved[0]
        torch.div(conserved[1:], conserved[:1], out=out[1:])

    def primitive_tendency(
        self,
        tendency: Float[Tensor, "channel batch points"],
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
    ) -> Float[Tensor, "channel batch points"]:
        """By the chain rule."""
        acceleration = (tendency[1:] - primitive[1:] * tendency[:1]) / primitive[:1]
        return torch.cat((tendency[:1], acceleration))

    def axis_tendency(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        axis: int,
        stride: int,
        spacing: float,
    ) -> Float[Tensor, "channel batch cells"]:
        """Fluxes of the HLL solver, and the push of the bottom where there is one."""
        gravity, normal = parameters["gravity"], 1 + axis
        if "topography" not in parameters:
            below, above = limited_faces(primitive, stride)
            fluxes = torch.stack(hll_water_fluxes(below, above, gravity, axis))
            return fluxes_to_tendency(fluxes, fluxes, stride, spacing)
        surface = primitive[:1] + parameters["topography"]
        below, above = limited_faces(torch.cat((primitive, surface)), stride)
        bottom_1, bottom_2 = below[-1] - below[0], above[-1] - above[0]
        sill = torch.maximum(bottom_1, bottom_2)
        # The water above the higher of the two bottoms is what can pass.
        depth_1, depth_2 = torch.relu(below[-1] - sill), torch.relu(above[-1] - sill)
        passing_1 = torch.cat((depth_1[None], below[1:-1]))
        passing_2 = torch.cat((depth_2[None], above[1:-1]))
        fluxes = hll_water_fluxes(passing_1, passing_2, gravity, axis)
        half = gravity / 2
        push_1 = fluxes[normal] + half * (below[0].square() - depth_1.square())
        push_2 = fluxes[normal] + half * (above[0].square() - depth_2.square())
        fluxes[normal] = push_1
        leaving = torch.stack(fluxes)
        fluxes[normal] = push_2
        total = fluxes_to_tendency(torch.stack(fluxes), leaving, stride, spacing)
        depth = below[0, :, stride:] + above[0, :, :-stride]
        rise = bottom_1[:, stride:] - bottom_2[:, :-stride]
        total[normal] -= depth * rise * (half / spacing)
        return total

    def signal_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, "batch points"]:
        """``sum_i (|u_i| + sqrt(g h)) / dx_i``."""
        rate = (primitive[0] * parameters["gravity"]).sqrt_()
        rate *= sum(1 / spacing for spacing in spacings)
        for velocity, spacing in zip(primitive[1:], spacings, strict=True):
            rate.add_(velocity.abs(), alpha=1 / spacing)
        return rate

    def densities(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time *space"]]:
        """Mass and energy."""
        gravity = as_column(parameters["gravity"], 1 + grid.num_dims).to(states)
        depth, velocity = states[:, :, 0], states[:, :, 1:]
        lift = depth / 2
        if "topography" in parameters:
            lift = lift + parameters["topography"].to(states)[:, None]
        energy = depth * (velocity.square().sum(2) / 2 + gravity * lift)
        return {"mass": depth, "energy": energy}
