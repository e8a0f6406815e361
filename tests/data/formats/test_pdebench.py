"""PDEBench's three layouts and the traps in each of them."""

import pickle
from math import pi

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.pdebench import PDEBenchFile
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError
from tests.data.formats.write_pdebench import (
    write_pdebench_darcy,
    write_pdebench_flat,
    write_pdebench_gas,
    write_pdebench_groups,
    write_pdebench_incompressible,
    write_pdebench_tensor,
)

P, W, O = BoundaryCondition.PERIODIC, BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


def opened(path, *args, **options):
    """Without the look from a child process, which is tested elsewhere and takes its time."""
    return open_trajectories(path, *args, trust=True, **options)


def stored(path, key):
    with h5py.File(path) as file:
        return file[key][()]


@pytest.mark.parametrize("space", [(16,), (8, 6), (4, 5, 6)])
def test_a_gas_is_read_by_the_names_of_its_datasets(tmp_path, space):
    path = write_pdebench_gas(tmp_path / "a.hdf5", space=space)
    collection = opened(path)
    trajectory = collection[1]
    velocity = ("velocity_x", "velocity_y", "velocity_z")[: len(space)]
    assert collection.format == "pdebench"
    assert "density" in collection.reason
    assert collection.licence == "CC BY 4.0"
    assert len(collection) == 2
    assert trajectory.names == ("density", "pressure", *velocity)
    assert trajectory.fields.dtype == torch.float32
    assert trajectory.grid.shape == space
    for channel, key in enumerate(("density", "pressure", "Vx", "Vy", "Vz")[: 2 + len(space)]):
        assert np.array_equal(trajectory.fields[:, channel], stored(path, key)[1])
    assert trajectory.parameters["viscosity"] == pytest.approx(0.01)
    assert trajectory.parameters["bulk_viscosity"] == pytest.approx(0.02)
    assert trajectory.parameters.get("mach") == (0.1 if len(space) > 1 else None)
    assert trajectory.boundary == ((P, P),) * len(space)


def test_times_have_one_entry_more_than_there_are_frames(tmp_path):
    path = write_pdebench_gas(tmp_path / "a.hdf5", num_frames=3)
    assert stored(path, "t-coordinate").shape == (4,)
    trajectory = opened(path)[0]
    assert trajectory.num_frames == 3
    assert trajectory.times.tolist() == pytest.approx([0, 0.05, 0.1])
    assert trajectory.dt == pytest.approx(0.05)


def test_fewer_times_than_frames_are_an_error(tmp_path):
    path = write_pdebench_gas(tmp_path / "a.hdf5", num_frames=3)
    with h5py.File(path, "a") as file:
        del file["t-coordinate"]
        file["t-coordinate"] = np.zeros(2, np.float32)
    with pytest.raises(DataError, match="3 frames need as many times"):
        opened(path)[0]


@pytest.mark.parametrize(
    ("attributes", "name", "parameters"),
    [
        ({"beta": 0.4}, "concentration", {"velocity_x": 0.4}),
        ({"Nu": 0.01}, "velocity_x", {"viscosity": 0.01 / pi}),
        ({"Nu": 0.5, "rho": 2.0}, "density", {"diffusivity": 0.5, "growth": 2.0}),
        ({}, "tensor", {}),
    ],
)
def test_a_tensor_is_what_its_attributes_say(tmp_path, attributes, name, parameters):
    path = write_pdebench_tensor(tmp_path / "1D_Burgers_Sols_Nu7.0.hdf5", attributes)
    trajectory = opened(path)[1]
    assert trajectory.names == (name,)
    assert trajectory.parameters == pytest.approx(parameters)
    assert np.array_equal(trajectory.fields[:, 0], stored(path, "tensor")[1])


@pytest.mark.parametrize(
    "value", ["1.e-8", "1e-08", b"1e-8", np.float32(1e-8), np.array([1e-8]), 1e-8]
)
def test_numbers_are_read_in_every_spelling_and_never_from_the_name(tmp_path, value):
    path = write_pdebench_gas(
        tmp_path / "2D_CFD_Rand_M0.1_Eta0.1_Zeta0.1_periodic_128_Train.hdf5",
        attributes={"eta": value, "zeta": value, "M": 1.0, "note": "words are no parameter"},
    )
    parameters = opened(path)[0].parameters
    assert parameters == pytest.approx({"viscosity": 1e-8, "bulk_viscosity": 1e-8, "mach": 1.0})


