"""Cell-centred finite volumes for ``div(a grad u)`` on a rectangle: as torch, and as a matrix."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, cat


def harmonic_mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``2 a b / (a + b)``: two half cells in series, exact for a jump on the face between them."""
    return 2 * first * second / (first + second)


def couplings(
    coefficient: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Couplings across the inner faces in x and y, and their sum in every cell.

    The sum is the diagonal of ``-div(a grad u)`` without flux through the outer sides.

    Args:
        coefficient: ``a [nx, ny]``.
        spacing: Per axis.
    """
    across_x = harmonic_mean(coefficient[1:], coefficient[:-1]) / spacing[0] ** 2
    across_y = harmonic_mean(coefficient[:, 1:], coefficient[:, :-1]) / spacing[1] ** 2
    diagonal = np.zeros_like(coefficient)
    diagonal[1:] += across_x
    diagonal[:-1] += across_x
    diagonal[:, 1:] += across_y
    diagonal[:, :-1] += across_y
    return across_x, across_y, diagonal


def flux_divergence(
    values: Tensor, coefficient: Tensor, spacing: Sequence[float], outer: Sequence[Sequence[Tensor]]
) -> Tensor:
    """``div(a grad u)`` in every cell, from harmonic means of ``a`` on the inner faces.

    Args:
        values: ``u [..., nx, ny]``.
        coefficient: ``a``, broadcasts against ``values``.
        spacing: Per axis.
        outer: Per axis, ``a`` times the outward normal derivative at the lower and upper side.
    """
    total = values.new_zeros(())
    coefficient = coefficient.expand(values.shape)
    for axis, (lower, upper) in enumerate(outer):
        dim = axis - 2
        count = values.shape[dim]
        first, second = coefficient.narrow(dim, 0, count - 1), coefficient.narrow(dim, 1, count - 1)
        inner = (2 * first * second / (first + second)) * values.diff(dim=dim) / spacing[axis]
        flux = cat((-lower.unsqueeze(dim), inner, upper.unsqueeze(dim)), dim)
        total = total + flux.diff(dim=dim) / spacing[axis]
    return total


def cell_sides(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """First and last layer of cells along an axis of ``[..., nx, ny]``."""
    return values.select(axis - 2, 0), values.select(axis - 2, -1)


def wall_values(values: np.ndarray | Tensor, axis: int) -> tuple:
    """Values on the lower and upper side, by linear extrapolation from two layers of cells.

    Args:
        values: ``[..., nx, ny]``, array or tensor.
        axis: 0 for x, 1 for y.
    """
    layers = values.swapaxes(axis - 2, -1)
    lower = 1.5 * layers[..., 0] - 0.5 * layers[..., 1]
    upper = 1.5 * layers[..., -1] - 0.5 * layers[..., -2]
    return lower, upper
