"""Incompressible flow in a box with walls, on a MAC grid, each sample with its own time step."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Field, Grid
from pdefm.pdes.base import Integration, Parameters, per_frame
from pdefm.pdes.finite_volume_run import FiniteVolumeRun, integrate_in_blocks
from pdefm.pdes.staggered_cells import Sides, StaggeredCells
from pdefm.pdes.staggered_fluxes import momentum_flux, tracer_flux
from pdefm.pdes.stepped import SteppedPDE

Rows = Mapping[str, Float[Tensor, "batch _"]]
"""Per name a scalar ``[batch, 1]`` or a coefficient field as full rows ``[batch, points]``."""


class IncompressiblePDE(SteppedPDE):
    """``u_t + div(u u) = -grad p + viscosity Lap u + forces``, ``div u = 0``, and tracers.

    Velocities are solved for on the faces of the cells and given at the cell centres, as the mean
    of both faces, from which a solver recovers the faces (see ``StaggeredCells.from_cells``): it
    can go on from any of its own frames. Momentum by third-order upwind-biased fluxes, tracers by
    van Leer's limited ones, both of second order in space; Heun's method in time, made free of
    divergence after each of its stages by an exact pressure solve.

    Args:
        dt: Time between saved frames.
        parameter_ranges: Replaces ranges by name.
        num_substeps: Fixed number of steps a frame instead, for convergence studies.

    Source: Leonard (1979), Comput. Meth. Appl. Mech. Eng. 19, 59-98, on upwind-biased fluxes;
    Chorin (1968), Math. Comput. 22, 745-762, on projection.
    """

    fields: tuple[Field, ...] = (Field("velocity", tensor_order=1),)
    has_outlet: bool = False
    """Whether the flow comes in at the lower x side and leaves at the upper one."""
    courant_number: float = 0.7
    """Largest ``dt * signal_rate``; near 1 the method becomes unstable."""
    order_in_time = 2
    num_positive = 0
    max_substeps = 4096

    def scheme(self) -> dict[str, Any]:
        """See ``SteppedPDE.scheme``."""
        return {
            "method": "MAC projection, third-order upwind-biased and van Leer fluxes, Heun",
            "courant_number": self.courant_number,
        }

    @abstractmethod
    def box_sides(self, rows: Rows) -> Sides:
        """What happens at the walls."""

    def tracer_diffusivity(self, rows: Rows) -> Float[Tensor, "batch 1"] | None:
        """Of all tracers, if there are any."""
        return None

    def add_forces(
        self,
        tendency: Float[Tensor, "channel batch inner"],
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        cells: StaggeredCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """The tendency with all that is not transport, diffusion or pressure."""
        return tendency

    def force_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        rows: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, " batch"] | float:
        """Least ``1 / dt`` times ``courant_number`` that forces ask for, in 1/time."""
        return 0.0

    def conserved_tendency(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        cells: StaggeredCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """Right-hand side on the faces without the pressure; ghosts are filled."""
        u, v = primitive[0], primitive[1]
        start, count, row = cells.start, cells.num_inner, cells.stride
        total = None
        for axis, stride in enumerate((row, 1)):
            # Face k lies between k - stride and k; velocities through it, twice their value.
            num_faces = count + stride
            normal, spacing = (u, v)[axis], cells.spacings[axis]
            at_faces = normal.narrow(-1, start, num_faces)
            other = (1, row)[axis]
            along = at_faces + normal.narrow(-1, start - stride, num_faces)
            across = at_faces + normal.narrow(-1, start - other, num_faces)
            through = torch.stack((along, across) if axis == 0 else (across, along))
            flux = momentum_flux(
                primitive[:2], through, start, stride, parameters["viscosity"] / spacing
            )
            diffusivity = self.tracer_diffusivity(parameters)
            if diffusivity is not None:
                tracers = tracer_flux(primitive[2:], at_faces, start, stride, diffusivity / spacing)
                flux = torch.cat((flux, tracers))
            change = flux[..., :count] - flux[..., stride:]
            if total is None:
                total = change.mul_(1 / spacing)
            else:
                total.add_(change, alpha=1 / spacing)
        assert total is not None
        return self.add_forces(total, primitive, parameters, cells)

    def signal_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, "batch 1"]:
        """``sum_i max|u_i| / dx_i + 2 nu sum_i 1 / dx_i^2``, or more if forces ask for it."""
        rate = torch.zeros_like(primitive[0, :, 0])
        for velocity, spacing in zip(primitive[:2], spacings, strict=True):
            rate += torch.stack(torch.aminmax(velocity, dim=-1)).abs().amax(0) / spacing
        rate = torch.clamp_min(rate, self.force_rate(primitive, parameters, spacings))
        diffusivity = self.tracer_diffusivity(parameters)
        strongest = parameters["viscosity"]
        if diffusivity is not None:
            strongest = torch.maximum(strongest, diffusivity)
        return rate[:, None] + 2 * sum(1 / spacing**2 for spacing in spacings) * strongest

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """Of the cell-centred state, the pressure's part included. See ``PDE.tendency``."""
        cells = StaggeredCells(grid, self.has_outlet, state.dtype, state.device)
        rows = cells.as_rows(parameters)
        sides = self.box_sides(rows)
        primitive = cells.from_cells(state, sides)
        cells.project(primitive)
        cells.fill_ghosts(primitive, sides)
        slope = cells.widen(self.conserved_tendency(primitive, rows, cells))
        at_rest = None if sides.inflow is None else 0.0
        cells.fill_ghosts(slope, Sides(slip=sides.slip, inflow=at_rest))
        cells.project(slope)
        return cells.to_cells(slope)

    @torch.no_grad()
    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """See ``PDE.integrate``."""
        moments = times.tolist()

        def start(states: Tensor, chosen: Parameters) -> FiniteVolumeRun:
            return ProjectedRun(self, states, chosen, grid, moments)

        return integrate_in_blocks(start, initial, parameters, prod(grid.shape))

    def divergence(
        self,
        states: Float[Tensor, "batch time channel *space"],
        parameters: Parameters,
        grid: Grid,
    ) -> Float[Tensor, "batch time"]:
        """Root mean square over the cells, of the face velocities that the frames stand for."""
        cells = StaggeredCells(grid, self.has_outlet, states.dtype, states.device)
        sides = self.box_sides(cells.as_rows(per_frame(parameters, states.shape[1])))
        values = cells.divergence(cells.from_cells(states.flatten(0, 1), sides))
        return values.square().flatten(1).mean(1).sqrt().unflatten(0, states.shape[:2])


