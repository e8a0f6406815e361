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
    for i, num_points in enumerate(grid.shape):
        wave[(slice(None),) * i + (3 * np.abs(modes) >= num_points,)] = 0
    values = wave
    for num_points in grid.shape:
        angle = 2 * pi * np.outer(modes, np.arange(num_points)) / num_points
        values = np.tensordot(values, np.exp(1j * angle), axes=(0, 0))
    return torch.from_numpy(np.real(values).copy())
