"""The lenient reader and the strict writer of The Well's specification."""

import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdefm.data.collection import MemoryCollection
from pdefm.data.formats.well_writer import group_vectors, write_well
from pdefm.data.open import open_trajectories
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError, EnvironmentFault, RecipeError

P, W, O = BoundaryCondition.PERIODIC, BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


def assert_equal(found, expected):
    for key in ("names", "units", "grid", "boundary", "parameters", "constant_names"):
        assert getattr(found, key) == getattr(expected, key), key
    for key in ("fields", "times", "mask", "constants"):
        one, other = getattr(found, key), getattr(expected, key)
        assert (one is None) == (other is None), key
        assert one is None or (one.dtype == other.dtype and torch.equal(one, other)), key


def test_what_is_written_is_read_back_bit_by_bit(tmp_path, make_trajectory):
    written = [make_trajectory(seed) for seed in range(3)]
    path = write_well(tmp_path / "a.hdf5", written, "test")
    read = open_trajectories(path)
    assert len(read) == 3
    for found, expected in zip(read, written, strict=True):
        assert_equal(found, expected)
    assert read[-1].source.index == 2
    assert read[-1].source.name == str(path)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
@pytest.mark.parametrize("periodic", [True, False])
def test_any_dimension_survives_a_round_trip(tmp_path, make_trajectory, num_dims, periodic):
    grid = Grid.regular((8, 7, 6)[:num_dims], (0.1, 2 * np.pi, 3.0)[:num_dims], periodic)
    written = make_trajectory(
        fields=torch.randn(2, 3, *grid.shape),
        times=torch.tensor([0.1, 0.7]),
        names=("b", "velocity_x", "velocity_z"),
        units=("K", "m/s", "m/s"),
        grid=grid,
        boundary=(),
        mask=torch.rand(grid.shape) > 0.5,
        constants=None,
        constant_names=(),
    )
    assert_equal(open_trajectories(write_well(tmp_path / "a.h5", [written], "t"))[0], written)


def test_a_steady_trajectory_without_extras_survives_a_round_trip(tmp_path, make_trajectory):
    written = make_trajectory(
        num_frames=1, mask=None, constants=None, constant_names=(), parameters={}
    )
    assert_equal(open_trajectories(write_well(tmp_path / "a.h5", [written], "t"))[0], written)


def test_only_the_asked_frames_are_read(tmp_path, make_trajectory):
    written = make_trajectory()
    collection = open_trajectories(write_well(tmp_path / "a.hdf5", [written], "test"))
    part = collection.read(0, 2, 4)
    assert torch.equal(part.fields, written.fields[2:4])
    assert torch.equal(part.times, written.times[2:4])
    with pytest.raises(IndexError, match="5 frames"):
        collection.read(0, 3, 6)
    with pytest.raises(IndexError, match="1 trajectories"):
        collection[1]


def test_the_same_input_gives_the_same_bytes(tmp_path, make_trajectory):
    written = [make_trajectory(seed) for seed in range(2)]
    one = write_well(tmp_path / "one.hdf5", written, "test").read_bytes()
    assert one == write_well(tmp_path / "two.hdf5", written, "test").read_bytes()


def test_the_file_follows_the_specification(tmp_path, make_trajectory):
    written = [make_trajectory(seed) for seed in range(2)]
    path = write_well(tmp_path / "a.hdf5", written, "name", {"gravity": 9.81})
    with h5py.File(path) as file:
        assert file.attrs["dataset_name"] == "name"
        assert file.attrs["grid_type"] == "cartesian"
        assert file.attrs["n_spatial_dims"] == 2
        assert file.attrs["n_trajectories"] == 2
        assert list(file.attrs["simulation_parameters"]) == ["viscosity", "gravity"]
        assert file.attrs["gravity"] == file["scalars/gravity"][()] == 9.81
        assert file["scalars/reynolds"].attrs["sample_varying"]
        assert file["scalars/reynolds"].shape == (2,)
        assert set(file) == {
            *("dimensions", "boundary_conditions", "scalars"),
            *("t0_fields", "t1_fields", "t2_fields"),
        }
        assert list(file["t0_fields"].attrs["field_names"]) == ["density", "a_x", "bottom"]
        assert list(file["t1_fields"].attrs["field_names"]) == ["velocity"]
        assert len(file["t2_fields"].attrs["field_names"]) == 0
        velocity = file["t1_fields/velocity"]
        assert velocity.shape == (2, 5, 8, 6, 2)
        assert velocity.dtype == np.float32
        assert list(velocity.attrs["dim_varying"]) == [True, True]
        assert velocity.attrs["units"] == "m/s"
        assert not file["t0_fields/bottom"].attrs["time_varying"]
        assert file["dimensions/time"].shape == (2, 5)
        assert file["dimensions/time"].attrs["sample_varying"]
        wall = file["boundary_conditions/y_wall"]
        assert wall.attrs["bc_type"] == "WALL"
        assert list(wall.attrs["associated_dims"]) == ["y"]
        assert wall["mask"][:].tolist() == [True] + [False] * 5
        assert file["boundary_conditions/domain_mask/mask"].shape == (2, 8, 6)


