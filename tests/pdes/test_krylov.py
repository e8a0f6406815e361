"""Conjugate gradients: the preconditioner, the subspace and what is harvested."""

import numpy as np
import pytest

from pdefm.pdes.krylov import FastPoisson, Subspace, deflated_cg, harvest
from tests.pdes.steady_problems import darcy_system


def dense(operator, shape):
    """Matrix of a linear function of ``[nx, ny]``."""
    units = np.eye(shape[0] * shape[1]).reshape(-1, *shape)
    return np.stack([operator(unit).ravel() for unit in units], axis=1)


def test_the_poisson_solver_is_the_laplacian_of_zero_walls_and_its_inverse():
    system = darcy_system(np.ones((12, 12)))
    near = FastPoisson(system)
    values = np.random.default_rng(0).standard_normal((12, 12))
    np.testing.assert_allclose(near.apply(values), system.apply(values), rtol=1e-10)
    np.testing.assert_allclose(near.solve(near.apply(values)), values, rtol=1e-10)


def test_with_a_high_contrast_it_is_scaled_and_stays_symmetric():
    rng = np.random.default_rng(0)
    near = FastPoisson(darcy_system(np.exp(rng.standard_normal((8, 8)) * 2)))
    assert near.scale.max() > 2 * near.scale.min()
    matrix = dense(near.apply, (8, 8))
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-9, atol=1e-9 * np.abs(matrix).max())
    np.testing.assert_allclose(dense(near.solve, (8, 8)) @ matrix, np.eye(64), atol=1e-9)


def test_conjugate_gradients_end_at_the_direct_solution():
    system = darcy_system(np.exp(np.random.default_rng(0).standard_normal((32, 32))))
    solution, count, kept = deflated_cg(system, FastPoisson(system), num_kept=3)
    exact = system.solve()
    assert 5 < count < 100
    assert system.relative_residual(solution) < 1e-11
    assert np.abs(solution - exact).max() < 1e-10 * np.abs(exact).max()
    assert kept.shape == (3, 32, 32)


def test_a_subspace_that_holds_the_solution_leaves_nothing_to_do():
    system = darcy_system(np.exp(np.random.default_rng(0).standard_normal((16, 16))))
    exact = system.solve()
    solution, count, _ = deflated_cg(
        system, FastPoisson(system), recycled=exact[None], tolerance=1e-10
    )
    assert count == 0
    np.testing.assert_allclose(solution, exact, rtol=1e-9)


def test_projected_directions_are_conjugate_to_the_subspace():
    rng = np.random.default_rng(0)
    system = darcy_system(np.exp(rng.standard_normal((16, 16))))
    space = Subspace(system, rng.standard_normal((4, 16, 16)))
    projected = space.project(rng.standard_normal((16, 16)))
    products = [np.vdot(v, system.apply(projected)) for v in space.vectors.reshape(-1, 16, 16)]
    assert np.abs(products).max() < 1e-8 * np.linalg.norm(system.apply(projected))


def test_harvest_finds_the_extreme_eigenvectors_of_a_space_that_holds_them():
    """A multiple of the Laplacian but for one cell: one eigenvalue of ``M^-1 A`` lies apart."""
    coefficient = np.ones((16, 16))
    coefficient[5:7, 8] = 1e-3
    system = darcy_system(coefficient)
    near = FastPoisson(darcy_system(np.ones((16, 16))))
    _, _, kept = deflated_cg(system, near, num_kept=16)
    found = harvest(system, near, kept, 2)
    values = np.linalg.eigvals(
        np.linalg.solve(dense(near.apply, (16, 16)), dense(system.apply, (16, 16)))
    )
    smallest = np.sort(values.real)[0]
    quotient = [np.vdot(v, system.apply(v)) / np.vdot(v, near.apply(v)) for v in found]
    assert np.vdot(found[0], system.apply(found[0])) == pytest.approx(1.0)
    assert min(quotient) == pytest.approx(smallest, rel=0.05)
