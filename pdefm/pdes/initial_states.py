"""Random smooth fields for initial states."""

from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid

MAX_MODE = 12


def random_periodic_field(
    grid: Grid, rng: np.random.Generator, *, peak_mode: float, sharpness: float = 4.0
) -> Float[Tensor, "*space"]:
    """Gaussian random field of zero mean and unit mean square, from modes up to ``MAX_MODE``.

    ``f(x) = Re sum_m a(|m|) z_m exp(2 pi i m.x / extent)`` with ``z_m`` complex normal. The
    energy of the shell ``|m| = r peak`` is ``a^2 r^(dim - 1) = r^s exp(-s r^2 / 2)``, largest at
    ``r = 1``, where ``s`` is the sharpness.

    The coefficients do not depend on the grid, so a seed gives the same function at any
    resolution that holds its modes; those beyond the 2/3 cut of a coarse grid are left out.

    Args:
        grid: Periodic.
        rng: Source of the coefficients; a fixed number of draws is used up.
        peak_mode: Number of waves across the box of the strongest modes.
        sharpness: Larger means closer to a single length scale; at least ``dim - 1``.

    Returns:
        float64, dimensionless.
    """
    modes = np.arange(-MAX_MODE, MAX_MODE + 1)
    shape = (len(modes),) * grid.num_dims
    mesh = np.stack(np.meshgrid(*[modes] * grid.num_dims, indexing="ij"))
    radius = np.sqrt((mesh**2).sum(0)) / peak_mode
    slope = (sharpness - grid.num_dims + 1) / 2
    amplitude = radius**slope * np.exp(-(radius**2) * sharpness / 4)
    weight = amplitude * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    # Modes m and -m share one wave, whose coefficient is (c_m + conj c_-m) / 2.
    wave = (weight + np.conj(np.flip(weight))) / 2
    wave[(MAX_MODE,) * grid.num_dims] = 0
    wave /= np.sqrt((np.abs(wave) ** 2).sum())
    return sum_of_modes(wave, modes, grid)


def sum_of_modes(
    coefficients: np.ndarray, modes: np.ndarray, grid: Grid
) -> Float[Tensor, "*space"]:
    """``Re sum_m c_m exp(2 pi i m.x / extent)``, without modes beyond the 2/3 cut of the grid.

    Args:
        coefficients: One for each combination of ``modes``, an axis a space axis.
        modes: Waves across the box, the same along every axis.
        grid: Periodic.

    Returns:
        float64.
    """
    values = coefficients.copy()
    for i, num_points in enumerate(grid.shape):
        values[(slice(None),) * i + (3 * np.abs(modes) >= num_points,)] = 0
    for num_points in grid.shape:
        angle = 2 * pi * np.outer(modes, np.arange(num_points)) / num_points
        values = np.tensordot(values, np.exp(1j * angle), axes=(0, 0))
    return torch.from_numpy(np.real(values).copy())


def waves_of_one_size(
    grid: Grid,
    rng: np.random.Generator,
    *,
    peak_mode: tuple[float, float],
    amplitude: tuple[float, float],
) -> Float[Tensor, "1 *space"]:
    """A random periodic field as the one channel of a state.

    Args:
        grid: Periodic.
        rng: The only source of randomness.
        peak_mode: Range of the number of waves across the box.
        amplitude: Range of the root mean square, in units of the field.

    Returns:
        float64.
    """
    peak, height = rng.uniform(*peak_mode), rng.uniform(*amplitude)
    return height * random_periodic_field(grid, rng, peak_mode=peak)[None]


def random_pulses(
    grid: Grid, rng: np.random.Generator, *, num_pulses: int, width: float
) -> Float[Tensor, "*space"]:
    """Sum of bumps of height 1 at random places, the same function at any resolution.

    ``exp(sum_i (cos(2 pi (x_i - a_i) / extent_i) - 1) / (2 pi width)^2)``: a Gaussian of standard
    deviation ``width * extent`` that is periodic.

    Args:
        grid: Periodic.
        rng: Source of the places.
        num_pulses: How many.
        width: As a part of the box.

    Returns:
        float64, dimensionless.
    """
    total = np.zeros(grid.shape)
    for place in rng.uniform(0, 1, size=(num_pulses, grid.num_dims)):
        exponents = [
            np.cos(2 * pi * (np.arange(n) / n - a)) - 1
            for n, a in zip(grid.shape, place, strict=True)
        ]
        total += np.exp(sum(np.ix_(*exponents)) / (2 * pi * width) ** 2)
    return torch.from_numpy(total)


def random_walled_field(
    grid: Grid, rng: np.random.Generator, *, peak_mode: float, num_modes: int = 2 * MAX_MODE
) -> Float[Tensor, "*space"]:
    """Gaussian random field of zero slope at the walls, zero mean, unit mean square on average.

    A sum of ``cos(m pi x / extent)`` products whose energy is largest at ``|m| = peak_mode``. The
    coefficients do not depend on the grid, so a seed gives the same function at any resolution.

    Args:
        grid: Cell centres.
        rng: Source of the coefficients; a fixed number of draws is used up.
        peak_mode: Half waves across the box of the strongest modes.
        num_modes: Per axis.

    Returns:
        float64, dimensionless.
    """
    places = [(axis.coordinates() - axis.origin) / axis.extent for axis in grid.axes]
    waves = [np.cos(pi * np.outer(np.arange(num_modes), place)) for place in places]
    return _random_waves(waves, rng, peak_mode)


def random_stream_function(
    grid: Grid, rng: np.random.Generator, *, peak_mode: float, num_modes: int = 2 * MAX_MODE
) -> Float[Tensor, "*space"]:
    """As ``random_walled_field`` but of sines, zero at the walls, and at the corners of the cells.

    Args:
        grid: Cell centres; the result has one point more per axis.
        rng: Source of the coefficients; a fixed number of draws is used up.
        peak_mode: Half waves across the box of the strongest modes.
        num_modes: Per axis.

    Returns:
        float64, dimensionless.
    """
    places = [np.arange(n + 1) / n for n in grid.shape]
    waves = [np.sin(pi * np.outer(np.arange(num_modes), place)) for place in places]
    return _random_waves(waves, rng, peak_mode)


def _random_waves(
    waves: list[np.ndarray], rng: np.random.Generator, peak_mode: float
) -> Float[Tensor, "*points"]:
    """Sum of products of waves ``[mode, point]`` with random weights; see the callers."""
    shape = tuple(len(wave) for wave in waves)
    squared = sum(np.ix_(*[(np.arange(n) / peak_mode) ** 2 for n in shape]))
    # Energy per shell r^4 exp(-2 r^2), as in random_periodic_field with sharpness 4.
    amplitude = np.asarray(squared) ** ((5 - len(shape)) / 4) * np.exp(-np.asarray(squared))
    amplitude[(0,) * len(shape)] = 0.0
    amplitude *= 2 ** (len(shape) / 2) / np.linalg.norm(amplitude)
    values = amplitude * rng.standard_normal(shape)
    for wave in waves:
        values = np.tensordot(values, wave, axes=(0, 0))
    return torch.from_numpy(values.copy())