def test_vectors_are_grouped_only_when_complete_in_a_row_and_of_one_unit():
    units = ("m",) * 4
    names = ("a_x", "a_y", "b_x", "c")
    assert group_vectors(names, units, ("x", "y")) == {
        "t1_fields/a": [0, 1],
        "t0_fields/b_x": [2],
        "t0_fields/c": [3],
    }
    apart = group_vectors(("a_x", "c", "a_y"), units[:3], ("x", "y"))
    assert list(apart) == ["t0_fields/a_x", "t0_fields/c", "t0_fields/a_y"]
    assert list(group_vectors(("a_x", "a_y"), ("m", "s"), ("x", "y"))) == [
        "t0_fields/a_x",
        "t0_fields/a_y",
    ]


def test_a_file_from_the_wild_is_read(wild_well_file):
    collection = open_trajectories(wild_well_file)
    trajectory = collection[1]
    assert len(collection) == 3
    stress = ("stress_xx", "stress_xy", "stress_yx", "stress_yy")
    assert trajectory.names == ("density", "profile", "velocity_x", "velocity_y", *stress)
    assert trajectory.constant_names == ("depth",)
    assert trajectory.parameters == {"alpha": 2.0, "beta": 1.0}
    assert trajectory.boundary == ((P, P), (W, O))
    assert trajectory.times.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert trajectory.grid == Grid((Axis("x", 8, 1.0, True), Axis("y", 6, 2.0, False)))
    with h5py.File(wild_well_file) as file:
        fields = trajectory.fields.numpy()
        profile = file["t0_fields/profile"][1]
        assert np.array_equal(fields[:, 1], np.broadcast_to(profile[:, None], (4, 8, 6)))
        assert np.array_equal(fields[:, 3], file["t1_fields/velocity"][1, ..., 1])
        assert np.array_equal(fields[:, 5], file["t2_fields/stress"][..., 0, 1])
        assert np.array_equal(trajectory.constants[0], file["t0_fields/depth"][()])


def test_lengths_that_do_not_tell_sample_from_time_are_an_error(wild_well_file):
    with h5py.File(wild_well_file, "a") as file:
        file.attrs["n_trajectories"] = 4
        for key in ("t0_fields/density", "t0_fields/profile", "t1_fields/velocity"):
            del file[key]
            file[key.partition("/")[0]].attrs["field_names"] = []
    with pytest.raises(DataError, match="t2_fields/stress ambiguous, add the attributes"):
        open_trajectories(wild_well_file)[0]


def test_each_trajectory_may_have_its_own_times(tmp_path, make_trajectory):
    written = [make_trajectory(seed) for seed in range(2)]
    read = open_trajectories(write_well(tmp_path / "a.hdf5", written, "test"))
    assert float(read.read(1, 2, 3).times[0]) == pytest.approx(0.21)
    assert float(read.read(0, 2, 3).times[0]) == pytest.approx(0.2)


def test_an_obstacle_of_another_dataset_becomes_the_mask(wild_well_file):
    walls = np.zeros((8, 6), bool)
    walls[3:5, 2:4] = True
    with h5py.File(wild_well_file, "a") as file:
        group = file.create_group("boundary_conditions/obstacle")
        group.attrs["associated_dims"] = ["x", "y"]
        group.attrs["bc_type"] = "WALL"
        group["mask"] = walls
    trajectory = open_trajectories(wild_well_file)[0]
    assert np.array_equal(trajectory.mask, ~walls)
    assert trajectory.boundary == ((P, P), (W, O))


def test_uneven_points_are_reported(wild_well_file):
    with h5py.File(wild_well_file, "a") as file:
        file["dimensions/y"][...] = np.arange(6.0) ** 2
    with pytest.warns(UserWarning, match="axis y is not evenly spaced"):
        open_trajectories(wild_well_file)[0]


def test_fields_that_never_vary_in_time_are_one_steady_frame(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory(num_frames=1)], "test")
    with h5py.File(path, "a") as file:
        for group in ("t0_fields", "t1_fields"):
            for name in file[group].attrs["field_names"]:
                data = file[group][name]
                values, attributes = data[()], dict(data.attrs)
                del file[group][name]
                values = values if name == "bottom" else values[:, 0]
                file[group].create_dataset(name, data=values).attrs.update(attributes)
                file[group][name].attrs["time_varying"] = False
    trajectory = open_trajectories(path)[0]
    assert trajectory.num_frames == 1
    assert set(trajectory.names) == {"velocity_x", "velocity_y", "density", "a_x", "bottom"}


