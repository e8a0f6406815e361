"""DPOT's own files: a folder of numbered ones or a single one, told by their shapes."""

import pickle

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats import hdf5_file
from pdefm.data.formats.dpot import DpotData
from pdefm.data.formats.dpot_layout import data_axes
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError, RecipeError
from tests.data.formats.write_dpot import (
    numbers,
    write_arrays,
    write_dpot_scattered,
    write_dpot_single,
    write_dpot_steady,
)


def letters(shape, numbered):
    return " ".join(data_axes(shape, numbered, "file").letters)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1000, 64, 64, 20), "N X Y T"),
        ((4800, 64, 64, 50), "N X Y T"),
        ((9017, 64, 64, 20, 3), "N X Y T C"),
        ((90, 128, 128, 128, 21, 5), "N X Y Z T C"),
        ((128, 128, 21, 4), "X Y T C"),
        ((128, 128, 101, 1), "X Y T C"),
        ((128, 128, 56, 3), "X Y T C"),
        ((64, 64, 20), "X Y T"),
    ],
)
def test_the_published_shapes_say_what_they_are(shape, axes):
    assert letters(shape, numbered=False) == axes


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((64, 64, 20), "X Y T"),
        ((128, 128, 21, 4), "X Y T C"),
        ((96, 192, 88, 5), "X Y T C"),
        ((64, 64, 64, 21, 5), "X Y Z T C"),
        ((64, 64, 64, 4), "X Y T C"),
    ],
)
def test_a_numbered_file_is_one_trajectory(shape, axes):
    assert letters(shape, numbered=True) == axes


@pytest.mark.parametrize(
    ("shape", "numbered"),
    [
        ((64, 64, 64, 4), False),  # 64 trajectories of 4 frames, or 64 frames of 4 fields
        ((64, 64, 64, 21, 5), False),  # a cube, or 64 trajectories
        ((96, 192, 88, 5), False),
        ((100, 20, 64, 64), False),  # N T X Y of a user
        ((20, 64, 64), True),  # T X Y of a user
        ((1000, 64, 64, 20), True),  # many trajectories in a numbered file
    ],
)
def test_an_undecided_shape_asks_for_the_axes(shape, numbered):
    with pytest.raises(DataError, match=r"cannot be told from the shape: got .*--axes 'X Y"):
        data_axes(shape, numbered, "file")


def test_the_user_decides_an_undecided_shape(tmp_path):
    data = numbers(8, 8, 8, 4)
    path = write_dpot_single(tmp_path / "a.hdf5", data)
    with pytest.raises(DataError, match="cannot be told"):
        open_trajectories(path)[0]
    many = open_trajectories(path, axes="N X Y T")
    assert (many.format, len(many), many[3].fields.shape) == ("dpot", 8, (4, 1, 8, 8))
    assert np.array_equal(many[3].fields[2, 0], data[3, :, :, 2])
    one = open_trajectories(path, axes="x,y,t,c")
    assert (len(one), one[0].fields.shape) == (1, (8, 4, 8, 8))
    assert np.array_equal(one[0].fields[6, 1], data[:, :, 6, 1])
    with pytest.raises(DataError, match="3 letters for an array of 4 axes"):
        open_trajectories(path, axes="X Y T")[0]


def test_a_single_file_holds_all_trajectories(tmp_path):
    data = numbers(5, 8, 8, 6)
    collection = open_trajectories(write_dpot_single(tmp_path / "ns2d_1e-5_train.hdf5", data))
    assert (collection.format, len(collection), collection.num_frames(4)) == ("dpot", 5, 6)
    part = collection.read(4, 1, 3)
    assert part.names == ("channel_0",)
    assert np.array_equal(part.fields[:, 0], np.moveaxis(data[4], -1, 0)[1:3])
    assert part.times.tolist() == [1.0, 2.0]


