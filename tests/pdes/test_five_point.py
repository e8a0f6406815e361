"""Sparse five-point systems: the matrix, its order and its direct solution."""

import numpy as np
import pytest

from pdefm.pdes.five_point import FivePointSystem, elimination_order

SHAPES = [(8, 8), (9, 14), (32, 5)]


def random_system(shape, dtype=np.float64, seed=0):
    """Diagonally dominant, with random couplings."""
    rng = np.random.default_rng(seed)

    def draw(nx, ny):
        values = rng.uniform(0.5, 2.0, (nx, ny))
        return values + 1j * rng.uniform(0, 0.1, (nx, ny)) if dtype == np.complex128 else values

    nx, ny = shape
    return FivePointSystem(
        draw(nx, ny) + 8.0, draw(nx - 1, ny), draw(nx, ny - 1), draw(nx, ny).astype(dtype)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_every_cell_is_eliminated_once(shape):
    assert sorted(elimination_order(shape)) == list(range(shape[0] * shape[1]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_matrix_does_what_apply_does_and_is_symmetric(shape, dtype):
    system = random_system(shape, dtype)
    values = np.random.default_rng(1).standard_normal(shape)
    order = elimination_order(shape)
    matrix = system.matrix()
    np.testing.assert_allclose(
        matrix @ values.ravel()[order], system.apply(values).ravel()[order], rtol=1e-13
    )
    assert abs(matrix - matrix.T).max() == 0
    assert matrix.nnz == 5 * values.size - 2 * sum(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_direct_solution_is_exact_to_rounding(shape, dtype):
    system = random_system(shape, dtype)
    solution = system.solve()
    assert system.relative_residual(solution) < 1e-14
    assert solution.dtype == dtype
    np.testing.assert_array_equal(solution, system.solve(system.factorise()))


def test_a_solution_that_is_not_finite_has_an_infinite_residual():
    system = random_system((8, 8))
    assert system.relative_residual(np.full((8, 8), np.nan)) == float("inf")


def test_the_order_keeps_the_factors_sparse():
    """Row by row, the factors of 64 x 64 cells would hold 2 * 64^3 numbers."""
    assert random_system((64, 64)).factorise().lu.nnz < 0.4 * 2 * 64**3