def test_the_description_overrides_what_the_file_says(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    trajectory = open_trajectories(
        path, names="u,v,rho,T", dt=2, extent="1,3", boundary="open"
    ).read(0, 1, 3)
    assert trajectory.names == ("u", "v", "rho", "T")
    assert trajectory.times.tolist() == [2.0, 4.0]
    assert trajectory.grid.extent == (1.0, 3.0)
    assert not trajectory.grid.axes[0].periodic
    assert trajectory.boundary == ((O, O), (O, O))


def test_axes_have_no_meaning_for_a_file_that_says_its_own(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    with pytest.raises(RecipeError, match="--axes has no meaning here"):
        open_trajectories(path, axes="N T C X Y")


def test_too_few_names_are_counted_out(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    with pytest.raises(DataError, match=r"4 channels need 4 names: got 2 \(a, b\)"):
        open_trajectories(path, names="a,b")[0]


@pytest.mark.parametrize("part", [0.5, 0.98])
def test_a_file_that_is_cut_off_is_named_in_one_line(tmp_path, make_trajectory, part):
    path = write_well(tmp_path / "cut.hdf5", [make_trajectory()], "test")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"cut\.hdf5: cannot be read as HDF5") as raised:
        open_trajectories(path)[0]
    assert "\n" not in str(raised.value)


def test_a_field_that_is_listed_but_missing_is_a_data_error(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    with h5py.File(path, "a") as file:
        del file["t0_fields/density"]
    with pytest.raises(DataError, match=r"a\.hdf5.*density"):
        open_trajectories(path)[0]


def test_a_collection_can_be_pickled_after_use(tmp_path, make_trajectory):
    collection = open_trajectories(write_well(tmp_path / "a.hdf5", [make_trajectory()], "test"))
    expected = collection[0]
    copy = pickle.loads(pickle.dumps(collection))
    assert len(pickle.dumps(collection)) < 1000
    assert_equal(copy[0], expected)


def test_a_forked_process_opens_its_own_handle(tmp_path, make_trajectory, monkeypatch):
    collection = open_trajectories(write_well(tmp_path / "a.hdf5", [make_trajectory()], "test"))
    expected = collection[0]
    parent = collection._hdf5.file
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert collection._hdf5.file is not parent
    assert_equal(collection[0], expected)


def test_worker_processes_read_what_the_parent_reads(tmp_path, make_trajectory):
    written = [make_trajectory(seed) for seed in range(4)]
    collection = open_trajectories(write_well(tmp_path / "a.hdf5", written, "test"))
    expected = [collection.read(i, 1, 3).fields for i in range(4)]
    loader = DataLoader(
        [(collection, i) for i in range(4)],
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        collate_fn=lambda item: item[0].read(item[1], 1, 3).fields,
    )
    assert all(torch.equal(a, b) for a, b in zip(loader, expected, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a", "b", "c", "d")}, "equal names"),
        ({"units": ("m", "m", "m", "m")}, "equal units"),
        ({"parameters": {"other": 1.0}}, "same parameters"),
        ({"boundary": ((P, P), (O, O))}, "equal boundary"),
        ({"num_frames": 4}, "equal num frames"),
    ],
)
def test_trajectories_that_differ_do_not_go_into_one_file(
    tmp_path, make_trajectory, changes, message
):
    with pytest.raises(DataError, match=message):
        write_well(tmp_path / "a.hdf5", [make_trajectory(), make_trajectory(**changes)], "test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("p/q", "b", "c", "d")}, "without '/'"),
        ({"names": ("bottom", "b", "c", "d")}, "its own name"),
        ({"boundary": ((O, O), (O, O))}, "axis x is periodic but its boundary says otherwise"),
    ],
)
def test_what_the_specification_cannot_hold_is_refused(tmp_path, make_trajectory, changes, message):
    with pytest.raises(DataError, match=message):
        write_well(tmp_path / "a.hdf5", [make_trajectory(**changes)], "test")


def test_nothing_to_write_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing to write"):
        write_well(tmp_path / "a.hdf5", MemoryCollection([]), "test")


def test_a_failed_write_leaves_the_old_file(tmp_path, make_trajectory):
    path = write_well(tmp_path / "a.hdf5", [make_trajectory()], "test")
    before = path.read_bytes()
    with pytest.raises(DataError):
        write_well(path, [make_trajectory(), make_trajectory(num_frames=2)], "test")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.hdf5"]


def test_a_folder_that_cannot_be_made_is_an_environment_fault(tmp_path, make_trajectory):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_well(tmp_path / "file" / "a.hdf5", [make_trajectory()], "test")


def test_a_well_folder_opens_by_split(tmp_path, make_trajectory):
    root = tmp_path / "dataset"
    for split, seeds in (("train", (1, 2, 10)), ("valid", (3,))):
        for seed in seeds:
            frames = 5 + (seed == 10)
            write_well(
                root / "data" / split / f"part_{seed}.hdf5",
                [make_trajectory(seed, num_frames=frames)],
                "test",
            )
    (root / "data" / "train" / ".hidden.hdf5").write_text("not data")
    (root / "stats.yaml").write_text("mean: {}")
    train = open_trajectories(root, split="train")
    assert [t.parameters["reynolds"] for t in train] == [1.0, 2.0, 10.0]
    assert [train.num_frames(i) for i in range(3)] == [5, 5, 6]
    assert len(open_trajectories(root)) == 4
    assert len(open_trajectories(root / "data" / "train")) == 3
    with pytest.raises(DataError, match="no split 'test': got splits train, valid"):
        open_trajectories(root, split="test")
    shutil.rmtree(root / "data" / "train")
    assert len(open_trajectories(root)) == 1
