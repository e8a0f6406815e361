"""Windows of one source become a batch."""

import dataclasses
import pickle
from dataclasses import replace

import pytest
import torch

from pdefm.data.batch import collate
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError


def window(seed: int, **changes: object) -> Trajectory:
    """Five frames of two channels on a 4 x 6 grid."""
    made = Trajectory(
        fields=torch.randn(5, 2, 4, 6, generator=torch.Generator().manual_seed(seed)),
        names=("a", "b"),
        grid=Grid.regular((4, 6), extent=(1.0, 2.0)),
        times=torch.arange(5) * 0.1 * (seed + 1),
        parameters={"viscosity": float(seed)},
        source=Source("run", seed),
    )
    return replace(made, **changes)


def test_history_and_target_are_the_frames_in_order():
    windows = [window(0), window(1), window(2)]
    batch = collate(windows, history=3, source="burgers")
    assert (len(batch.history), batch.names, batch.source) == (3, ("a", "b"), "burgers")
    for index, one in enumerate(windows):
        assert torch.equal(batch.history[index], one.fields[:3])
        assert torch.equal(batch.target[index], one.fields[3:])


def test_each_sample_keeps_its_own_step_extent_and_parameters():
    batch = collate([window(0), window(1, grid=Grid.regular((4, 6), extent=(3.0, 3.0)))], history=1)
    torch.testing.assert_close(batch.dt, torch.tensor([0.1, 0.2]))
    assert batch.extent.tolist() == [[1.0, 2.0], [3.0, 3.0]]
    assert batch.parameters["viscosity"].tolist() == [0.0, 1.0]
    assert batch.mask is None


def test_a_sample_without_a_mask_is_inside_everywhere():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    batch = collate([window(0), window(1, mask=mask)], history=1)
    assert batch.mask.sum((1, 2)).tolist() == [24, 0]


def test_constants_are_stacked_with_their_names():
    with_constants = {"constants": torch.ones(1, 4, 6), "constant_names": ("permeability",)}
    batch = collate([window(0, **with_constants), window(1, **with_constants)], history=1)
    assert batch.constants.shape == (2, 1, 4, 6)
    assert batch.constant_names == ("permeability",)


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("a", "c")},
        {"fields": torch.zeros(4, 2, 4, 6), "times": torch.arange(4.0)},
        {"fields": torch.zeros(5, 2, 6, 4), "grid": Grid.regular((6, 4))},
        {"boundary": uniform_boundary(BoundaryCondition.WALL, 2)},
    ],
)
def test_windows_that_differ_are_refused_by_their_source(changes):
    with pytest.raises(DataError, match=r"as run\[0\] has: got run\[1\]"):
        collate([window(0), window(1, **changes)], history=1)


def test_a_batch_moves_with_all_of_its_tensors():
    mask = torch.ones(4, 6, dtype=torch.bool)
    moved = collate([window(0, mask=mask)], history=1).to("meta")
    tensors = [moved.history, moved.target, moved.dt, moved.extent, moved.mask]
    tensors += moved.parameters.values()
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.names == ("a", "b")


def test_a_batch_comes_out_of_another_process_as_it_went_in():
    windows = [window(seed, parameters={"viscosity": float(seed)}) for seed in range(2)]
    batch = collate(windows, history=3, source="sea")
    found = pickle.loads(pickle.dumps(batch))
    for field in dataclasses.fields(batch):
        before, after = getattr(batch, field.name), getattr(found, field.name)
        if isinstance(before, torch.Tensor):
            assert before.dtype == after.dtype
            assert torch.equal(before, after), field.name
        elif field.name == "parameters":
            assert torch.equal(before["viscosity"], after["viscosity"])
        else:
            assert before == after
