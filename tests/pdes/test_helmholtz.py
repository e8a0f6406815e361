"""Helmholtz: a manufactured solution, reciprocity, the balance of power, convergence."""

import numpy as np
import pytest
import torch

from pdefm.pdes.helmholtz import Helmholtz
from tests.pdes.steady_problems import cell_centres, orders, solved

FREQUENCY = 12.0


def rough_speed(num_points=32, seed=0):
    return 1 + 0.3 * np.tanh(np.random.default_rng(seed).standard_normal((num_points, num_points)))


def system(speed, source):
    pde = Helmholtz()
    sample = {"speed": speed, "source": source, "angular_frequency": FREQUENCY}
    return pde.system(sample, pde.grid(speed.shape))


def test_a_manufactured_wave_is_met_with_second_order():
    """``u = p(x) p(y)``, ``p(s) = exp(i k (s^2 - s))`` leaves through all walls as it should."""
    errors, k = [], 5.0
    for n in (32, 64, 128):
        x, y = cell_centres(n)
        u = np.exp(1j * k * (x**2 - x + y**2 - y))
        slope = (2 * x - 1) ** 2 + (2 * y - 1) ** 2
        source = -(4j * k - k**2 * slope) * u - k**2 * u
        solution = system(np.full((n, n), FREQUENCY / k), source).solve()
        errors.append(np.abs(solution - u).max())
    assert errors[0] < 2e-2
    assert np.all(np.abs(orders(errors) - 2) < 0.1)


def test_source_and_receiver_can_be_exchanged():
    speed, here, there = rough_speed(), (4, 9), (27, 20)
    heard = []
    for source_at, receiver_at in ((here, there), (there, here)):
        source = np.zeros((32, 32))
        source[source_at] = 1.0
        heard.append(system(speed, source).solve()[receiver_at])
    assert abs(heard[0] - heard[1]) < 1e-10 * abs(heard[0])
    assert abs(heard[0]) > 0


def test_the_power_of_the_source_leaves_through_the_walls():
    """``-Im sum conj(u) f = sum over the walls of k |w|^2`` with the wall's value ``w``."""
    n = 32
    source = np.exp(-((cell_centres(n)[0] - 0.4) ** 2 + (cell_centres(n)[1] - 0.6) ** 2) / 0.005)
    speed = np.full((n, n), 1.3)
    u = system(speed, source).solve()
    k = FREQUENCY / 1.3
    wall = np.concatenate([u[0], u[-1], u[:, 0], u[:, -1]]) / (1 - 0.5j * k / n)
    leaving = (k * np.abs(wall) ** 2).sum() / n
    assert leaving > 0
    assert -(np.conj(u) * source).sum().imag / n**2 == pytest.approx(leaving, rel=1e-9)


def test_far_from_the_source_the_wave_has_the_free_wavenumber_and_decay():
    """The free wave of a point in two dimensions, ``i/4 H0(k r)``, up to what the walls reflect."""
    from scipy.special import hankel1

    n = 128
    pde = Helmholtz(
        parameter_ranges={
            "angular_frequency": 25.0,
            "speed_variation": 0.0,
            "source_x": 0.5,
            "source_y": 0.5,
            "source_width": 0.03,
        }
    )
    fields = solved(pde, 1, resolution=n)[0].fields[0, 0].numpy()
    x, y = cell_centres(n)
    distance = np.hypot(x - 0.5, y - 0.5)
    far = (distance > 0.15) & (distance < 0.4)
    # A Gaussian source radiates as a point does, times its transform at the wavenumber.
    free = 0.25j * hankel1(0, 25.0 * distance[far]) * np.exp(-((25.0 * 0.03) ** 2) / 2)
    found = (fields[0] + 1j * fields[1])[far]
    assert np.abs(found - free).max() < 0.35 * np.abs(free).max()
    assert abs(np.vdot(found, free)) > 0.98 * np.linalg.norm(found) * np.linalg.norm(free)


def test_samples_converge_with_the_grid():
    fields = [solved(Helmholtz(), 2, resolution=n)[0].fields[:, 0] for n in (32, 96)]
    reference = fields[1][..., 1::3, 1::3]
    assert (fields[0] - reference).norm() < 0.25 * reference.norm()


@pytest.mark.slow
def test_samples_converge_with_second_order():
    pde = Helmholtz(parameter_ranges={"source_width": 0.06})
    fields = [solved(pde, 2, resolution=n)[0].fields[:, 0] for n in (27, 81, 243)]
    errors = [
        (fields[0] - fields[2][..., 4::9, 4::9]).norm(),
        (fields[1][..., 1::3, 1::3] - fields[2][..., 4::9, 4::9]).norm(),
    ]
    assert errors[0] > 7 * errors[1]
    assert torch.isfinite(errors[0])