class ProjectedRun(FiniteVolumeRun):
    """A batch on its way, made free of divergence after every stage."""

    def __init__(
        self,
        pde: IncompressiblePDE,
        initial: Tensor,
        parameters: Parameters,
        grid: Grid,
        times: list[float],
    ) -> None:
        layout = StaggeredCells(grid, pde.has_outlet, initial.dtype, initial.device)
        self.rows = layout.as_rows(parameters)
        # Both stand for what the base class uses of an equation and of a layout of cells.
        self.pde, self.cells = cast(Any, pde), cast(Any, layout)
        self.times = times
        self.samples = list(range(len(initial))) if len(times) > 1 else []
        self.faults = [""] * len(initial)
        self.frames = initial.new_full((len(initial), len(times), *initial.shape[1:]), float("nan"))
        self.frames[:, 0] = initial
        self.clock = [times[0]] * len(initial)
        self.saved = [0] * len(initial)
        self.primitive = layout.from_cells(initial, pde.box_sides(self.rows))
        self.conserved = layout.inner(self.primitive)
        self._refresh()

    def _refresh(self) -> None:
        """Project, fill the ghosts, and take both as the state."""
        inner = self.cells.inner(self.primitive)
        inner.copy_(self.conserved)
        sides = self.pde.box_sides(self.rows)
        # Ghosts first: they hold the normal velocities at the sides, which the pressure keeps.
        self.cells.fill_ghosts(self.primitive, sides)
        self.cells.project(self.primitive)
        self.cells.fill_ghosts(self.primitive, sides)
        self.conserved = inner.clone()