@pytest.mark.parametrize(("low", "extent", "origin"), [(0.0, 1.0, 0.0), (-1.0, 2.0, -1.0)])
def test_coordinates_are_cell_centres(tmp_path, low, extent, origin):
    path = write_pdebench_tensor(tmp_path / "a.hdf5", {"Nu": 0.1}, num_points=1024, low=low)
    assert stored(path, "x-coordinate")[0] == np.float32(low + extent / 2048)
    assert opened(path)[0].grid.extent == (extent,)
    walled = opened(write_pdebench_groups(tmp_path / "b.h5", "rdb"))[0].grid
    assert [axis.extent for axis in walled.axes] == [5.0, 5.0]
    assert [axis.origin for axis in walled.axes] == [-2.5, -2.5]
    axis = opened(path)[0].grid.axes[0]
    assert np.allclose(axis.coordinates(), stored(path, "x-coordinate"), atol=1e-6)
    assert axis.origin == pytest.approx(origin + axis.spacing / 2, abs=1e-6)


def test_a_download_without_name_or_suffix_is_recognised(tmp_path):
    (tmp_path / "folder").mkdir()
    write_pdebench_gas(tmp_path / "folder" / "164690")
    assert open_trajectories(tmp_path / "folder" / "164690").format == "pdebench"
    assert len(open_trajectories(tmp_path / "folder")) == 2


def test_a_test_file_without_trajectory_axis_is_one_trajectory(tmp_path):
    for path in (
        write_pdebench_gas(tmp_path / "a.hdf5", space=(8, 8), num_frames=5, batched=False),
        write_pdebench_tensor(tmp_path / "b.hdf5", {"Nu": 1.0}, num_frames=5, batched=False),
    ):
        collection = opened(path)
        key = "density" if path.stem == "a" else "tensor"
        assert len(collection) == 1
        assert collection[0].num_frames == 5
        assert np.array_equal(collection.read(0, 1, 3).fields[:, 0], stored(path, key)[1:3])


def test_axes_that_do_not_fit_the_coordinates_are_an_error(tmp_path):
    path = write_pdebench_gas(tmp_path / "a.hdf5", space=(8, 6))
    with h5py.File(path, "a") as file:
        file["Vy"].file.move("Vy", "old")
        file["Vy"] = np.zeros((2, 3, 6, 8), np.float32)
    with pytest.raises(DataError, match="as the coordinates say"):
        len(opened(path))


def test_a_crashed_run_is_visible_as_zeros(tmp_path):
    path = write_pdebench_gas(tmp_path / "a.hdf5", num_frames=4)
    with h5py.File(path, "a") as file:
        for key in ("density", "pressure", "Vx", "Vy"):
            file[key][1, 2:] = 0
    collection = opened(path)
    assert len(collection) == 2
    assert not collection[1].fields[2:].any()
    assert collection[1].fields[:2].any()


def test_outflow_is_only_in_the_published_name_and_the_user_decides(tmp_path):
    name = "1D_CFD_Shock_Eta1.e-8_Zeta1.e-8_trans_Train.hdf5"
    for given, sides in ((name, (O, O)), ("transonic.hdf5", (P, P))):
        path = write_pdebench_gas(tmp_path / given, space=(16,))
        assert opened(path)[0].boundary == (sides,)
    walled = opened(tmp_path / name, boundary="wall")[0]
    assert walled.boundary == ((W, W),)
    assert not walled.grid.axes[0].periodic


def test_darcy_flow_is_one_steady_frame_with_its_coefficient(tmp_path):
    path = write_pdebench_darcy(tmp_path / "a.hdf5", num=3)
    collection = opened(path)
    trajectory = collection[2]
    assert len(collection) == 3
    assert trajectory.names == ("pressure",)
    assert trajectory.num_frames == 1
    assert trajectory.constant_names == ("permeability",)
    assert np.array_equal(trajectory.constants[0], stored(path, "nu")[2])
    assert np.array_equal(trajectory.fields[:, 0], stored(path, "tensor")[2])
    assert trajectory.boundary == ((W, W),) * 2
    assert trajectory.parameters == {"source": 10.0}
    assert trajectory.grid.extent == (1.0, 1.0)


@pytest.mark.parametrize("config", ["published", None])
@pytest.mark.parametrize(
    ("equation", "names", "swapped", "sides"),
    [("diff-react", ("activator", "inhibitor"), True, W), ("rdb", ("height",), False, O)],
)
def test_both_orders_of_axes_come_out_with_x_first(
    tmp_path, equation, names, swapped, sides, config
):
    path = write_pdebench_groups(tmp_path / "a.h5", equation, num_x=8, num_y=6, config=config)
    values = stored(path, "0001/data")
    assert values.shape[1:3] == ((6, 8) if swapped else (8, 6))
    trajectory = opened(path)[1]
    assert trajectory.names == names
    assert trajectory.grid.shape == (8, 6)
    assert trajectory.grid.names == ("x", "y")
    expected = np.moveaxis(values, -1, 1)
    assert np.array_equal(trajectory.fields, expected.swapaxes(2, 3) if swapped else expected)
    assert trajectory.boundary == ((sides, sides),) * 2


