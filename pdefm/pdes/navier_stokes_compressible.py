"""Compressible gas with friction and heat conduction."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.pdes.base import Range
from pdefm.pdes.euler import Euler
from pdefm.pdes.padded_cells import PaddedCells, Rows, fluxes_to_tendency


class NavierStokesCompressible(Euler):
    """Compressible Navier-Stokes equations of an ideal gas, periodic.

    The equations of ``Euler`` with ``div S`` added to the momentum and ``div(S U + k grad T)`` to
    the energy: ``S_ij = viscosity (d_i u_j + d_j u_i - 2/3 delta_ij div U)``, ``T = p / rho``,
    ``k = viscosity gamma / ((gamma - 1) prandtl)``. Second-order central fluxes. Dimensionless.

    Source: Landau & Lifshitz (1987), Fluid Mechanics, sections 15 and 49.
    """

    name = "navier_stokes_compressible"
    solver_version = 1
    parameter_ranges: Mapping[str, Range] = {
        "gamma": (1.2, 5 / 3),
        "viscosity": (3e-4, 1e-2),
        "prandtl": (0.72, 0.72),
    }
    log_uniform = frozenset({"viscosity"})

    def add_sources(
        self,
        tendency: Float[Tensor, "channel batch inner"],
        primitive: Float[Tensor, "channel batch padded"],
        parameters: Rows,
        cells: PaddedCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """The tendency with friction and heat conduction."""
        for axis, stride in enumerate(cells.strides):
            fluxes = _viscous_fluxes(primitive, parameters, cells, axis)
            tendency[1:] -= fluxes_to_tendency(fluxes, fluxes, stride, cells.spacings[axis])
        return tendency

    def signal_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, "batch points"]:
        """That of ``Euler`` and ``2 nu sum_i 1 / dx_i^2`` of the stronger of both diffusions."""
        rate = super().signal_rate(primitive, parameters, spacings)
        strongest = (parameters["gamma"] / parameters["prandtl"]).clamp(min=4 / 3)
        curvature = 2 * sum(1 / spacing**2 for spacing in spacings)
        return rate + curvature * strongest * parameters["viscosity"] / primitive[0]


def _viscous_fluxes(
    primitive: Float[Tensor, "channel batch padded"],
    parameters: Rows,
    cells: PaddedCells,
    axis: int,
) -> Float[Tensor, "flux batch faces"]:
    """``S U + k grad T`` and ``S`` along one axis, at the faces of all inner cells.

    Derivatives along the axis are differences across the face; the others are means of the central
    differences of both cells.
    """
    stride, spacing = cells.strides[axis], cells.spacings[axis]
    first, count = cells.margin - stride, cells.num_points - 2 * cells.margin + stride
    viscosity, gamma = parameters["viscosity"], parameters["gamma"]

    def at(values: Tensor, shift: int) -> Tensor:
        return values.narrow(-1, first + shift, count)

    velocity = primitive[2:]
    mean = (at(velocity, 0) + at(velocity, stride)) / 2
    normal = (at(velocity, stride) - at(velocity, 0)) / spacing
    stress = list(normal)
    divergence = normal[axis]
    for other, shift in enumerate(cells.strides):
        if other == axis:
            continue
        # Only two components are needed: u_other for the divergence, u_axis for the shear.
        across = [
            at(q, shift) - at(q, -shift) + at(q, stride + shift) - at(q, stride - shift)
            for q in (velocity[other], velocity[axis])
        ]
        scale = 1 / (4 * cells.spacings[other])
        divergence = divergence + across[0] * scale
        stress[other] = stress[other] + across[1] * scale
    stress[axis] = 2 * normal[axis] - divergence * (2 / 3)
    forces = torch.stack(stress) * viscosity
    temperature = primitive[1] / primitive[0]
    conductivity = viscosity * gamma / ((gamma - 1) * parameters["prandtl"])
    heat = conductivity * (at(temperature, stride) - at(temperature, 0)) / spacing
    return torch.cat((((forces * mean).sum(0) + heat)[None], forces))
