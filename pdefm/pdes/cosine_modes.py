"""Cosine modes of a box without flux through its walls, on cell centres, in any dimension."""

from functools import cached_property
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.wavenumbers import Wavenumbers


def cosine_basis(num_points: int, *, open_above: bool = False) -> Float[Tensor, "mode point"]:
    """Orthonormal ``cos(m pi (i + 1/2) / n)``: zero slope at both walls, rows of unit length.

    Args:
        num_points: ``n`` cell centres.
        open_above: ``m + 1/2`` in place of ``m``: the value is zero at the upper side instead.

    Returns:
        float64; its transpose is its inverse.

    Source: types 2 and 4 of Strang (1999), SIAM Review 41, 135-147 (the latter's mixed case).
    """
    mode = torch.arange(num_points, dtype=torch.float64) + (0.5 if open_above else 0.0)
    place = torch.arange(num_points, dtype=torch.float64) + 0.5
    basis = torch.cos(pi / num_points * mode[:, None] * place)
    return basis / basis.norm(dim=1, keepdim=True)


class CosineModes(Wavenumbers):
    """The kept modes ``cos(m pi x / extent)``, ``m < 2 N / 3`` on every axis; the rest is zero.

    Mirrored at its walls the box becomes a periodic one of ``2 N`` points an axis, whose 2/3 rule
    this is. Transforms are products with small matrices, faster than any FFT up to some hundred
    points an axis. Coefficients are real: ``complex_dtype`` is the state's own precision.

    Args:
        grid: Cell centres.
        dtype: float32 or float64, that of the physical state.
        device: Where multipliers live.
    """

    def __init__(self, grid: Grid, dtype: torch.dtype, device: torch.device) -> None:
        self.grid = grid
        self.device = device
        self.dtype = self.complex_dtype = dtype
        self.shape = tuple(-(-2 * n // 3) for n in grid.shape)
        self._bases = [
            cosine_basis(n)[:kept].to(device, dtype)
            for n, kept in zip(grid.shape, self.shape, strict=True)
        ]

    @cached_property
    def axes(self) -> tuple[Float[Tensor, "*modes"], ...]:
        """Wavenumber ``pi m / extent`` per axis, float64, broadcastable to the modes."""
        waves = [
            pi / axis.extent * torch.arange(kept, dtype=torch.float64, device=self.device)
            for axis, kept in zip(self.grid.axes, self.shape, strict=True)
        ]
        return torch.meshgrid(*waves, indexing="ij")

    def to_physical(
        self, state_hat: Float[Tensor, "batch channel *modes"]
    ) -> Float[Tensor, "batch channel *space"]:
        """Values at the cell centres."""
        for axis, basis in enumerate(self._bases):
            state_hat = apply_matrix(basis.mT, state_hat, axis - self.grid.num_dims)
        return state_hat

    def to_spectral(
        self, state: Float[Tensor, "batch channel *space"]
    ) -> Float[Tensor, "batch channel *modes"]:
        """Coefficients of the orthonormal modes, with everything beyond the cut left out."""
        for axis, basis in enumerate(self._bases):
            state = apply_matrix(basis, state, axis - self.grid.num_dims)
        return state


def apply_matrix(
    matrix: Float[Tensor, "result point"], values: Float[Tensor, "*lead"], dim: int
) -> Float[Tensor, "*rest"]:
    """Matrix times the values along one of the last axes.

    Args:
        matrix: ``[result, point]``.
        values: At least two-dimensional.
        dim: Negative.
    """
    if dim == -1:
        return values @ matrix.mT
    if dim == -2:
        return matrix @ values
    return (matrix @ values.movedim(dim, -2)).movedim(-2, dim)