def test_a_square_grid_is_turned_too_and_lengths_win_over_the_equation(tmp_path):
    square = write_pdebench_groups(tmp_path / "a.h5", "diff-react", num_x=6, num_y=6)
    expected = np.moveaxis(stored(square, "0000/data"), -1, 1).swapaxes(2, 3)
    assert np.array_equal(opened(square)[0].fields, expected)
    other = write_pdebench_groups(tmp_path / "b.h5", "diff-react", num_x=8, num_y=6)
    with h5py.File(other, "a") as file:
        x, y = file["0000/grid/x"][()], file["0000/grid/y"][()]
        del file["0000/grid/x"], file["0000/grid/y"]
        file["0000/grid/x"], file["0000/grid/y"] = y, x
    assert opened(other)[0].grid.shape == (6, 8)


def test_diffusion_sorption_has_one_axis(tmp_path):
    path = write_pdebench_groups(tmp_path / "a.h5", "diff-sorp", num_x=16)
    trajectory = opened(path)[0]
    assert trajectory.names == ("concentration",)
    assert np.array_equal(trajectory.fields[:, 0], stored(path, "0000/data")[..., 0])
    assert trajectory.boundary == ((W, O),)
    assert trajectory.times[-1] == 500
    assert trajectory.parameters["porosity"] == 0.29
    assert trajectory.parameters["freundlich_coefficient"] == 0.00035


def test_each_seed_has_its_own_parameters(tmp_path):
    collection = opened(write_pdebench_groups(tmp_path / "a.h5", "rdb", seeds=(3, 7)))
    assert [trajectory.parameters["dam_radius"] for trajectory in collection] == [0.3, 0.7]
    assert collection[0].parameters["gravity"] == 1.0
    reaction = opened(write_pdebench_groups(tmp_path / "b.h5", "diff-react"))[0]
    assert reaction.parameters == {"diffusivity_u": 1e-3, "diffusivity_v": 5e-3, "offset": 5e-3}


def test_numbers_of_seeds_may_be_missing_and_are_in_order_of_numbers(tmp_path):
    path = write_pdebench_groups(tmp_path / "a.h5", "rdb", seeds=(10000, 7, 23))
    collection = opened(path)
    assert len(collection) == 3
    for index, group in enumerate(("0007", "0023", "10000")):
        fields = collection[index].fields[:, 0]
        assert np.array_equal(fields, stored(path, f"{group}/data")[..., 0])
    assert collection.storage().keys() == {"0007/data"}


def test_the_first_frame_of_noise_is_read_as_it_is(tmp_path):
    path = write_pdebench_groups(tmp_path / "a.h5", "diff-react")
    assert opened(path)[0].times[0] == 0
    assert opened(path).num_frames(0) == len(stored(path, "0000/data"))


def test_groups_are_listed_once(tmp_path, monkeypatch):
    collection = opened(write_pdebench_groups(tmp_path / "a.h5", "rdb"))
    collection[0]
    monkeypatch.setattr(h5py.Group, "__iter__", lambda self: pytest.fail("listed again"))
    collection[1]
    collection.read(2, 1, 2)


def test_a_config_is_read_by_a_safe_loader(tmp_path):
    hostile = "sim: !!python/object/apply:os.system ['touch owned']\n"
    path = write_pdebench_groups(tmp_path / "a.h5", "rdb", config=hostile)
    with pytest.raises(DataError, match="config"):
        opened(path)[0]
    broken = write_pdebench_groups(tmp_path / "b.h5", "rdb", config="sim: [1, 2\n")
    with pytest.raises(DataError, match="config"):
        opened(broken)[0]


def test_a_group_without_data_is_named(tmp_path):
    path = write_pdebench_groups(tmp_path / "a.h5", "rdb")
    with h5py.File(path, "a") as file:
        del file["0001/data"]
    with pytest.raises(DataError, match="group 0001 holds no trajectory"):
        len(opened(path))


