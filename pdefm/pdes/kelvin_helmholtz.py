"""Shear layers of a gas that roll up into billows."""

from collections.abc import Mapping
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.pdes.euler import Euler


class KelvinHelmholtz(Euler):
    """Compressible Euler equations from a stream between two others, periodic.

    ``U_t + F(U)_x + G(U)_y = 0`` as in ``Euler``. The band ``|y - 1/2| < 1/4`` moves against the
    rest of the box, with another density; the two layers in between are ``tanh`` profiles and their
    small waves grow, roll up and merge. Without viscosity the finest billows depend on the grid.
    Dimensionless.

    Source: smooth layers as in McNally, Lyra & Passy (2012), ApJS 201, 18.
    """

    name = "kelvin_helmholtz"
    solver_version = 1
    dt = 0.12

    def initial_state(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Layers of width 0.02 to 0.04, a speed difference of 1, a density ratio of 1 to 3."""
        x, y = (
            torch.from_numpy(axis.coordinates() / axis.extent).reshape(
                [-1 if j == i else 1 for j in range(2)]
            )
            for i, axis in enumerate(grid.axes)
        )
        width, ratio = rng.uniform(0.02, 0.04), rng.uniform(1.0, 3.0)
        pressure, drift = rng.uniform(0.6, 1.2), rng.uniform(-0.2, 0.2)
        inside = 0.5 * (torch.tanh((y - 0.25) / width) - torch.tanh((y - 0.75) / width))
        wave = torch.zeros(grid.shape, dtype=torch.float64)
        for centre in (0.25, 0.75):
            layer = torch.exp(-0.5 * ((y - centre) / (2 * width)).square())
            for mode in range(1, 5):
                phase, strength = rng.uniform(0, 2 * pi), rng.uniform(-1, 1)
                wave = wave + strength * torch.cos(2 * pi * mode * x + phase) * layer
        velocity_x = (inside - 0.5 + drift).expand(grid.shape)
        density = (1 + (ratio - 1) * inside).expand(grid.shape)
        return torch.stack(
            [density, torch.full_like(wave, pressure), velocity_x, rng.uniform(0.08, 0.2) * wave]
        )
