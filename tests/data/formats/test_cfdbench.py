"""CFDBench: cases in order of their numbers, (time, y, x) arrays, masks, lengths that differ."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch

from pdefm.data.formats.cfdbench import CfdBenchData
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError, RecipeError
from tests.data.formats.write_cfdbench import NUMBERS, solid, write_case

W, O = BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


@pytest.fixture(autouse=True)
def _no_warnings_unless_expected():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_one_case_is_read_with_x_before_y(tmp_path):
    case = write_case(tmp_path / "case0000")
    collection = open_trajectories(case)
    assert collection.format == "cfdbench"
    assert collection.reason == "it with u.npy, v.npy and case.json"
    assert collection.licence == "Apache-2.0"
    trajectory = collection[0]
    u, v = np.load(case / "u.npy"), np.load(case / "v.npy")
    assert u.shape == (3, 24, 32)  # time, height, width
    assert trajectory.names == ("velocity_x", "velocity_y")
    assert np.array_equal(trajectory.fields[:, 0].numpy(), u.swapaxes(1, 2))
    assert np.array_equal(trajectory.fields[:, 1].numpy(), v.swapaxes(1, 2))
    assert trajectory.grid.extent == (0.02, 0.01)
    assert trajectory.times.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert trajectory.boundary == ((W, W), (W, W))
    assert trajectory.mask is None
    assert str(trajectory.source) == f"{case}[0]"


def test_parameters_are_numbers_with_the_names_of_our_equations(tmp_path):
    case = write_case(tmp_path / "a", rotated=True, density=2.0, note="text", extra=None)
    assert open_trajectories(case)[0].parameters == {
        "lid_speed": 10.0,
        "density": 2.0,
        "dynamic_viscosity": 0.01,
        "viscosity": 0.005,
        "height": 0.01,
        "width": 0.02,
        "rotated": 1.0,
    }
    dam = open_trajectories(write_case(tmp_path / "b", "dam"))[0].parameters
    assert set(dam) >= {"inflow", "barrier_height", "barrier_width"}
    assert "case_no" not in dam


def test_cases_come_in_the_order_of_their_numbers(tmp_path):
    for number in (9999, 10000, 2, 10, 1):
        write_case(tmp_path / f"bc/case{number:04d}", vel_top=float(number), num_y=8, num_x=8)
    collection = open_trajectories(tmp_path / "bc")
    found = [trajectory.parameters["lid_speed"] for trajectory in collection]
    assert found == [1, 2, 10, 9999, 10000]
    assert collection[-1].source.name.endswith("case10000")


def test_a_problem_and_several_problems_are_one_collection(tmp_path):
    size = {"num_y": 8, "num_x": 8}
    for place, problem in (("cavity/geo", "cavity"), ("cavity/bc", "cavity"), ("tube/bc", "tube")):
        for number in range(2):
            write_case(tmp_path / f"{place}/case{number:04d}", problem, **size)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README.md").write_text("card")
    assert len(open_trajectories(tmp_path / "cavity")) == 4
    collection = open_trajectories(tmp_path)
    assert isinstance(collection, CfdBenchData)
    assert "its folders" in collection.reason
    places = [case.relative_to(tmp_path).as_posix() for case in collection.cases]
    assert places[::2] == ["cavity/bc/case0000", "cavity/geo/case0000", "tube/bc/case0000"]
    assert collection.groups() == [[0, 1, 2, 3], [4, 5]]
    assert collection[5].boundary == ((O, O), (W, W))


def test_each_case_has_its_own_number_of_frames(tmp_path):
    for number, frames in enumerate((5, 3, 7)):
        write_case(tmp_path / f"case{number:04d}", num_frames=frames, seed=number)
    collection = open_trajectories(tmp_path)
    assert [collection.num_frames(i) for i in range(3)] == [5, 3, 7]
    last = collection.read(2, 5, 7)
    assert last.times.tolist() == pytest.approx([0.5, 0.6])
    assert torch.equal(last.fields, collection[2].fields[5:])
    with pytest.raises(IndexError, match="3 frames"):
        collection.read(1, 0, 4)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_any_real_type_becomes_float32(tmp_path, dtype):
    case = write_case(tmp_path / "a", dtype=dtype)
    fields = open_trajectories(case)[0].fields
    assert fields.dtype == torch.float32
    expected = np.load(case / "u.npy").astype(np.float32)
    assert np.array_equal(fields[:, 0].numpy(), expected.swapaxes(1, 2))


def test_the_cylinder_is_at_the_origin_of_its_frame(tmp_path):
    trajectory = open_trajectories(write_case(tmp_path / "a", "cylinder"))[0]
    assert trajectory.grid.extent == pytest.approx((0.22, 0.12))
    assert [axis.origin for axis in trajectory.grid.axes] == [-0.06, -0.06]
    mask = trajectory.mask.numpy()
    assert np.array_equal(mask, ~solid("cylinder", 24, 32).T)
    x, y = (axis.coordinates() for axis in trajectory.grid.axes)
    assert not mask[np.abs(x).argmin(), np.abs(y).argmin()]
    inside = np.argwhere(~mask)
    assert abs(x[inside[:, 0]].mean()) < 0.007
    assert abs(y[inside[:, 1]].mean()) < 0.005
    # The two other codings of the centre that loaders had would mask other points.
    for centre in ((0.5, 0.5), (0.06, 0.06)):
        assert not np.array_equal(mask, ~solid("cylinder", 24, 32, centre).T)


def test_a_cylinder_elsewhere_than_the_rule_says_is_told(tmp_path):
    moved = solid("cylinder", 24, 32, centre=(0.08, 0.0))
    collection = open_trajectories(write_case(tmp_path / "a", "cylinder", obstacle=moved))
    with pytest.warns(UserWarning, match="mask follows the velocity"):
        trajectory = collection[0]
    assert np.array_equal(trajectory.mask.numpy(), ~moved.T)
    nowhere = np.zeros((24, 32), bool)
    collection = open_trajectories(write_case(tmp_path / "b", "cylinder", obstacle=nowhere))
    with pytest.warns(UserWarning, match=r"mask follows case\.json"):
        trajectory = collection[0]
    assert np.array_equal(trajectory.mask.numpy(), ~solid("cylinder", 24, 32).T)


def test_a_point_at_rest_for_some_time_is_no_obstacle(tmp_path):
    case = write_case(tmp_path / "a", "cylinder", num_frames=6)
    for name in ("u", "v"):
        values = np.load(case / f"{name}.npy")
        values[:3] = 0
        np.save(case / f"{name}.npy", values)
    collection = open_trajectories(case)
    assert np.array_equal(collection.read(0, 0, 1).mask.numpy(), ~solid("cylinder", 24, 32).T)


def test_the_barrier_of_the_dam_is_masked_by_rows_and_the_far_field_is_not(tmp_path):
    wall = solid("dam", 24, 32)
    assert wall[0].any()
    assert not wall[8:].any()
    far = wall.copy()
    far[20:, 28:] = True  # never reached by the flow
    for name, obstacle in (("a", wall), ("b", far)):
        trajectory = open_trajectories(write_case(tmp_path / name, "dam", obstacle=obstacle))[0]
        assert np.array_equal(trajectory.mask.numpy(), ~wall.T)
        assert trajectory.boundary == ((O, O), (W, W))


def test_what_the_user_says_goes_first(tmp_path):
    case = write_case(tmp_path / "a")
    said = open_trajectories(case, dt=0.5, extent="1,2", boundary="open", names="u,v")
    trajectory = said.read(0, 1, 3)
    assert trajectory.times.tolist() == [0.5, 1.0]
    assert trajectory.grid.extent == (1.0, 2.0)
    assert trajectory.names == ("u", "v")
    with pytest.raises(RecipeError, match="axes has no meaning"):
        open_trajectories(case, axes="T X Y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "cannot be read as a case"),
        (b"\xff\xfe\x00", "cannot be read as a case"),
        (b"[" * 60_000, "cannot be read as a case"),
        (b"[1, 2]", "a list in place of keys"),
        (b'{"vel_top": NaN}', "vel_top is nan"),
        (b'{"vel_top": 1' + b"0" * 400 + b"}", "cannot be read as a case"),
        (b" " * 70_000, "more than 65536 bytes"),
        (b"{}", "of no known problem.*no numbers"),
        (b'{"vel_in": "1.0"}', "of no known problem"),
        (b'{"vel_in": 1.0}', "a case of 'tube' lacks 'density'"),
    ],
)
def test_a_hostile_case_file_is_one_clear_error(tmp_path, text, message):
    case = write_case(tmp_path / "case0000")
    (case / "case.json").write_bytes(text)
    with pytest.raises(DataError, match=message) as caught:
        open_trajectories(case)[0]
    assert "case.json" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("problem", sorted(NUMBERS))
def test_every_key_that_is_needed_is_missed(tmp_path, problem):
    case = write_case(tmp_path / "a", problem)
    spare = {"case_no", "dx", "dy", "rotated"}
    for key in NUMBERS[problem].keys() - spare:
        numbers = {name: value for name, value in NUMBERS[problem].items() if name != key}
        (case / "case.json").write_text(json.dumps(numbers))
        with pytest.raises(DataError, match=f"lacks '{key}'|of no known problem"):
            open_trajectories(case)[0]


def test_impossible_numbers_are_errors(tmp_path):
    case = write_case(tmp_path / "a", "cylinder", x_max=-0.06)
    with pytest.raises(DataError, match="x_max - x_min must be positive"):
        open_trajectories(case)[0]
    case = write_case(tmp_path / "b", density=0)
    with pytest.raises(DataError, match="density must be positive"):
        open_trajectories(case)[0]


def test_a_case_that_lacks_a_file_is_named(tmp_path):
    for number in range(2):
        write_case(tmp_path / f"case{number:04d}")
    (tmp_path / "case0001/v.npy").unlink()
    with pytest.raises(DataError, match=r"case0001: the case lacks v\.npy"):
        len(open_trajectories(tmp_path))


def test_damaged_and_pickled_arrays_are_refused(tmp_path):
    case = write_case(tmp_path / "a")
    np.save(case / "v.npy", np.zeros((3, 24, 31)))
    with pytest.raises(DataError, match=r"must be of one shape.*\[3, 24, 32\] and \[3, 24, 31\]"):
        open_trajectories(case)[0]
    np.save(case / "v.npy", np.array([[[{}]]], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"v\.npy"):
        open_trajectories(case, "cfdbench", trust=True)[0]
    (case / "v.npy").write_bytes((case / "u.npy").read_bytes()[:200])
    with pytest.raises(DataError, match=r"v\.npy"):
        open_trajectories(case, "cfdbench", trust=True)[0]


def test_a_folder_without_cases_is_a_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    assert CfdBenchData.recognise(tmp_path / "empty") is None
    with pytest.raises(DataError, match="holds no cases"):
        len(CfdBenchData(tmp_path / "empty"))


def test_it_can_be_pickled_and_tells_its_storage(tmp_path):
    collection = open_trajectories(write_case(tmp_path / "a", "cylinder"))
    first = collection[0]
    again = pickle.loads(pickle.dumps(collection))
    assert torch.equal(again[0].fields, first.fields)
    assert torch.equal(again[0].mask, first.mask)
    assert len(pickle.dumps(collection)) < 5000
    assert collection.storage()["u.npy"].shape == (3, 24, 32)
