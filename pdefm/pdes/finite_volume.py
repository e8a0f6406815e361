"""Conservation laws solved by finite volumes, each sample with its own time step."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.errors import RecipeError
from pdefm.pdes.base import PDE, Integration, Parameters
from pdefm.pdes.finite_volume_run import FiniteVolumeRun
from pdefm.pdes.padded_cells import PaddedCells, Rows, as_rows, inner_rows

CPU_BLOCK_CELLS = 40_000
"""Cells in flight on a CPU: as many samples as keep all temporaries in its cache."""


class FiniteVolumePDE(PDE):
    """``U_t + sum_i F_i(U)_{x_i} = S(U)`` for cell averages, in any dimension.

    The state is in primitive variables (such as density, pressure, velocity), the numbers stepped
    are the conserved ones: linear reconstruction of the primitive variables with van Leer's
    limiter, a Riemann solver at the faces, strong-stability-preserving Runge-Kutta in time. Every
    sample goes its own way: its step is the largest that respects ``courant_number`` and divides
    the time to its next frame, so a result does not depend on the other samples of the batch.

    Args:
        dt: Time between saved frames.
        parameter_ranges: Replaces ranges by name.
        num_substeps: Fixed number of steps a frame instead, for convergence studies.
    """

    courant_number: float = 0.8
    """Largest ``dt * signal_rate``; above 1 the method is unstable."""
    order_in_time: int = 2
    max_substeps: int = 4096
    """A sample that needs steps below this part of a frame is given up."""
    num_positive: int = 1
    """The first channels that have to stay above zero."""
    vector_start: int
    """Channel where the velocity starts."""

    def __init__(
        self,
        *,
        dt: float | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
        num_substeps: int | None = None,
    ) -> None:
        super().__init__(dt=dt, parameter_ranges=parameter_ranges)
        if num_substeps is not None and num_substeps < 1:
            raise RecipeError(
                f"{self.name}: num_substeps must be at least 1",
                got=num_substeps,
                do="Leave it out to let the solver choose",
            )
        self.num_substeps = num_substeps

    def configuration(self) -> dict[str, Any]:
        """As for every PDE, with method and step rule."""
        return super().configuration() | {
            "method": f"finite volumes, van Leer MUSCL, SSP-RK{self.order_in_time}",
            "courant_number": self.courant_number,
            "num_substeps": self.num_substeps,
            "max_substeps": self.max_substeps,
        }

    @abstractmethod
    def to_conserved(
        self, primitive: Float[Tensor, "channel batch points"], parameters: Rows
    ) -> Float[Tensor, "channel batch points"]:
        """Conserved variables, as many as primitive ones."""

    @abstractmethod
    def to_primitive(
        self,
        conserved: Float[Tensor, "channel batch points"],
        parameters: Rows,
        out: Float[Tensor, "channel batch points"],
    ) -> None:
        """Inverse of ``to_conserved``, written to ``out``."""

    @abstractmethod
    def primitive_tendency(
        self,
        tendency: Float[Tensor, "channel batch points"],
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
    ) -> Float[Tensor, "channel batch points"]:
        """Time derivatives of the primitive variables from those of the conserved ones."""

    @abstractmethod
    def axis_tendency(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        axis: int,
        stride: int,
        spacing: float,
    ) -> Float[Tensor, "channel batch cells"]:
        """What fluxes along one axis add to the conserved tendency.

        Args:
            primitive: A stretch of rows; cell ``j`` of the result is point ``j + 2 stride``.
            parameters: Scalars ``[batch, 1]`` and coefficients over the same stretch.
            axis: Along which neighbours are ``stride`` points apart.
            stride: See ``axis``.
            spacing: Their distance.
        """

    @abstractmethod
    def signal_rate(
        self,
        primitive: Float[Tensor, "channel batch points"],
        parameters: Rows,
        spacings: Sequence[float],
    ) -> Float[Tensor, "batch points"]:
        """``sum_i (fastest wave along axis i) / spacing_i``, in 1/time; NaN where impossible."""

    def add_sources(
        self,
        tendency: Float[Tensor, "channel batch inner"],
        primitive: Float[Tensor, "channel batch padded"],
        parameters: Rows,
        cells: PaddedCells,
    ) -> Float[Tensor, "channel batch inner"]:
        """The conserved tendency with all that is not a flux of the Riemann solver."""
        return tendency

    def conserved_tendency(
        self, primitive: Float[Tensor, "channel batch padded"], parameters: Rows, cells: PaddedCells
    ) -> Float[Tensor, "channel batch inner"]:
        """Right-hand side for the conserved variables; ghost cells of ``primitive`` are filled."""
        total = self.axis_tendency(primitive, parameters, 0, cells.strides[0], cells.spacings[0])
        inner = inner_rows(parameters, cells)
        for axis in range(1, len(cells.strides)):
            stride = cells.strides[axis]
            part = self.axis_tendency(
                cells.inner(primitive), inner, axis, stride, cells.spacings[axis]
            )
            total[..., 2 * stride : -2 * stride] += part
        return self.add_sources(total, primitive, parameters, cells)

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """Of the cell averages, as the scheme sees them. See ``PDE.tendency``."""
        cells = PaddedCells(grid, self.boundary)
        rows = as_rows(parameters, cells, state)
        primitive = cells.pad(state.movedim(1, 0), self.vector_start)
        conserved = self.conserved_tendency(primitive, rows, cells)
        inner = inner_rows(rows, cells)
        result = self.primitive_tendency(conserved, cells.inner(primitive), inner)
        return cells.unpad(result).movedim(0, 1)

    @torch.no_grad()
    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """See ``PDE.integrate``."""
        cells = PaddedCells(grid, self.boundary)
        block = len(initial)
        if initial.device.type == "cpu":
            block = max(1, CPU_BLOCK_CELLS // cells.num_points)
        states, faults = [], []
        for start in range(0, len(initial), block):
            chosen = {name: value[start : start + block] for name, value in parameters.items()}
            run = FiniteVolumeRun(
                self, initial[start : start + block], chosen, cells, times.tolist()
            )
            while run.samples:
                run.step()
            states.append(run.frames)
            faults += run.faults
        return Integration(torch.cat(states), tuple(faults))
