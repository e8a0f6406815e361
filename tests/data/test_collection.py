"""Collections without files."""

import pickle

import pytest
import torch

from pdefm.data.collection import Concatenation, MemoryCollection, Subset
from pdefm.errors import DataError


@pytest.fixture
def three(make_trajectory):
    return MemoryCollection([make_trajectory(seed, num_frames=4 + seed) for seed in range(3)])


def test_negative_indices_count_from_the_end_and_others_stop(three):
    assert three[-1].parameters["reynolds"] == 2.0
    assert [t.num_frames for t in three] == [4, 5, 6]
    for index in (3, -4):
        with pytest.raises(IndexError, match="has 3 trajectories"):
            three[index]


def test_reading_takes_only_the_asked_frames(three):
    part = three.read(1, 2, 4)
    assert torch.equal(part.fields, three[1].fields[2:4])
    assert three.read(1, 3).num_frames == 2


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (0, 9), (5, None)])
def test_frames_outside_a_trajectory_are_refused(three, start, stop):
    with pytest.raises(IndexError, match="frames"):
        three.read(1, start, stop)


def test_a_slice_is_a_collection(three):
    part = three[::-2]
    assert isinstance(part, Subset)
    assert [t.parameters["reynolds"] for t in part] == [2.0, 0.0]
    assert part.num_frames(0) == 6
    assert pickle.loads(pickle.dumps(part)).num_frames(1) == 4


def test_parts_follow_each_other(three, tmp_path):
    both = Concatenation([three, three[:1]], tmp_path)
    assert len(both) == 4
    assert [both.num_frames(i) for i in range(-4, 0)] == [4, 5, 6, 4]
    assert both.read(3, 1, 2).parameters["reynolds"] == 0.0
    assert both[2].parameters["reynolds"] == 2.0


def test_empty_parts_in_between_are_skipped(three, tmp_path):
    both = Concatenation([MemoryCollection([]), three, MemoryCollection([]), three], tmp_path)
    assert [both[i].parameters["reynolds"] for i in range(6)] == [0, 1, 2, 0, 1, 2]


def test_a_folder_of_different_formats_is_refused(three, tmp_path):
    other = MemoryCollection([])
    other.format = "well"
    with pytest.raises(DataError, match="one format: got memory"):
        Concatenation([three, other], tmp_path)
    with pytest.raises(DataError, match="got none"):
        Concatenation([], tmp_path)
