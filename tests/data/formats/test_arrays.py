"""A user's own arrays and the words that describe their axes."""

import pickle

import numpy as np
import pytest
import torch

from pdefm.data.formats.axis_spec import AxisSpec
from pdefm.data.open import open_trajectories
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError, RecipeError


@pytest.fixture
def save(tmp_path):
    def save(array, name="data.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def numbered(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_axes_in_the_common_order(save):
    array = numbered(3, 4, 2, 8, 6)
    collection = open_trajectories(
        save(array), axes="N T C X Y", names="u,v", dt="0.5", extent="2,1", boundary="wall"
    )
    part = collection.read(1, 1, 3)
    assert (collection.format, len(collection), collection.num_frames(2)) == ("arrays", 3, 4)
    assert np.array_equal(part.fields, array[1, 1:3])
    assert part.names == ("u", "v")
    assert part.times.tolist() == [0.5, 1.0]
    assert part.grid == Grid((Axis("x", 8, 2.0, False), Axis("y", 6, 1.0, False)))
    assert set(sum(part.boundary, ())) == {BoundaryCondition.WALL}


def test_what_is_not_said_has_a_default(save):
    trajectory = open_trajectories(save(numbered(3, 8, 6)), axes="t,x,y")[0]
    assert trajectory.names == ("channel_0",)
    assert trajectory.units == ("unknown",)
    assert trajectory.times.tolist() == [0.0, 1.0, 2.0]
    assert trajectory.grid == Grid.regular((8, 6))
    assert set(sum(trajectory.boundary, ())) == {BoundaryCondition.PERIODIC}


def test_any_order_of_axes_is_brought_into_ours(save):
    array = numbered(8, 2, 6, 3, 4)
    part = open_trajectories(save(array), axes="Y C X N T").read(2, 1, 3)
    assert np.array_equal(part.fields, array[..., 2, 1:3].transpose(3, 1, 2, 0))
    assert part.grid.names == ("x", "y")
    assert part.grid.shape == (6, 8)


def test_a_single_field_is_one_steady_trajectory(save):
    collection = open_trajectories(save(numbered(4, 6, 8)), axes="X Y Z")
    assert len(collection) == 1
    assert collection[0].fields.shape == (1, 1, 4, 6, 8)
    assert collection[0].dt == 0.0


@pytest.mark.parametrize("dtype", [np.int16, np.bool_, np.float64, np.float16, ">f4"])
def test_real_numbers_of_any_kind_become_float32(save, dtype):
    trajectory = open_trajectories(save(numbered(3, 8, dtype=dtype)), axes="T X")[0]
    assert trajectory.fields.dtype == torch.float32
    assert trajectory.fields[0, 0, 1] == 1.0


@pytest.mark.parametrize("dtype", [np.complex64, "U3"])
def test_other_numbers_are_refused(save, dtype):
    collection = open_trajectories(save(np.ones((3, 8)).astype(dtype)), axes="T X")
    with pytest.raises(DataError, match="must be real numbers: got dtype"):
        collection[0]


def test_python_objects_are_not_unpickled(save):
    array = np.empty((2, 8), dtype=object)
    with pytest.raises(DataError, match="cannot be read as a NumPy array"):
        len(open_trajectories(save(array), axes="T X"))


def test_a_truncated_array_is_named_in_one_line(save):
    path = save(numbered(30, 8))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"data\.npy: cannot be read as a NumPy array") as raised:
        len(open_trajectories(path, axes="T X"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (None, r"cannot be guessed: got shape \[3, 8, 6\].*--axes 'T X Y'"),
        ("N T C X Y", r"5 letters for an array of 3 axes: got shape \[3, 8, 6\]"),
        ("X Y", "2 letters for an array of 3 axes"),
        ("T X X", "axis X is named twice"),
        ("T X W", "unknown axis 'W', the letters are N T C X Y Z"),
        ("N T C", "no space axis"),
    ],
)
def test_wrong_axes_say_what_was_found_and_give_an_example(save, axes, message):
    collection = open_trajectories(save(numbered(3, 8, 6)), axes=axes)
    with pytest.raises(DataError, match=message):
        collection[0]


def test_an_empty_array_is_refused():
    with pytest.raises(DataError, match="an empty array"):
        AxisSpec.parse("T X", (0, 8), "here")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"names": "a,b,c"}, r"2 channels need 2 names: got 3 \(a, b, c\)"),
        ({"units": ["m"]}, "2 channels need 2 units"),
        ({"extent": "1,2,3"}, "one number per space axis: got 3 for 1 axes"),
    ],
)
def test_options_must_fit_the_array(save, option, message):
    collection = open_trajectories(save(numbered(3, 2, 8)), axes="T C X", **option)
    with pytest.raises(DataError, match=message):
        collection[0]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"boundary": "perodic"}, "unknown boundary: got 'perodic'. Did you mean 'periodic'"),
        ({"dt": 0}, "--dt must be positive"),
        ({"dt": "fast"}, "--dt must be a number: got 'fast'"),
        ({"dt": "nan"}, "--dt must be a number: got 'nan'"),
        ({"extent": "inf"}, "--extent must be a number: got 'inf'"),
        ({"names": "a,"}, "--names holds an empty word"),
        ({"extent": "1,-1"}, "--extent must be positive"),
        ({"axis": "T X"}, "unknown description option: got 'axis'. Did you mean 'axes'"),
    ],
)
def test_options_that_cannot_be_read_are_the_users_error(save, option, message):
    with pytest.raises(RecipeError, match=message):
        open_trajectories(save(numbered(3, 8)), **({"axes": "T X"} | option))


def test_a_pickle_does_not_carry_the_data(save):
    collection = open_trajectories(save(numbered(50, 800)), axes="T X")
    expected = collection[0].fields
    assert len(pickle.dumps(collection)) < 1000
    assert torch.equal(pickle.loads(pickle.dumps(collection))[0].fields, expected)


def test_what_is_read_may_be_changed(save):
    path = save(numbered(3, 8))
    open_trajectories(path, axes="T X")[0].fields.zero_()
    assert open_trajectories(path, axes="T X")[0].fields.sum() > 0


def test_a_folder_of_arrays_is_sorted_by_number(save, tmp_path):
    for number in (10, 9, 1):
        save(np.full((2, 8), number), f"run{number}.npy")
    collection = open_trajectories(tmp_path, axes="T X")
    assert [float(t.fields.mean()) for t in collection] == [1.0, 9.0, 10.0]