def test_numbered_files_hold_one_trajectory_each_in_numeric_order(tmp_path):
    data = numbers(12, 8, 8, 3, 2)
    collection = open_trajectories(write_dpot_scattered(tmp_path / "swe", data))
    assert (collection.format, len(collection)) == ("dpot", 12)
    for index in (0, 1, 2, 10, 11):  # data_2 comes before data_10
        assert np.array_equal(collection[index].fields, data[index].transpose(2, 3, 0, 1))
    assert collection[10].source.name.endswith("data_10.hdf5")
    assert collection.reason == "12 numbered HDF5 with only data [8, 8, 3, 2]"


def test_splits_are_folders_of_numbered_files(tmp_path):
    data = numbers(5, 8, 8, 3, 2)
    write_dpot_scattered(tmp_path / "train", data[:3])
    write_dpot_scattered(tmp_path / "test", data[3:])
    assert len(open_trajectories(tmp_path)) == 5
    test = open_trajectories(tmp_path, split="test")
    assert np.array_equal(test[1].fields, data[4].transpose(2, 3, 0, 1))


def test_splits_are_single_files_side_by_side(tmp_path):
    for split, count in (("train", 4), ("test", 3)):
        write_dpot_single(tmp_path / f"ns2d_1e-5_{split}.hdf5", numbers(count, 8, 8, 6))
    for format in ("auto", "dpot"):
        assert len(open_trajectories(tmp_path, format)) == 7
        assert len(open_trajectories(tmp_path, format, split="test")) == 3


def test_three_space_axes(tmp_path):
    data = numbers(2, 4, 4, 4, 3, 5)
    scattered = open_trajectories(write_dpot_scattered(tmp_path / "turb", data))
    single = open_trajectories(write_dpot_single(tmp_path / "a.hdf5", data))
    for collection in (scattered, single):
        assert len(collection) == 2
        assert np.array_equal(collection[1].fields, data[1].transpose(3, 4, 0, 1, 2))


def test_only_the_first_file_and_the_asked_one_are_opened(tmp_path, monkeypatch):
    folder = write_dpot_scattered(tmp_path / "many", numbers(30, 8, 8, 3, 2))
    opened = []
    open_file = hdf5_file.h5py.File

    def counted(path, *args, **kwargs):
        opened.append(path.name)
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(hdf5_file.h5py, "File", counted)
    collection = DpotData(folder)
    assert opened == []
    assert (len(collection), collection.num_frames(29)) == (30, 3)
    collection.read(17, 1, 2)
    assert opened == ["data_0.hdf5", "data_17.hdf5"]


def test_only_the_asked_frames_are_read(tmp_path, monkeypatch):
    collection = DpotData(write_dpot_single(tmp_path / "a.hdf5", numbers(5, 8, 8, 6, 3)))
    len(collection)
    sizes = []
    read = h5py.Dataset.__getitem__

    def counted(self, *args, **kwargs):
        part = read(self, *args, **kwargs)
        sizes.append(part.size)
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    collection.read(2, 1, 3)
    assert sizes == [2 * 8 * 8 * 3]


def test_a_numbered_file_of_another_shape_is_named_when_it_is_read(tmp_path):
    folder = write_dpot_scattered(tmp_path / "odd", numbers(3, 8, 8, 3, 2))
    write_arrays(folder / "data_1.hdf5", data=numbers(8, 8, 4, 2))
    collection = open_trajectories(folder)
    assert collection[0].num_frames == collection[2].num_frames == 3
    with pytest.raises(DataError, match=r"data_1\.hdf5: all numbered files need the shape of"):
        collection[1]


def test_double_precision_and_the_mask_channel_of_cfdbench(tmp_path):
    data = numbers(5, 8, 8, 6, 3, dtype=np.float64)
    data[..., 2] = 0.25  # resized masks have fractions at their edges
    path = write_dpot_single(tmp_path / "ns2d_cdb_train.hdf5", data)
    trajectory = open_trajectories(path, names="velocity_x,velocity_y,mask", dt=0.1)[0]
    assert trajectory.fields.dtype == torch.float32
    assert trajectory.names == ("velocity_x", "velocity_y", "mask")
    assert trajectory.mask is None
    assert trajectory.fields[:, 2].unique().tolist() == [0.25]
    assert trajectory.dt == pytest.approx(0.1)


