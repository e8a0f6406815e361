import numpy as np
import pytest
import torch

from pdefm.data.augmentation import Augmentation
from pdefm.data.collection import MemoryCollection
from pdefm.data.mixture import Mixture, MixtureSource
from pdefm.data.shift import jitter_offsets, random_offsets, roll, shift_trajectory
from pdefm.data.trajectory import Trajectory
from pdefm.data.windows import WindowIndex
from pdefm.domain import Axis, Grid


def channel_trajectory(**more):
    """Periodic in x only."""
    grid = Grid((Axis("x", 6, periodic=True), Axis("y", 4, periodic=False)))
    fields = torch.arange(48.0).reshape(2, 1, 6, 4)
    return Trajectory(fields, ("u",), grid, torch.tensor([0.0, 1.0]), **more)


def test_only_periodic_axes_move():
    rng = np.random.default_rng(0)
    offsets = [random_offsets(rng, channel_trajectory().grid) for _ in range(100)]
    assert {y for _, y in offsets} == {0}
    assert {x for x, _ in offsets} == set(range(6))


def test_fields_mask_and_constants_move_together():
    mask = torch.zeros(6, 4, dtype=torch.bool)
    mask[0, 1] = True
    trajectory = channel_trajectory(
        mask=mask, constants=mask[None].float(), constant_names=("marker",)
    )
    moved = shift_trajectory(trajectory, (2, 0))
    assert bool(moved.mask[2, 1])
    assert int(moved.mask.sum()) == 1
    assert float(moved.constants[0, 2, 1]) == 1.0
    assert torch.equal(moved.fields[:, :, 2], trajectory.fields[:, :, 0])


def test_rolling_back_restores_the_values():
    values = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(roll(roll(values, (5, 3)), (-5, -3)), values)


def test_jitter_covers_the_grid_evenly():
    offsets = [jitter_offsets(step, (8, 8), (True, True)) for step in range(256)]
    counts = np.zeros((8, 8))
    for x, y in offsets:
        counts[x, y] += 1
    assert counts.min() >= 2
    assert counts.max() <= 6


@pytest.mark.parametrize("periodic", [(), (False, False)])
def test_jitter_stands_still_where_nothing_is_periodic(periodic):
    assert not any(jitter_offsets(7, (8, 8), periodic))


def shifting_mixture(seed=0, random_shift=True):
    grid = Grid.regular((8, 8))
    fields = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    trajectory = Trajectory(fields, ("u",), grid, torch.arange(6.0))
    windows = WindowIndex([6], history=2, horizon=1)
    moved = Augmentation(shift=random_shift)
    source = MixtureSource("s", MemoryCollection([trajectory]), (windows,), 1.0, moved)
    return Mixture([source], history=2, micro_batch_size=2, num_slots=2, seed=seed)


def test_shifts_are_a_function_of_seed_step_and_slot():
    first, second = shifting_mixture(), shifting_mixture()
    for step, slot in ((3, 1), (0, 0)):
        assert torch.equal(first.load(step, slot).history, second.load(step, slot).history)
    assert not torch.equal(first.load(0, 0).history, shifting_mixture(seed=1).load(0, 0).history)


def test_history_and_target_of_a_sample_move_by_the_same_offset():
    still, moved = shifting_mixture(random_shift=False), shifting_mixture()
    assert still.address(0, 0) == moved.address(0, 0)
    before, after = still.load(0, 0), moved.load(0, 0)
    candidates = [
        (x, y)
        for x in range(8)
        for y in range(8)
        if torch.equal(roll(before.history[0], (x, y)), after.history[0])
    ]
    assert len(candidates) == 1
    assert candidates != [(0, 0)]
    assert torch.equal(roll(before.target[0], candidates[0]), after.target[0])
