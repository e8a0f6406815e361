"""Velocities and their axes."""

import pytest
import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import RecipeError
from tests.data.checks.planting import clean, findings, only


def stream(num_points=48, num_frames=6):
    """Moving eddies, ``[time, x, y]``."""
    x = 2 * torch.pi * torch.arange(num_points) / num_points
    phase = 0.3 * torch.arange(num_frames)[:, None, None]
    x, y = x[:, None], x
    waves = ((1.0, 2, 1, -1), (0.3, 0, 3, 1), (0.6, 1, -2, 1), (0.2, 1, 0, -1))
    return sum(a * torch.sin(k * x + m * y + s * phase) for a, k, m, s in waves)


def flow(scheme="central", *, transposed=False):
    psi, h = stream(), 1 / 48
    if scheme == "central":
        u, v = psi.roll(-1, 2) - psi.roll(1, 2), psi.roll(1, 1) - psi.roll(-1, 1)
    else:  # on the lower faces of the cells
        u, v = 2 * (psi.roll(-1, 2) - psi), 2 * (psi - psi.roll(-1, 1))
    fields = torch.stack((u, v), 1) / (2 * h)
    if transposed:
        fields = fields.transpose(2, 3)
    times = torch.arange(len(fields), dtype=torch.float64)
    names = ("velocity_x", "velocity_y")
    trajectory = Trajectory(fields, names, Grid.regular((48, 48)), times)
    return MemoryCollection(
        [trajectory, Trajectory(fields.flip(0) * 2, names, trajectory.grid, times)]
    )


@pytest.mark.parametrize("scheme", ["central", "staggered"])
def test_an_incompressible_flow_is_one(scheme):
    assert findings(flow(scheme), incompressible=True) == []


def test_exchanged_axes_are_found_without_being_told_anything():
    found = only(flow(transposed=True), "transposed_axes")
    assert found.severity == "warning"


def with_sources():
    data = list(flow())
    for trajectory in data:
        trajectory.fields[:, 0] *= 4.0
    return MemoryCollection(data)


def test_divergence_is_found_where_it_is_claimed_to_be_zero():
    assert only(with_sources(), "divergence", incompressible=True).severity == "warning"
    assert findings(with_sources()) == []


def test_the_claim_needs_velocities():
    with pytest.raises(RecipeError, match=r"needs fields velocity_x, velocity_y.*density"):
        findings(clean(), incompressible=True)
