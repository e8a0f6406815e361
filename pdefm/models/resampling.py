"""Between grids of any two sizes, axis by axis: averages, interpolation, and their inverse.

All grids cover the same box, every axis 0 to 1; point i of n stands for the cell ``[i, i + 1] / n``
and its position is the centre ``(i + 1/2) / n``. (Periodic data have their points at ``i / n``;
there the origin is half a cell away, which no difference of positions sees.) Each operation is one
small matrix an axis, computed in double precision.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

KEYS = -0.5  # the third-order accurate one of Keys' kernels


def centres(size: int) -> Float[Tensor, " size"]:
    """Positions of a grid's points, ``(i + 1/2) / size``, in double precision."""
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def along_axis(
    values: Float[Tensor, "..."], matrix: Float[Tensor, "_ _"], axis: int
) -> Float[Tensor, "..."]:
    """Apply a matrix, new by old points, to one axis, counted from the first."""
    before, size, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    if not after:
        return values @ matrix.to(values).T
    rows = values.reshape(math.prod(before), size, math.prod(after))
    return torch.matmul(matrix.to(values), rows).view(*before, -1, *after)


def along_axes(
    values: Float[Tensor, "..."],
    matrices: Sequence[Float[Tensor, "_ _"]],
    *,
    channels_last: bool = False,
) -> Float[Tensor, "..."]:
    """Apply one matrix to each space axis.

    Args:
        values: Any leading axes, then space, then the channels if they come last.
        matrices: New by old points, as many as there are space axes.
        channels_last: Whether one more axis follows those of space.
    """
    first = values.ndim - len(matrices) - channels_last
    for axis, matrix in enumerate(matrices, start=first):
        values = along_axis(values, matrix, axis)
    return values


def averaging_matrix(fine: int, coarse: int) -> Float[Tensor, "coarse fine"]:
    r"""Averages over coarse cells: ``A[J, i] = |cell_J \cap cell_i| / |cell_J|``.

    Exact for any ratio of the sizes: rows sum to 1 and columns to ``coarse / fine``, so that the
    mean over the box stays.

    Args:
        fine: Points before.
        coarse: Points after.
    """
    # In units of 1 / (fine coarse) all edges are whole numbers.
    fine_edges, coarse_edges = torch.arange(fine + 1) * coarse, torch.arange(coarse + 1) * fine
    upper = torch.minimum(coarse_edges[1:, None], fine_edges[None, 1:])
    lower = torch.maximum(coarse_edges[:-1, None], fine_edges[None, :-1])
    return (upper - lower).clamp_min(0).double() / fine


def cell_averages(
    values: Float[Tensor, "batch time channel *space"],
    shape: Sequence[int],
    mask: Bool[Tensor, "batch *space"] | None = None,
) -> Float[Tensor, "batch time channel *coarse"]:
    """Averages over coarse cells, of the points inside the mask.

    ``u_J = sum_i A[J, i] m_i u_i / sum_i A[J, i] m_i``; a cell that is wholly outside gets the mean
    of its sample's cells.

    Args:
        values: In any unit.
        shape: Coarse points per axis.
        mask: True inside the domain; what lies outside may be anything, NaN too.
    """
    matrices = [averaging_matrix(n, m) for n, m in zip(values.shape[3:], shape, strict=True)]
    if mask is None:
        return along_axes(values, matrices)
    inside = mask[:, None, None]  # [B, 1, 1, *space]
    total = along_axes(values.masked_fill(~inside, 0.0), matrices)
    share = along_axes(inside.to(values.dtype), matrices)
    seen = share > 0.5 / math.prod(values.shape[3:])  # one point's share is the least, but rounding
    means = torch.where(seen, total / torch.where(seen, share, 1.0), 0.0)
    over = tuple(range(3, values.ndim))
    typical = means.sum(over, keepdim=True) / seen.sum(over, keepdim=True).clamp_min(1)
    return torch.where(seen, means, typical)


def neighbours(
    size: int, queries: Float[Tensor, " query"], periodic: bool, reach: int = 1
) -> tuple[Tensor, Float[Tensor, " query"]]:
    """The ``2 reach`` points around each query, and where it lies between the inner two.

    Args:
        size: Points of the axis.
        queries: Positions, 0 to 1.
        periodic: Whether the axis wraps; else the outermost points repeat.
        reach: Points on each side.

    Returns:
        Indices ``[query, 2 reach]``, ascending, and the distance from the inner lower point in
        units of the spacing, 0 to 1.
    """
    place = queries * size - 0.5
    lower = place.floor()
    index = lower.long()[:, None] + torch.arange(1 - reach, reach + 1, device=queries.device)
    return index % size if periodic else index.clamp(0, size - 1), place - lower


def _weighted(size: int, index: Tensor, weights: Tensor) -> Tensor:
    matrix = weights.new_zeros(len(index), size)
    return matrix.scatter_add_(1, index, weights)


