"""Reference solutions of other solvers, and runs to compare with them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[1] / "golden" / "pdes"


def as_parameters(values, num_samples=1):
    """Scalars as float64 tensors ``[batch]``."""
    return {
        name: torch.full((num_samples,), value, dtype=torch.float64)
        for name, value in values.items()
    }


def oracle_errors(pde, case, parameters, dtype=torch.float64):
    """Largest absolute difference to the reference at each of its times."""
    reference = load_file(GOLDEN / f"{case}.safetensors")
    times = torch.cat([torch.zeros(1, dtype=torch.float64), reference["times"]])
    initial = reference["initial"][None].to(dtype)
    states = pde.solve(initial, as_parameters(parameters), pde.grid(64), times)
    assert states.dtype == dtype
    return (states[0, 1:].double() - reference["states"]).abs().flatten(1).amax(1)


def points(grid):
    """Coordinates of a grid, one tensor per axis."""
    return torch.meshgrid(*[torch.from_numpy(a.coordinates()) for a in grid.axes], indexing="ij")


def drawn_batch(pde, resolution, num_samples, seed=0, dtype=torch.float64):
    """Initial states and parameters of some samples, and their grid."""
    grid = pde.grid(resolution)
    rng = np.random.default_rng(seed)
    drawn = [pde.sample_parameters(rng) for _ in range(num_samples)]
    initial = torch.stack([pde.initial_state(values, grid, rng) for values in drawn]).to(dtype)
    parameters = {
        name: torch.tensor([values[name] for values in drawn], dtype=torch.float64)
        for name in pde.parameter_ranges
    }
    return initial, parameters, grid
