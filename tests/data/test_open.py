"""Finding the files and the format."""

import h5py
import numpy as np
import pytest

from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError, RecipeError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.hdf5 does not exist"):
        open_trajectories(tmp_path / "nowhere.hdf5")


@pytest.mark.parametrize("format", ["auto", "well", "arrays"])
def test_a_git_lfs_pointer_is_recognised(tmp_path, format):
    path = tmp_path / "data.hdf5"
    path.write_text(POINTER)
    with pytest.raises(DataError, match=r"Git LFS pointer.*git lfs pull"):
        open_trajectories(path, format=format)


def test_a_pointer_in_a_folder_is_not_skipped(tmp_path, make_trajectory):
    write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    (tmp_path / "b.hdf5").write_text(POINTER)
    with pytest.raises(DataError, match=r"b\.hdf5 is a Git LFS pointer"):
        open_trajectories(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n"])
def test_an_unknown_file_says_what_was_tried_and_what_to_do(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv: no known format.*well, .*arrays.*--axes"):
        open_trajectories(path)


def test_an_hdf5_file_of_another_kind_is_not_taken_for_the_well(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["tensor"] = np.zeros((2, 3))
    assert open_trajectories(tmp_path / "a.hdf5", axes="T X").format == "arrays"


def test_the_content_decides_not_the_name(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test").rename(tmp_path / "a.npy")
    assert open_trajectories(path).format == "well"


def test_an_unknown_format_offers_the_nearest(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'well'"):
        open_trajectories(tmp_path, format="wel")


def test_an_unknown_split_offers_the_nearest(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'valid'"):
        open_trajectories(tmp_path, split="validation")


def test_a_single_file_has_no_splits(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    with pytest.raises(DataError, match="has no splits"):
        open_trajectories(path, split="train")


def test_a_folder_without_data_says_what_lies_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"holds no data files: got notes\.txt"):
        open_trajectories(tmp_path)


def test_a_folder_of_mixed_formats_is_refused(tmp_path, make_trajectory):
    write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    np.save(tmp_path / "b.npy", np.zeros((2, 8)))
    with pytest.raises(RecipeError, match="--axes has no meaning here"):
        open_trajectories(tmp_path, axes="T X")
    with pytest.raises(DataError, match="files of one format"):
        open_trajectories(tmp_path)


def test_a_file_without_permission_is_named(tmp_path, make_trajectory, monkeypatch):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match="may not be read"):
        open_trajectories(path)
