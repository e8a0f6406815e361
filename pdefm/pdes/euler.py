"""Compressible gas without friction: sound, contacts and shocks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Field, Grid
from pdefm.pdes.base import Parameters, Range, as_column
from pdefm.pdes.finite_volume import FiniteVolumePDE
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.padded_cells import Rows, fluxes_to_tendency, limited_faces
from pdefm.pdes.riemann import hllc_fluxes


class Euler(FiniteVolumePDE):
    """Compressible Euler equations of an ideal gas.

    ``rho_t + div(rho U) = 0``, ``(rho U)_t + div(rho U U) + grad p = 0``,
    ``E_t + div(U (E + p)) = 0`` with ``E = p / (gamma - 1) + rho |U|^2 / 2``; periodic here.
    Dimensionless: a typical density and pressure and the box are 1.

    Source: Toro (2009), Riemann Solvers and Numerical Methods for Fluid Dynamics, chapters 3, 10.
    """

    name = "euler"
    solver_version = 1
    fields = (Field("density"), Field("pressure"), Field("velocity", tensor_order=1))
    parameter_ranges: Mapping[str, Range] = {"gamma": (1.2, 5 / 3)}
    extent: tuple[float, ...] = (1.0, 1.0)
    boundary = BoundaryCondition.PERIODIC
    dt = 0.04
    num_positive = 2
    vector_start = 2
    invariant_kinds: Mapping[str, str] = {
        "mass": "conserved",
        "momentum_x": "conserved",
        "momentum_y": "conserved",
        "energy": "conserved",
    }

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Smooth random density, pressure and flow, Mach 0.15 to 0.5 an axis: shocks form soon."""
        peak_mode, mach = rng.uniform(1.0, 2.5), rng.uniform(0.15, 0.5)
        spread, wind = rng.uniform(0.1, 0.35), rng.uniform(-0.3, 0.3, size=self.num_dims)

        def smooth() -> Tensor:
            return random_periodic_field(grid, rng, peak_mode=peak_mode)

        density, pressure = (torch.exp(spread * smooth()) for _ in range(2))
        speed = mach * parameters["gamma"] ** 0.5
        velocity = [mean + speed * smooth() for mean in wind]
        return torch.stack([density, pressure, *velocity])

    def to_conserved(
        self, primitive: Float[Tensor, "channel batch points"], parameters: Rows
    ) -> Float[Tensor, "channel batch points"]:
        """Density, energy, momentum."""
        density, pressure, velocity = primitive[0], primitive[1], primitive[2:]
        momentum = density * velocity
        energy = pressure / (parameters["gamma"] - 1) + (momentum * velocity).sum(0) / 2
        return torch.stack([density, energy, *momentum])

    def to_primitive(
        self,
        conserved: Float[Tensor, "channel batch points"],
        parameters: Rows,
        out: Float[Tensor, "channel batch points"],
    ) -> None:
        """Density, pressure, velocity."""
        out[0] = conserved[0]
        torch.div(conserved[2:], conserved[0], out=out[2:])
        internal = conserved[1]
        for momentum, velocity in zip(conserved[2:], out[2:], strict=True):
            internal = torch.addcmul(internal, momentum, velocity, value=-0.5)
        torch.mul(internal, parameters["gamma"] - 1, out=out[1])

    def primitive_tendency(
        self,
        tendency: Float[Tensor, "channel batch points"],
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
    ) -> Float[Tensor, "channel batch points"]:
        """By the chain rule."""
        velocity = primitive[2:]
        acceleration = (tendency[2:] - velocity * tendency[0]) / primitive[0]
        work = (velocity * tendency[2:]).sum(0) - velocity.square().sum(0) * tendency[0] / 2
        heating = (parameters["gamma"] - 1) * (tendency[1] - work)
        return torch.stack([tendency[0], heating, *acceleration])

    def axis_tendency(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        axis: int,
        stride: int,
        spacing: float,
    ) -> Float[Tensor, "channel batch cells"]:
        """Fluxes of the HLLC solver."""
        below, above = limited_faces(primitive, stride)
        fluxes = torch.stack(hllc_fluxes(below, above, parameters["gamma"], axis))
        return fluxes_to_tendency(fluxes, fluxes, stride, spacing)

    def signal_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, "batch points"]:
        """``sum_i (|u_i| + c) / dx_i``."""
        rate = (primitive[1] / primitive[0]).mul_(parameters["gamma"]).sqrt_()
        rate *= sum(1 / spacing for spacing in spacings)
        for velocity, spacing in zip(primitive[2:], spacings, strict=True):
            rate.add_(velocity.abs(), alpha=1 / spacing)
        return rate

    def densities(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time *space"]]:
        """Mass, momentum and energy."""
        gamma = as_column(parameters["gamma"], 1 + grid.num_dims).to(states)
        density, pressure, velocity = states[:, :, 0], states[:, :, 1], states[:, :, 2:]
        momentum = density[:, :, None] * velocity
        return {
            "mass": density,
            "energy": pressure / (gamma - 1) + (momentum * velocity).sum(2) / 2,
        } | {f"momentum_{axis.name}": momentum[:, :, i] for i, axis in enumerate(grid.axes)}