@pytest.mark.parametrize(("x_channels", "y_channels"), [((), ()), ((3,), ()), ((), (2,))])
def test_steady_sets_have_an_input_and_a_solution(tmp_path, x_channels, y_channels):
    x, y = numbers(2, 8, 8, *x_channels), numbers(2, 8, 8, *y_channels, seed=1)
    sample = open_trajectories(write_dpot_steady(tmp_path / "darcy", x, y))[1]
    inputs, solution = (values[1].reshape(8, 8, -1).transpose(2, 0, 1) for values in (x, y))
    assert np.array_equal(sample.constants, inputs)
    assert np.array_equal(sample.fields, solution[None])
    assert sample.constant_names == tuple(f"input_{i}" for i in range(len(inputs)))


def test_steady_samples_in_one_file(tmp_path):
    x, y = numbers(5, 8, 8, 3), numbers(5, 8, 8, seed=1)
    collection = open_trajectories(write_arrays(tmp_path / "darcy.hdf5", x=x, y=y))
    assert (collection.format, len(collection)) == ("dpot", 5)
    assert np.array_equal(collection[4].fields[0, 0], y[4])
    assert np.array_equal(collection[4].constants, x[4].transpose(2, 0, 1))
    path = write_arrays(tmp_path / "wide.hdf5", x=numbers(5, 8, 6), y=numbers(5, 8, 6))
    with pytest.raises(DataError, match="cannot be told"):
        open_trajectories(path)[0]
    assert open_trajectories(path, axes="N X Y")[4].grid.shape == (8, 6)
    with pytest.raises(DataError, match="steady and have no time axis"):
        open_trajectories(path, axes="T X Y")[0]


def test_a_folder_survives_pickling(tmp_path):
    collection = open_trajectories(write_dpot_scattered(tmp_path / "a", numbers(3, 8, 8, 3, 2)))
    first = collection[0].fields
    assert torch.equal(pickle.loads(pickle.dumps(collection))[0].fields, first)


def test_storage_is_that_of_the_first_file(tmp_path):
    collection = open_trajectories(write_dpot_scattered(tmp_path / "a", numbers(3, 8, 8, 3, 2)))
    layout = collection.storage()["data"]
    assert (layout.shape, layout.chunks, layout.compression) == ((8, 8, 3, 2), None, None)


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": numbers(8, 8, 8, 4), "time": numbers(4)},
        {"data": numbers(8, 8)},
        {"data": np.full((4, 8, 8), b"text")},
        {"x": numbers(8), "y": numbers(8)},
        {"x": numbers(8, 8)},
        {"values": numbers(8, 8, 8, 4)},
    ],
)
def test_other_contents_are_another_format(tmp_path, arrays):
    assert DpotData.recognise(write_arrays(tmp_path / "a.hdf5", **arrays)) is None


def test_what_is_not_numbered_is_no_folder_of_dpot(tmp_path):
    assert DpotData.recognise(tmp_path) is None
    (tmp_path / "data_0.hdf5").mkdir()
    assert DpotData.recognise(tmp_path) is None
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(DataError, match="empty_folder holds no data_0"):
        len(DpotData(tmp_path / "empty_folder"))


def test_files_without_the_datasets_say_what_they_hold(tmp_path):
    path = write_arrays(tmp_path / "a.hdf5", values=numbers(8, 8))
    with pytest.raises(DataError, match=r"needs a dataset 'data'.*got values"):
        open_trajectories(path, format="dpot")[0]


def test_variables_have_no_meaning_here(tmp_path):
    path = write_dpot_single(tmp_path / "a.hdf5", numbers(5, 8, 8, 6))
    with pytest.raises(RecipeError, match="--variables has no meaning here"):
        open_trajectories(path, format="dpot", variables="u=data")
