"""What all steady families do: one frame, exact for the discrete equation, stored with its data."""

import numpy as np
import pytest
import torch

from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.sample import solve_samples
from pdefm.pdes.steady import TOLERANCE
from tests.pdes.steady_problems import solved

STEADY = ["darcy", "darcy_high_contrast", "darcy_two_phase", "helmholtz", "poisson"]


@pytest.mark.parametrize("family", STEADY)
def test_the_residual_of_a_sample_is_at_the_solvers_tolerance(family):
    """The residual is made of torch operations, the solver's matrix is not."""
    pde = PDES[family]()
    solution, parameters = solved(pde, 3)
    residual = pde.residual(solution.fields, parameters, solution.grid, solution.times)
    assert residual.shape == solution.fields.shape
    shaken = solution.fields * (1 + 1e-3 * torch.randn_like(solution.fields))
    size = pde.residual(shaken, parameters, solution.grid, solution.times).norm()
    assert residual.norm() < 1e-3 * size * 1e-3
    assert residual.norm() < 100 * TOLERANCE * parameters["source"].abs().max() * 1024**0.5


@pytest.mark.parametrize("family", STEADY)
def test_the_residual_is_differentiable_in_the_solution_and_the_coefficients(family):
    pde = PDES[family]()
    solution, parameters = solved(pde, 1, resolution=8)
    point = {"states": solution.fields + 0.1} | parameters

    def size(moved):
        others = {name: moved[name] for name in parameters}
        return pde.residual(moved["states"], others, solution.grid, solution.times).square().sum()

    leaves = {name: value.clone().requires_grad_() for name, value in point.items()}
    size(leaves).backward()
    generator = torch.Generator().manual_seed(0)
    for name in ("states", *solution.constants):
        noise = torch.randn(point[name].shape, dtype=torch.float64, generator=generator)
        step = 1e-6 * noise * point[name].abs().mean()
        change = size(point | {name: point[name] + step}) - size(point | {name: point[name] - step})
        slope = float(2 * (leaves[name].grad * step).sum())
        assert slope == pytest.approx(float(change), rel=1e-5), name


@pytest.mark.parametrize("family", STEADY)
def test_a_sample_is_the_same_alone_and_in_a_batch(family):
    pde = PDES[family]()
    arguments = {"resolution": 16, "num_frames": 1, "seed": 1}
    whole = solve_samples(pde, 4, **arguments)
    part = solve_samples(PDES[family](), 2, first_index=2, micro_batch=1, **arguments)
    assert torch.equal(whole.fields[2:], part.fields)
    for name, values in whole.constants.items():
        assert torch.equal(values[2:], part.constants[name])


@pytest.mark.parametrize("family", STEADY)
def test_more_than_one_frame_is_refused(family):
    with pytest.raises(RecipeError, match=f"{family} is steady .*num_frames: 1"):
        solve_samples(PDES[family](), 1, resolution=8, num_frames=2, seed=0)


def test_a_stored_sample_is_one_frame_with_its_coefficients_and_measures(tmp_path):
    generate(
        "darcy_high_contrast",
        num_trajectories=2,
        resolution=64,
        num_frames=1,
        seed=0,
        out=tmp_path,
    )
    trajectory = open_trajectories(tmp_path)[1]
    assert trajectory.fields.shape == (1, 1, 64, 64)
    assert trajectory.constant_names == ("permeability", "source")
    assert set(trajectory.parameters) == {"variance", "contrast", "roughness"}
    values = trajectory.constants[0].numpy()
    assert trajectory.parameters["contrast"] == pytest.approx(values.max() / values.min(), rel=1e-6)
    jumps = [np.abs(np.diff(np.log(values), axis=axis)).sum(axis).mean() for axis in range(2)]
    assert trajectory.parameters["roughness"] == pytest.approx(np.mean(jumps), rel=1e-5)


def test_a_system_that_is_not_solved_is_reported_not_stored():
    pde = PDES["darcy"](solver="direct")
    sample = {"permeability": np.full((8, 8), np.nan), "source": 1.0}
    assert "was not solved" in pde.solve_steady([sample], pde.grid(8)).faults[0]
