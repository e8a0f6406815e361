"""Walls: as good as a mirror image beyond them, tight, and without friction."""

import pytest
import torch

from pdefm.pdes import PDES
from pdefm.pdes.euler import Euler
from pdefm.pdes.shallow_water import ShallowWater
from tests.pdes.gas_and_water import mirrored
from tests.pdes.oracles import drawn_batch

PERIODIC = {"euler_walls": Euler, "shallow_water_walls": ShallowWater}


@pytest.mark.parametrize("family", sorted(PERIODIC))
def test_a_box_is_a_quarter_of_a_periodic_box_of_mirror_images(family):
    class Mirrors(PERIODIC[family]):
        """The periodic family in a box of twice the size."""

        extent = (2.0, 2.0)

    pde, whole = PDES[family](num_substeps=12), Mirrors(num_substeps=12)
    initial, parameters, grid = drawn_batch(pde, 16, 1)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    state = mirrored(mirrored(initial[0], pde.vector_start, 0), pde.vector_start, 1)
    fields = {
        name: torch.cat((value, value.flip(1)), 1)
        for name, value in parameters.items()
        if value.ndim > 1
    }
    fields = {name: torch.cat((value, value.flip(2)), 2) for name, value in fields.items()}
    large = whole.solve(state[None], {**parameters, **fields}, whole.grid(32), times)
    small = pde.solve(initial, parameters, grid, times)
    torch.testing.assert_close(large[..., :16, :16], small, rtol=0, atol=1e-12)


def test_a_closed_box_keeps_mass_and_energy_to_rounding():
    pde = PDES["euler_walls"]()
    initial, parameters, grid = drawn_batch(pde, 24, 2)
    times = torch.arange(8, dtype=torch.float64) * pde.dt
    values = pde.invariants(pde.solve(initial, parameters, grid, times), parameters, grid)
    assert set(values) == {"mass", "energy"}
    for value in values.values():
        assert (value - value[:, :1]).abs().max() < 1e-13
