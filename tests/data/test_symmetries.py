"""Turned and moving observers see the same physics: checked with the solvers themselves."""

from itertools import product

import numpy as np
import pytest
import torch

from pdefm.data.augmentation import Augmentation
from pdefm.data.symmetries import (
    SignedPermutation,
    boost_trajectory,
    signed_permutations,
    turn_trajectory,
)
from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.sample import solve_samples

QUARTER = SignedPermutation((1, 0), (-1, 1))
MIRROR = SignedPermutation((0, 1), (-1, 1))


def solved(family, num_frames=3, resolution=16, **settings):
    pde = PDES[family](**settings)
    solution = solve_samples(
        pde, 1, resolution=resolution, num_frames=num_frames, seed=3, dtype=torch.float64
    )
    return pde, solution


def as_trajectory(solution, fields, grid):
    return Trajectory(
        fields, solution.names, grid, torch.arange(fields.shape[0], dtype=torch.float64)
    )


@pytest.mark.parametrize("symmetry", [QUARTER, MIRROR, SignedPermutation((1, 0), (1, 1))])
@pytest.mark.parametrize(
    "family", ["burgers", "euler", "navier_stokes_decaying", "gray_scott", "shallow_water"]
)
def test_the_equation_commutes_with_turning(family, symmetry):
    pde, solution = solved(family)
    parameters = {name: value.double() for name, value in solution.parameters.items()}
    states = solution.fields[0].double()  # [frame, channel, *space]
    original = as_trajectory(solution, states, solution.grid)
    turned = turn_trajectory(original, symmetry)

    def tendency(trajectory):
        n = trajectory.num_frames
        repeated = {k: v.expand(n, *v.shape[1:]) for k, v in parameters.items()}
        rate = pde.tendency(trajectory.fields, repeated, trajectory.grid)
        return as_trajectory(solution, rate, trajectory.grid)

    expected = turn_trajectory(tendency(original), symmetry).fields
    found = tendency(turned).fields
    scale = expected.abs().max()
    assert scale > 0
    assert (found - expected).abs().max() < 1e-6 * scale


def test_a_moving_observer_sees_a_solution_of_the_same_equation():
    pde, solution = solved("burgers", num_frames=4, resolution=64, dt=0.1)
    parameters = {name: value.double() for name, value in solution.parameters.items()}
    states = solution.fields[0].double()
    times = 0.1 * torch.arange(4, dtype=torch.float64)
    original = Trajectory(states, solution.names, solution.grid, times)
    boosted = boost_trajectory(original, (2, -1))
    again = pde.integrate(boosted.fields[:1], parameters, solution.grid, times).states[0]
    assert (again - boosted.fields).abs().max() < 1e-5 * boosted.fields.abs().max()
    speed = boosted.fields[0].mean((1, 2)) - states[0].mean((1, 2))
    spacing = solution.grid.axes[0].spacing
    assert torch.allclose(speed, torch.tensor([2.0, -1.0]).double() * spacing / 0.1)


def example(names, num_dims=2, **options):
    shape = (4, 6, 8)[:num_dims]
    fields = torch.randn(2, len(names), *shape, generator=torch.Generator().manual_seed(0))
    grid = Grid(tuple(Axis("xyz"[i], n, 1.0 + i) for i, n in enumerate(shape)))
    return Trajectory(fields, names, grid, torch.arange(2.0), **options)


def test_a_quarter_turn_moves_values_and_components_by_hand():
    window = example(("velocity_x", "velocity_y", "vorticity", "density"))
    turned = turn_trajectory(window, QUARTER)
    # x'_0 = -x_1, x'_1 = x_0: the new first axis is the old second one, reversed.
    assert turned.fields.shape == (2, 4, 6, 4)
    assert turned.grid.extent == (2.0, 1.0)
    assert turned.grid.names == ("x", "y")
    old, new = window.fields, turned.fields
    for i, j in product(range(6), range(4)):
        assert torch.equal(new[:, 0, i, j], -old[:, 1, j, 5 - i])
        assert torch.equal(new[:, 1, i, j], old[:, 0, j, 5 - i])
        assert torch.equal(new[:, 2, i, j], old[:, 2, j, 5 - i])
        assert torch.equal(new[:, 3, i, j], old[:, 3, j, 5 - i])
    mirrored = turn_trajectory(window, MIRROR)
    assert torch.equal(mirrored.fields[:, 2], -old[:, 2].flip(1))


def test_tensors_turn_in_both_indices():
    window = example(("stress_xx", "stress_xy", "stress_yx", "stress_yy"))
    new, old = turn_trajectory(window, MIRROR).fields, window.fields.flip(2)
    assert torch.equal(new, old * torch.tensor([1.0, -1, -1, 1]).view(1, 4, 1, 1))


def test_walls_masks_and_constants_turn_with_the_fields():
    wall, periodic = BoundaryCondition.WALL, BoundaryCondition.PERIODIC
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1, 2] = True
    window = example(
        ("a",),
        boundary=((wall, BoundaryCondition.OPEN), (periodic, periodic)),
        mask=mask,
        constants=mask[None].float(),
        constant_names=("c",),
    )
    turned = turn_trajectory(window, SignedPermutation((1, 0), (1, -1)))
    assert turned.boundary == ((periodic, periodic), (BoundaryCondition.OPEN, wall))
    assert turned.mask is not None
    assert turned.constants is not None
    assert turned.mask.nonzero().tolist() == [[2, 2]]
    assert turned.constants[0].nonzero().tolist() == [[2, 2]]


@pytest.mark.parametrize(("num_dims", "rotations", "group"), [(2, 4, 8), (3, 24, 48), (1, 1, 2)])
def test_the_groups_are_complete(num_dims, rotations, group):
    proper = signed_permutations(num_dims, rotations=True, reflections=False)
    assert len(set(proper)) == rotations
    assert len(set(signed_permutations(num_dims, rotations=True, reflections=True))) == group
    assert len(signed_permutations(num_dims, rotations=False, reflections=True)) == 2**num_dims


def test_a_lonely_component_is_refused():
    with pytest.raises(RecipeError, match="'velocity' lacks components"):
        Augmentation(rotation=True).check(example(("velocity_x", "density")), "mine")


def test_a_boost_needs_a_velocity_and_nothing_that_stands_still():
    good = example(("velocity_x", "velocity_y"))
    Augmentation(boost=1).check(good, "mine")
    for names in (("density",), ("velocity_x", "velocity_y", "energy")):
        with pytest.raises(RecipeError, match="mine: random_boost needs velocity_x"):
            Augmentation(boost=1).check(example(names), "mine")
    walls = uniform_boundary(BoundaryCondition.WALL, 2)
    axes = Grid.regular((4, 6), periodic=False)
    still = Trajectory(good.fields, good.names, axes, good.times, boundary=walls)
    with pytest.raises(RecipeError, match="needs a periodic axis"):
        Augmentation(boost=1).check(still, "mine")


def test_one_micro_batch_is_turned_as_one_and_the_seed_decides():
    windows = [example(("a",)) for _ in range(3)]
    every = Augmentation(shift=True, rotation=True, reflection=True)
    shapes = set()
    for seed in range(8):
        first, second = (every.apply(windows, np.random.default_rng(seed)) for _ in range(2))
        assert all(torch.equal(a.fields, b.fields) for a, b in zip(first, second, strict=True))
        assert len({window.grid.shape for window in first}) == 1
        shapes.add(first[0].grid.shape)
    assert shapes == {(4, 6), (6, 4)}
