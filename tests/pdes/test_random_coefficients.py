"""Random coefficient fields: their statistics, and the same function on every grid."""

import numpy as np
import pytest

from pdefm.domain import Grid
from pdefm.pdes.random_coefficients import (
    LATTICE_SIZE,
    contrast,
    cosine_random_field,
    lattice_random_field,
    on_cells,
    roughness,
)


def square(num_points):
    return Grid.regular((num_points, num_points), periodic=False)


def test_the_cosine_field_has_zero_mean_and_unit_mean_square_on_average():
    rng = np.random.default_rng(0)
    drawn = [cosine_random_field(square(64), rng, inverse_length=3.0) for _ in range(400)]
    assert np.abs(np.mean(drawn, axis=(1, 2))).max() < 1e-12
    assert np.mean(np.square(drawn)) == pytest.approx(1.0, abs=0.1)


def test_a_larger_inverse_length_makes_shorter_waves():
    grid, length = square(64), []
    for inverse_length in (3.0, 20.0):
        field = cosine_random_field(grid, np.random.default_rng(0), inverse_length=inverse_length)
        length.append(np.abs(np.diff(field, axis=0)).mean())
    assert length[1] > 2 * length[0]


def test_the_cosine_field_is_one_function_whatever_the_grid():
    coarse, fine = (
        cosine_random_field(square(n), np.random.default_rng(5), inverse_length=3.0)
        for n in (24, 72)
    )
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-12)


@pytest.mark.parametrize(
    ("covariance", "expected"),
    [("exponential", 0.535), ("gaussian", 0.677), ("cubic", 0.096)],
)
def test_the_lattice_field_has_the_covariance_of_its_name(covariance, expected):
    """At two blocks' distance, 0.625 correlation lengths of 0.05; two places to compare."""
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [
            lattice_random_field(rng, covariance=covariance, correlation_length=0.05)
            for _ in range(100)
        ]
    )
    assert np.mean(drawn**2) == pytest.approx(1.0, abs=0.03)
    assert np.mean(drawn[:, 2:] * drawn[:, :-2]) == pytest.approx(expected, abs=0.03)
    assert np.mean(drawn[..., 2:] * drawn[..., :-2]) == pytest.approx(expected, abs=0.03)


def test_a_finer_grid_repeats_the_blocks():
    blocks = np.random.default_rng(0).standard_normal((LATTICE_SIZE, LATTICE_SIZE))
    np.testing.assert_array_equal(on_cells(blocks, square(64)), blocks)
    np.testing.assert_array_equal(on_cells(blocks, square(128))[1::2, ::2], blocks)


def test_contrast_and_roughness_of_stripes():
    """Seven jumps by a factor of 10 along x, none along y."""
    coefficient = np.tile(np.repeat([1.0, 10.0], 4), 4)[:, None] * np.ones((32, 32))
    assert contrast(coefficient) == 10.0
    assert roughness(coefficient, square(32)) == pytest.approx(7 * np.log(10) / 2)
