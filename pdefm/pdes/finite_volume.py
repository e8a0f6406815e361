"""Conservation laws solved by finite volumes, each sample with its own time step."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.base import Integration, Parameters
from pdefm.pdes.finite_volume_run import FiniteVolumeRun, integrate_in_blocks
from pdefm.pdes.padded_cells import PaddedCells, Rows, as_rows, inner_rows
from pdefm.pdes.stepped import SteppedPDE


class FiniteVolumePDE(SteppedPDE):
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
    max_substeps = 4096
    num_positive: int = 1
    """The first channels that have to stay above zero."""
    vector_start: int
    """Channel where the velocity starts."""

    def scheme(self) -> dict[str, Any]:
        """See ``SteppedPDE.scheme``."""
        return {
            "method": f"finite volumes, van Leer MUSCL, SSP-RK{self.order_in_time}",
            "courant_number": self.courant_number,
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
        moments = times.tolist()

        def start(states: Tensor, chosen: Parameters) -> FiniteVolumeRun:
            return FiniteVolumeRun(self, states, chosen, cells, moments)

        return integrate_in_blocks(start, initial, parameters, cells.num_points)

    @abstractmethod
    def densities(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time *space"]]:
        """Quantities per volume whose means over the box are invariants in some of the families."""

    def invariants(
        self, states: Float[Tensor, "batch time channel *space"], parameters: Parameters, grid: Grid
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """Means over the box of those ``densities`` that ``invariant_kinds`` names."""
        return {
            name: density.flatten(2).mean(-1)
            for name, density in self.densities(states, parameters, grid).items()
            if name in self.invariant_kinds
        }