def test_an_unfinished_run_ends_at_its_latest_index(tmp_path):
    path = write_pdebench_incompressible(tmp_path / "a.h5", num_frames=6, latest=3)
    assert not stored(path, "velocity")[:, 4:].any()
    collection = opened(path)
    assert len(collection) == 2
    assert collection.num_frames(1) == 4
    assert collection[1].fields[-1].any()
    assert collection[1].times.tolist() == pytest.approx([0, 0.005, 0.01, 0.015])
    finished = write_pdebench_incompressible(tmp_path / "b.h5", num_frames=6, latest=5)
    without = write_pdebench_incompressible(tmp_path / "c.h5", num_frames=6, latest=None)
    assert opened(finished).num_frames(0) == 6
    assert opened(without).num_frames(0) == 6
    assert not len(opened(write_pdebench_incompressible(tmp_path / "d.h5", latest=-1)))


def test_an_incompressible_run_has_its_force_as_a_constant(tmp_path):
    path = write_pdebench_incompressible(tmp_path / "a.h5", space=(8, 6))
    trajectory = opened(path).read(1, 2, 4)
    assert trajectory.names == ("velocity_x", "velocity_y", "particles")
    assert trajectory.grid.shape == (8, 6)
    velocity = stored(path, "velocity")[1, 2:4]
    assert np.array_equal(trajectory.fields[:, :2], np.moveaxis(velocity, -1, 1))
    assert np.array_equal(trajectory.fields[:, 2], stored(path, "particles")[1, 2:4, ..., 0])
    assert trajectory.constant_names == ("force_x", "force_y")
    assert np.array_equal(trajectory.constants, np.moveaxis(stored(path, "force")[1], -1, 0))
    assert trajectory.parameters == {"viscosity": 0.01}
    assert trajectory.boundary == ((W, W),) * 2


def test_the_config_of_an_incompressible_run_tells_its_sides_and_lengths(tmp_path):
    config = "velocity_extrapolation: PERIODIC\ndomain_size: [2, 3]\n"
    trajectory = opened(write_pdebench_incompressible(tmp_path / "a.h5", config=config))[0]
    assert trajectory.boundary == ((P, P),) * 2
    assert trajectory.grid.extent == (2.0, 3.0)


def test_storage_is_told(tmp_path):
    layout = opened(write_pdebench_incompressible(tmp_path / "a.h5")).storage()
    assert layout["velocity"].chunks == (1, 1, 8, 6, 2)
    assert layout["velocity"].compression == "lzf"
    assert opened(write_pdebench_gas(tmp_path / "b.h5")).storage()["Vx"].chunks is None


@pytest.mark.parametrize("kind", ["flat", "groups", "incompressible"])
def test_only_the_asked_frames_are_read_also_after_pickling(tmp_path, monkeypatch, kind):
    path = tmp_path / "a.h5"
    if kind == "flat":
        write_pdebench_gas(path, num_frames=6)
    elif kind == "groups":
        write_pdebench_groups(path, "rdb", num_frames=6)
    else:
        write_pdebench_incompressible(path)
    collection = opened(path)
    whole = collection[1]
    read: list[int] = []
    original = h5py.Dataset.__getitem__

    def counted(self, args, **more):
        values = original(self, args, **more)
        read.append(np.size(values) if self.ndim > 2 else 0)
        return values

    again = pickle.loads(pickle.dumps(collection))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    part = again.read(1, 2, 4)
    assert torch.equal(part.fields, whole.fields[2:4])
    assert torch.equal(part.times, whole.times[2:4])
    constants = 0 if part.constants is None else part.constants.numel()
    assert sum(read) == part.fields.numel() + constants


def test_foreign_hdf5_is_not_taken_for_pdebench(tmp_path):
    foreign = {
        "one": {"tensor": np.zeros((2, 3, 8), np.float32)},
        "two": {"x-coordinate": np.zeros(8)},
        "three": {"0000/data": np.zeros((3, 8, 8))},
        "four": {"velocity": np.zeros((2, 3)), "particles": np.zeros(3), "t": np.zeros(3)},
        "five": {"tensor": np.array([b"text"]), "x-coordinate": np.zeros(8)},
    }
    for name, arrays in foreign.items():
        with h5py.File(tmp_path / name, "w") as file:
            for key, values in arrays.items():
                file[key] = values
        assert PDEBenchFile.recognise(tmp_path / name) is None
        with pytest.raises(DataError, match="none of PDEBench's layouts"):
            len(opened(tmp_path / name, "pdebench"))


def test_the_user_may_name_an_unknown_tensor(tmp_path):
    path = write_pdebench_flat(
        tmp_path / "a.hdf5", {"tensor": np.zeros((1, 3, 8, 6))}, {},
        {"x": (0, 1), "y": (0, 3)}, num_frames=3, space=(8, 6),
    )  # fmt: skip
    trajectory = opened(path, names="u", dt=0.5)[0]
    assert trajectory.names == ("u",)
    assert trajectory.times.tolist() == [0, 0.5, 1]
    assert trajectory.grid.extent == (1.0, 3.0)
