"""Index arithmetic of training samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdefm.data.windows import WindowIndex
from pdefm.errors import DataError

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=6)
FRAMES = st.integers(1, 4)


@given(LENGTHS, FRAMES, FRAMES, st.integers(1, 5))
def test_windows_are_all_there_once_and_inside_one_trajectory(lengths, history, horizon, stride):
    expected = [
        (trajectory, start, start + history + horizon, 1)
        for trajectory, length in enumerate(lengths)
        for start in range(0, length - history - horizon + 1, stride)
    ]
    if not expected:
        with pytest.raises(DataError):
            WindowIndex(lengths, history=history, horizon=horizon, stride=stride)
        return
    index = WindowIndex(lengths, history=history, horizon=horizon, stride=stride)
    assert [index.locate(i) for i in range(len(index))] == expected


@given(st.integers(2, 50), st.integers(1, 10))
def test_the_count_follows_its_formula(num_frames, stride):
    index = WindowIndex([num_frames] * 3, history=1, horizon=1, stride=stride)
    assert len(index) == 3 * (1 + (num_frames - 2) // stride)


def test_a_trajectory_that_is_too_short_is_skipped():
    index = WindowIndex([3, 2, 4], history=2, horizon=1)
    assert [index.locate(i) for i in range(3)] == [(0, 0, 3, 1), (2, 0, 3, 1), (2, 1, 4, 1)]


@pytest.mark.parametrize("window", [-1, 2])
def test_a_window_outside_is_refused(window):
    with pytest.raises(IndexError):
        WindowIndex([4], history=2, horizon=1).locate(window)


@pytest.mark.parametrize("lengths", [[], [4, 3]])
def test_too_few_frames_are_one_line(lengths):
    with pytest.raises(DataError, match=r"sea: too few frames for history 4 \+ horizon 1") as found:
        WindowIndex(lengths, history=4, horizon=1, source="sea")
    assert "\n" not in str(found.value)
    assert f"of {len(lengths)} trajectories" in str(found.value)


@given(LENGTHS, FRAMES, FRAMES, st.lists(st.integers(1, 4), min_size=1, unique=True))
def test_strided_windows_are_all_there_once(lengths, history, horizon, time_strides):
    size = history + horizon
    expected = {
        (trajectory, *range(start, start + size * step, step))
        for trajectory, length in enumerate(lengths)
        for step in time_strides
        for start in range(length)
        if start + (size - 1) * step < length
    }
    if not expected:
        return
    index = WindowIndex(lengths, history=history, horizon=horizon, time_strides=time_strides)
    windows = [index.locate(i) for i in range(len(index))]
    found = [(w.trajectory, *range(w.start, w.stop, w.time_stride)) for w in windows]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_windows_of_a_group_name_the_trajectories_of_the_collection():
    index = WindowIndex([3, 4], history=2, horizon=1, indices=[5, 9])
    assert [index.locate(i).trajectory for i in range(3)] == [5, 9, 9]
