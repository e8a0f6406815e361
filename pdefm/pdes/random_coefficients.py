"""Random coefficient fields of steady problems, and numbers that say how hard they are."""

from math import pi, sqrt

import numpy as np

from pdefm.domain import Grid

NUM_MODES = 64
LATTICE_SIZE = 64
COVARIANCES = ("cubic", "exponential", "gaussian")


def cosine_random_field(
    grid: Grid, rng: np.random.Generator, *, inverse_length: float, num_modes: int = NUM_MODES
) -> np.ndarray:
    """Gaussian random field of covariance ``(-Lap + inverse_length^2)^-2``, zero flux at walls.

    Zero mean and a mean square of 1 on average, from ``num_modes`` cosines an axis. The
    coefficients do not depend on the grid, so a seed gives the same function at any resolution.

    Args:
        grid: Two-dimensional.
        rng: Source of the coefficients; a fixed number of draws is used up.
        inverse_length: In waves of half a period over ``pi`` across the box.
        num_modes: Per axis.

    Returns:
        ``[nx, ny]``, dimensionless.
    """
    mode = np.arange(num_modes)
    amplitude = 1 / (pi**2 * (mode[:, None] ** 2 + mode**2) + inverse_length**2)
    amplitude[0, 0] = 0.0
    weight = amplitude / np.linalg.norm(amplitude) * rng.standard_normal((num_modes, num_modes))
    for axis in grid.axes:
        wave = sqrt(2) * np.cos(pi * np.outer(mode, axis.coordinates() / axis.extent))
        wave[0] = 1.0
        weight = np.tensordot(weight, wave, axes=(0, 0))
    return weight


def lattice_random_field(
    rng: np.random.Generator,
    *,
    covariance: str,
    correlation_length: float,
    size: int = LATTICE_SIZE,
) -> np.ndarray:
    """Gaussian random field of unit variance on a lattice of ``size`` by ``size`` square blocks.

    Covariances of the distance ``d = r / correlation_length``: ``exp(-d)``; ``exp(-d^2)``; and
    ``1 - 7 d^2 + 35/4 d^3 - 7/2 d^5 + 3/4 d^7`` for ``d < 1``, else 0. Drawn exactly for a torus of
    twice the side, by Fourier transform, of which a quarter is used.

    Args:
        rng: Source of the coefficients; a fixed number of draws is used up.
        covariance: ``cubic``, ``exponential`` or ``gaussian``.
        correlation_length: In sides of the square.
        size: Blocks a side.

    Returns:
        ``[size, size]``.
    """
    steps = np.minimum(np.arange(2 * size), 2 * size - np.arange(2 * size)) / size
    distance = np.hypot(steps[:, None], steps) / correlation_length
    if covariance == "cubic":
        near = 1 - 7 * distance**2 + 8.75 * distance**3 - 3.5 * distance**5 + 0.75 * distance**7
        values = np.where(distance < 1, near, 0.0)
    else:
        values = np.exp(-distance if covariance == "exponential" else -(distance**2))
    spectrum = np.sqrt(np.maximum(np.fft.fft2(values).real, 0.0))
    noise = rng.standard_normal((2, 2 * size, 2 * size))
    field = np.fft.fft2(spectrum * (noise[0] + 1j * noise[1])) / (2 * size)
    return field.real[:size, :size].copy()


def on_cells(blocks: np.ndarray, grid: Grid) -> np.ndarray:
    """Value of the block in which every cell's centre lies.

    Args:
        blocks: ``[size, size]``, blocks that fill the grid's box.
        grid: Two-dimensional.
    """
    places = [
        np.minimum((axis.coordinates() / axis.extent * size).astype(int), size - 1)
        for axis, size in zip(grid.axes, blocks.shape, strict=True)
    ]
    return blocks[np.ix_(*places)]


def contrast(coefficient: np.ndarray) -> float:
    """Largest over smallest value."""
    return float(coefficient.max() / coefficient.min())


def roughness(coefficient: np.ndarray, grid: Grid) -> float:
    """Mean total variation of ``log a`` along a line across the box, averaged over the axes.

    How much the coefficient changes on the way, whereas the contrast only knows the two extremes.
    """
    return float(
        np.mean(
            [
                np.abs(np.diff(np.log(coefficient), axis=axis)).sum(axis).mean()
                for axis in range(grid.num_dims)
            ]
        )
    )
