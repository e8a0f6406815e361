"""ConDiff: flattened by columns, coefficients on one node more a side."""

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.condiff import ConDiffFile
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError, RecipeError
from tests.data.formats.write_condiff import condiff_arrays, save_condiff


@pytest.fixture
def arrays():
    return condiff_arrays()


@pytest.fixture
def path(tmp_path, arrays):
    return save_condiff(tmp_path / "cubic0.1_grid8_train.h5", arrays)


def test_columns_come_first_in_the_flattened_arrays(path, arrays):
    collection = open_trajectories(path)
    assert (collection.format, len(collection), collection.num_frames(2)) == ("condiff", 3, 1)
    for index, sample in enumerate(collection):
        assert np.array_equal(sample.fields[0, 0], arrays["x"][index].astype(np.float32))
        source = sample.constants[sample.constant_names.index("source")]
        assert np.array_equal(source, arrays["rhs"][index].astype(np.float32))


def test_a_cell_has_the_mean_logarithm_of_its_four_nodes(path, arrays):
    sample = open_trajectories(path)[1]
    found = sample.constants[sample.constant_names.index("log_permeability")]
    log_k = np.log(arrays["k"][1])
    for i, j in ((0, 0), (2, 5), (7, 7)):
        corners = [log_k[i, j], log_k[i + 1, j], log_k[i, j + 1], log_k[i + 1, j + 1]]
        assert float(found[i, j]) == pytest.approx(np.mean(corners), rel=1e-6)


def test_a_high_contrast_stays_within_single_precision(tmp_path, arrays):
    arrays["k"] = np.where(arrays["k"] > 1, 1e5, 1.0)
    sample = open_trajectories(save_condiff(tmp_path / "a.h5", arrays))[0]
    logs = sample.constants[sample.constant_names.index("log_permeability")]
    assert 0 <= logs.min() < logs.max() <= np.log(1e5) * 1.000001


def test_double_precision_becomes_float32_on_cell_centres_between_walls(path):
    sample = open_trajectories(path)[0]
    assert sample.fields.dtype == sample.constants.dtype == torch.float32
    assert sample.names == ("pressure",)
    assert sample.boundary == ((BoundaryCondition.WALL,) * 2,) * 2
    assert sample.grid.axes[0].coordinates()[0] == pytest.approx(1 / 16)
    assert sample.grid.extent == (1.0, 1.0)


def test_poisson_files_have_no_coefficient(tmp_path, arrays):
    del arrays["k"]
    collection = open_trajectories(save_condiff(tmp_path / "poisson.h5", arrays))
    assert (collection.format, collection[0].names) == ("condiff", ("potential",))
    assert collection[0].constant_names == ("source",)
    assert np.array_equal(collection[0].fields[0, 0], arrays["x"][0].astype(np.float32))


def test_files_of_the_two_splits_lie_side_by_side(tmp_path, arrays):
    for split in ("train", "test"):
        save_condiff(tmp_path / f"gaussian0.4_grid8_{split}.h5", condiff_arrays(2))
    assert len(open_trajectories(tmp_path)) == 4
    assert len(open_trajectories(tmp_path, split="test")) == 2


def test_the_reason_and_the_storage_are_told(path):
    collection = open_trajectories(path)
    assert collection.reason == "HDF5 with x and rhs of 8 x 8 cells and k on 9 x 9 nodes"
    storage = collection.storage()
    assert {key: layout.shape for key, layout in storage.items()} == {
        "k": (3, 9, 9),
        "rhs": (3, 64),
        "x": (3, 64),
    }
    assert storage["x"].dtype == "float64"
    assert storage["x"].chunks is None


def test_a_zero_coefficient_is_left_for_the_doctor(tmp_path, arrays, recwarn):
    arrays["k"][0, 0, 0] = 0.0
    sample = open_trajectories(save_condiff(tmp_path / "a.h5", arrays))[0]
    assert not bool(torch.isfinite(sample.constants[0, 0, 0]))
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize(
    ("key", "shape"),
    [("x", (3, 63)), ("rhs", (3, 81)), ("k", (3, 8, 8)), ("k", (2, 9, 9)), ("x", (3, 8, 8))],
)
def test_other_shapes_are_another_format(path, key, shape):
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = np.zeros(shape)
    assert ConDiffFile.recognise(path) is None
    with pytest.raises(DataError, match=r"x and rhs must be \(N, n n\)"):
        len(ConDiffFile(path))


def test_the_axes_are_not_for_the_user_to_say(path):
    with pytest.raises(RecipeError, match="--axes has no meaning here"):
        open_trajectories(path, axes="N X")