def side_matrices(
    size: int, queries: Float[Tensor, " query"], periodic: bool
) -> tuple[Float[Tensor, "query size"], Float[Tensor, "query size"]]:
    """The two parts of :func:`linear_matrix`: what the lower and the upper neighbour gives."""
    index, t = neighbours(size, queries, periodic)
    return _weighted(size, index[:, :1], 1 - t[:, None]), _weighted(size, index[:, 1:], t[:, None])


def linear_matrix(
    size: int, queries: Float[Tensor, " query"], periodic: bool
) -> Float[Tensor, "query size"]:
    """Linear interpolation at the queries; arguments as :func:`neighbours` takes them."""
    lower, upper = side_matrices(size, queries, periodic)
    return lower + upper


def cubic_matrix(
    size: int, queries: Float[Tensor, " query"], periodic: bool
) -> Float[Tensor, "query size"]:
    """Cubic convolution at the queries; arguments as :func:`neighbours` takes them.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, a = -1/2.
    """
    index, t = neighbours(size, queries, periodic, reach=2)
    a, weights = KEYS, []
    for distance in (1 + t, t, 1 - t, 2 - t):
        near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
        far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights.append(torch.where(distance <= 1, near, far))
    return _weighted(size, index, torch.stack(weights, 1))


def _waves(size: int, queries: Tensor, periodic: bool) -> Tensor:
    """The ``size`` smoothest waves at the queries: of Fourier, or even ones between walls."""
    if not periodic:
        return torch.cos(math.pi * queries[:, None] * torch.arange(size, dtype=torch.float64))
    angle = 2 * math.pi * (queries[:, None] - 0.5 / size)  # the last cosine peaks at the points
    cosines = torch.cos(angle * torch.arange(size // 2 + 1, dtype=torch.float64))
    sines = torch.sin(angle * torch.arange(1, (size + 1) // 2, dtype=torch.float64))
    return torch.cat([cosines, sines], 1)


def spectral_matrix(
    size: int, queries: Float[Tensor, " query"], periodic: bool
) -> Float[Tensor, "query size"]:
    """The smoothest waves through the points, at the queries.

    On a periodic axis this is Fourier interpolation (zero padding), else the same of the even
    extension.
    """
    return torch.linalg.solve(
        _waves(size, centres(size), periodic), _waves(size, queries, periodic), left=False
    )


def deconvolution_matrix(size: int, coarse: int, periodic: bool) -> Float[Tensor, "size coarse"]:
    """The smoothest waves that have given averages over coarse cells, on a grid.

    ``B (A B)^-1`` with averages A and waves B: exact for every field that the coarse grid can bear.

    Args:
        size: Points of the grid.
        coarse: Cells, at most as many.
        periodic: Whether the axis wraps.
    """
    waves = _waves(coarse, centres(size), periodic)
    return torch.linalg.solve(averaging_matrix(size, coarse) @ waves, waves, left=False)


def lost_part(values: Float[Tensor, "..."], shape: Sequence[int]) -> Float[Tensor, "..."]:
    """What averages over coarse cells do not see: ``u - A^+ A u``, orthogonal to the rest.

    Args:
        values: Any leading axes.
        shape: Coarse points per axis.
    """
    projections = []
    for size, coarse in zip(values.shape[values.ndim - len(shape) :], shape, strict=True):
        average = averaging_matrix(size, coarse)
        projections.append(torch.linalg.pinv(average) @ average)
    return values - along_axes(values, projections)


def with_averages(
    values: Float[Tensor, "..."], averages: Float[Tensor, "..."], num_dims: int
) -> Float[Tensor, "..."]:
    """The nearest values that have given averages over coarse cells: ``u + A^+ (a - A u)``.

    No field with these averages is further from the result than from ``values``.

    Args:
        values: Any leading axes, then space.
        averages: The same, on the coarse grid.
        num_dims: Space axes.
    """
    sizes = zip(values.shape[-num_dims:], averages.shape[-num_dims:], strict=True)
    matrices = [averaging_matrix(*pair) for pair in sizes]
    missing = averages - along_axes(values, matrices)
    return values + along_axes(missing, [torch.linalg.pinv(matrix) for matrix in matrices])


Interpolation = Callable[[int, Tensor, bool], Tensor]


def resample(
    values: Float[Tensor, "..."],
    shape: Sequence[int],
    periodic: Sequence[bool],
    interpolation: Interpolation = cubic_matrix,
) -> Float[Tensor, "..."]:
    """Values on a grid of another size.

    Args:
        values: Any leading axes.
        shape: New points per axis.
        periodic: Which axes wrap.
        interpolation: One of the matrices of this module.
    """
    sizes = values.shape[values.ndim - len(shape) :]
    matrices = [
        interpolation(old, centres(new), wraps)
        for old, new, wraps in zip(sizes, shape, periodic, strict=True)
    ]
    return along_axes(values, matrices)
