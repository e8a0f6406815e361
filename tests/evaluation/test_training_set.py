"""Nothing that is measured on is trained on."""

import pytest
import torch

from pdefm.data.collection import MemoryCollection, Subset
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.training_set import BaselineOrder, TrainingSet, first_trajectories
from tests.tiny import waves


def sea(seed, names=("height",)):
    grid, times = Grid.regular((8, 8)), torch.arange(5) * 0.5
    fields = waves(3, 5, len(names), 8, 8, seed=seed)
    return MemoryCollection([Trajectory(torch.from_numpy(f), names, grid, times) for f in fields])


def test_different_samples_are_welcome():
    assert len(TrainingSet("sea", sea(0), sea(1)).train) == 3


def test_one_trajectory_in_both_is_refused():
    both = MemoryCollection([*sea(1), sea(0)[2]])
    with pytest.raises(DataError, match=r"sea: baselines would be measured.*in both"):
        TrainingSet("sea", sea(0), both)


def test_trajectories_that_only_start_alike_are_not_one():
    first = sea(0)[0]
    fields = first.fields.clone()
    fields[1:] *= 0.5
    other = Trajectory(fields, first.names, first.grid, first.times)
    TrainingSet("sea", MemoryCollection([first]), MemoryCollection([other]))


def test_other_fields_are_refused():
    with pytest.raises(DataError, match="same fields: got height for salt"):
        TrainingSet("sea", sea(0), sea(1, ("salt",)))


def test_the_first_so_many_are_taken():
    whole = sea(0)
    assert first_trajectories(whole, None) is whole
    assert first_trajectories(whole, 9) is whole
    few = first_trajectories(whole, 2)
    assert isinstance(few, Subset)
    assert [torch.equal(few[i].fields, whole[i].fields) for i in range(len(few))] == [True, True]


def test_a_label_that_is_taken_is_refused():
    order = BaselineOrder(("fno", "unet"), lambda data, subject: {})
    order.check_labels(["model", "mine"])
    with pytest.raises(RecipeError, match="one label: got unet"):
        order.check_labels(["model", "unet"])
