"""Steady problems with a given coefficient, for tests."""

import numpy as np

from pdefm.pdes.darcy import Darcy


def darcy_system(permeability, source=1.0):
    """``-div(a grad u) = f`` with ``u = 0`` on the walls of the unit square."""
    sample = {"permeability": np.asarray(permeability), "source": source}
    return Darcy().system(sample, Darcy().grid(permeability.shape))


def cell_centres(num_points):
    """``x`` and ``y`` of a square grid, ``[n, n]`` each."""
    middle = (np.arange(num_points) + 0.5) / num_points
    return np.meshgrid(middle, middle, indexing="ij")


def orders(errors):
    """Observed orders of errors on grids, each twice as fine as the one before."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def solved(pde, num_samples, resolution=32, seed=0):
    """Samples in float64, and all their parameters and coefficient fields."""
    import torch

    from pdefm.pdes.sample import solve_samples

    solution = solve_samples(
        pde, num_samples, resolution=resolution, num_frames=1, seed=seed, dtype=torch.float64
    )
    return solution, solution.parameters | solution.constants
