"""Reference solutions of other solvers, and runs to compare with them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from pdefm.pdes.sample import stacked

GOLDEN = Path(__file__).parents[1] / "golden" / "pdes"


def as_parameters(values, num_samples=1):
    """Scalars as float64 tensors ``[batch]``, coefficient fields as ``[batch, *space]``."""
    return {
        name: torch.as_tensor(value, dtype=torch.float64).expand(num_samples, *shape_of(value))
        for name, value in values.items()
    }


def shape_of(value):
    """Space of a coefficient field; nothing for a scalar."""
    return value.shape if isinstance(value, torch.Tensor) else ()


def oracle_errors(pde, case, parameters, dtype=torch.float64):
    """Largest absolute difference to the reference at each of its times."""
    reference = load_file(GOLDEN / f"{case}.safetensors")
    times = torch.cat([torch.zeros(1, dtype=torch.float64), reference["times"]])
    initial = reference["initial"][None].to(dtype)
    grid = pde.grid(tuple(initial.shape[2:]))
    states = pde.solve(initial, as_parameters(parameters), grid, times)
    assert states.dtype == dtype
    return (states[0, 1:].double() - reference["states"]).abs().flatten(1).amax(1)


def largest_frame_error(states, reference):
    """Largest relative difference of a frame, in the norm over all its channels and points."""
    difference = (states - reference).flatten(2).norm(dim=-1)
    return float((difference / reference.flatten(2).norm(dim=-1)).max())


def assert_alone_as_together(pde, initial, parameters, grid, times):
    """Every sample of a batch has the bits and the fault that it has alone; returns the batch."""
    together = pde.integrate(initial, parameters, grid, times)
    for sample in range(len(initial)):
        own = {name: value[sample : sample + 1] for name, value in parameters.items()}
        alone = pde.integrate(initial[sample : sample + 1], own, grid, times)
        assert alone.faults == together.faults[sample : sample + 1]
        # A sample that blows up has no numbers after that.
        torch.testing.assert_close(
            alone.states[0], together.states[sample], rtol=0, atol=0, equal_nan=True
        )
    return together


def assert_single_precision_is_close(pde, initial, parameters, grid, times):
    """A run in float32 stays within 3e-5 of the same run in float64."""
    double = pde.solve(initial, parameters, grid, times)
    single = pde.solve(initial.float(), parameters, grid, times)
    assert single.dtype == torch.float32
    assert (single - double).abs().max() < 3e-5 * double.abs().max()


def points(grid):
    """Coordinates of a grid, one tensor per axis."""
    return torch.meshgrid(*[torch.from_numpy(a.coordinates()) for a in grid.axes], indexing="ij")


def drawn_batch(pde, resolution, num_samples, seed=0, dtype=torch.float64):
    """Initial states and parameters of some samples, and their grid."""
    grid = pde.grid(resolution)
    rng = np.random.default_rng(seed)
    drawn, initial = [], []
    for _ in range(num_samples):
        scalars = pde.sample_parameters(rng)
        drawn.append(scalars | pde.coefficients(scalars, grid, rng))
        initial.append(pde.initial_state(drawn[-1], grid, rng))
    return torch.stack(initial).to(dtype), stacked(drawn), grid
