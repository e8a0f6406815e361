"""PDEgym: shards in numeric order, fields named by content, steady data and constants."""

import pickle

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.poseidon import PoseidonData
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError, RecipeError
from tests.data.formats.write_poseidon import (
    numbers,
    save,
    write_helmholtz,
    write_poseidon,
    write_poseidon_shards,
)

P, W, O = BoundaryCondition.PERIODIC, BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


def sides(trajectory):
    found = {side for pair in trajectory.boundary for side in pair}
    assert len(found) == 1
    return found.pop()


def test_an_assembled_file_is_read_as_published(tmp_path):
    collection = open_trajectories(write_poseidon(tmp_path / "NS-Sines.nc"))
    assert collection.format == "poseidon"
    assert collection.reason == "NetCDF-4 with velocity over sample, time, channel, x, y"
    assert len(collection) == 2
    trajectory = collection[1]
    assert trajectory.names == ("velocity_x", "velocity_y", "concentration")
    assert np.array_equal(trajectory.fields.numpy(), numbers(2, 21, 3, 8, 8)[1])
    assert trajectory.grid.extent == (1.0, 1.0)
    assert trajectory.grid.names == ("x", "y")
    assert sides(trajectory) is P
    assert trajectory.grid.axes[0].periodic
    assert trajectory.units == ("dimensionless",) * 3


def test_time_is_normalised_to_one(tmp_path):
    collection = open_trajectories(write_poseidon(tmp_path / "a.nc"))
    assert collection[0].times.tolist() == pytest.approx(np.arange(21) / 20)
    assert collection.read(0, 7, 9).times.tolist() == pytest.approx([7 / 20, 8 / 20])
    said = open_trajectories(tmp_path / "a.nc", dt=0.5, boundary="wall")
    assert said.read(0, 7, 9).times.tolist() == [3.5, 4.0]
    assert sides(said[0]) is W


def test_the_licence_is_surfaced(tmp_path):
    assert "BY-NC 4.0" in open_trajectories(write_poseidon(tmp_path / "a.nc")).licence


def test_shards_go_on_in_the_order_of_their_numbers_not_of_their_names(tmp_path):
    folder = tmp_path / "NS-Sines"
    expected = write_poseidon_shards(folder, num_shards=12)
    names = sorted(path.name for path in folder.glob("*.nc"))
    assert names[:4] == ["velocity_0.nc", "velocity_1.nc", "velocity_10.nc", "velocity_11.nc"]
    collection = open_trajectories(folder)
    assert isinstance(collection, PoseidonData)
    assert "shards" in collection.reason
    assert len(collection) == len(expected) == 18
    for index, trajectory in enumerate(collection):
        assert np.array_equal(trajectory.fields.numpy(), expected[index]), index
        assert str(trajectory.source) == f"{folder}[{index}]"
    again = pickle.loads(pickle.dumps(collection))
    assert torch.equal(again[-1].fields, collection[17].fields)


def test_shards_of_compressible_flow_are_read(tmp_path):
    expected = write_poseidon_shards(tmp_path / "CE-RP", "data", num_shards=2, channels=5)
    trajectory = open_trajectories(tmp_path / "CE-RP")[2]
    assert trajectory.names == ("density", "velocity_x", "velocity_y", "pressure", "energy")
    assert np.array_equal(trajectory.fields.numpy(), expected[2])
    assert sides(trajectory) is P


def test_a_missing_shard_is_an_error(tmp_path):
    write_poseidon_shards(tmp_path / "a", num_shards=4)
    (tmp_path / "a/velocity_2.nc").unlink()
    with pytest.raises(DataError, match=r"do not count 0, 1, 2.*no velocity_2\.nc"):
        open_trajectories(tmp_path / "a")
    assert len(open_trajectories(tmp_path / "a/velocity_3.nc")) == 2


def test_shards_beside_the_assembled_file_are_not_read_twice(tmp_path):
    write_poseidon_shards(tmp_path / "a", num_shards=2)
    write_poseidon(tmp_path / "a/NS-Sines.nc")
    with pytest.raises(DataError, match=r"beside other data.*NS-Sines\.nc"):
        open_trajectories(tmp_path / "a")


@pytest.mark.parametrize(
    ("variable", "channels", "message"),
    [
        ("velocity", 2, r"velocity_2\.nc: 'velocity' has another shape"),
        ("data", 3, r"velocity_2\.nc holds no 'velocity'"),
        ("", 0, r"velocity_2\.nc: cannot be read as HDF5"),
    ],
)
def test_a_foreign_or_damaged_shard_is_named(tmp_path, variable, channels, message):
    write_poseidon_shards(tmp_path, num_shards=2)
    if variable:
        save(tmp_path / "velocity_2.nc", variable, numbers(1, 21, channels, 8, 8))
    else:
        (tmp_path / "velocity_2.nc").write_bytes(b"version https://git-lfs")
    with pytest.raises(DataError, match=message):
        len(open_trajectories(tmp_path))


def test_waves_have_no_channel_axis_and_a_constant_speed(tmp_path):
    field, speed = numbers(3, 21, 8, 8), 3500 + numbers(3, 8, 8, seed=1)
    save(tmp_path / "Wave-Layer.nc", "solution", field, c=speed)
    trajectory = open_trajectories(tmp_path / "Wave-Layer.nc")[2]
    assert trajectory.names == ("pressure",)
    assert np.array_equal(trajectory.fields[:, 0].numpy(), field[2])
    assert trajectory.constant_names == ("wave_speed",)
    assert np.array_equal(trajectory.constants[0].numpy(), speed[2])
    assert sides(trajectory) is O


def test_shards_of_waves_share_one_file_of_speeds(tmp_path):
    field, speed = numbers(22, 21, 8, 8), 3500 + numbers(22, 8, 8, seed=1)
    for i in range(11):
        save(tmp_path / f"solution_{i}.nc", "solution", field[2 * i : 2 * i + 2])
    save(tmp_path / "c_0.nc", "c", speed)
    collection = open_trajectories(tmp_path)
    assert len(collection) == 22
    assert np.array_equal(collection[21].fields[:, 0].numpy(), field[21])
    assert np.array_equal(collection[21].constants[0].numpy(), speed[21])


def test_a_coefficient_that_is_not_there_for_every_sample_is_an_error(tmp_path):
    save(tmp_path / "solution_0.nc", "solution", numbers(4, 21, 8, 8))
    save(tmp_path / "c_0.nc", "c", numbers(3, 8, 8))
    with pytest.raises(DataError, match=r"'c' is not there for every sample.*3 for 4"):
        open_trajectories(tmp_path)[0]


def test_allen_cahn_has_twenty_frames(tmp_path):
    save(tmp_path / "ACE.nc", "solution", numbers(2, 20, 8, 8))
    trajectory = open_trajectories(tmp_path / "ACE.nc")[0]
    assert trajectory.names == ("phase",)
    assert trajectory.num_frames == 20
    assert float(trajectory.times[-1]) == pytest.approx(1.0)
    save(tmp_path / "other.nc", "solution", numbers(2, 7, 8, 8))
    assert open_trajectories(tmp_path / "other.nc")[0].names == ("channel_0",)


def test_an_airfoil_is_the_mask(tmp_path):
    values = numbers(2, 2, 8, 8)
    values[:, 0] = 0
    values[:, 0, 3:5, 2:6] = 1
    save(tmp_path / "SE-AF.nc", "solution", values, steady=True)
    trajectory = open_trajectories(tmp_path / "SE-AF.nc")[1]
    assert trajectory.num_frames == 1
    assert trajectory.names == ("density",)
    assert np.array_equal(trajectory.fields[0, 0].numpy(), values[1, 1])
    assert np.array_equal(trajectory.mask.numpy(), values[1, 0] == 0)
    assert trajectory.constant_names == ("shape",)


def test_poisson_has_a_source_and_one_frame(tmp_path):
    field, source = numbers(3, 8, 8), numbers(3, 8, 8, seed=1)
    save(tmp_path / "Poisson-Gauss.nc", "solution", field, source=source)
    trajectory = open_trajectories(tmp_path / "Poisson-Gauss.nc")[1]
    assert trajectory.names == ("potential",)
    assert np.array_equal(trajectory.fields[0, 0].numpy(), field[1])
    assert np.array_equal(trajectory.constants[0].numpy(), source[1])
    assert sides(trajectory) is W


def test_helmholtz_samples_come_in_the_order_of_their_numbers(tmp_path):
    path = write_helmholtz(tmp_path / "Helmholtz.h5")
    with h5py.File(path) as file:
        assert list(file)[:3] == ["Sample_0", "Sample_1", "Sample_10"]
    collection = open_trajectories(path)
    assert collection.format == "poseidon"
    assert [trajectory.parameters["boundary_value"] for trajectory in collection] == [
        0.25 * i for i in range(12)
    ]
    assert np.array_equal(collection[2].fields[0, 0].numpy(), numbers(8, 8, seed=102))
    assert np.array_equal(collection[2].constants[0].numpy(), numbers(8, 8, seed=2))


def test_gravity_is_the_last_channel_and_unknown_ones_are_numbered(tmp_path):
    save(tmp_path / "GCE-RT.nc", "solution", numbers(1, 11, 6, 8, 8))
    trajectory = open_trajectories(tmp_path / "GCE-RT.nc")[0]
    assert trajectory.names[3:] == ("pressure", "channel_4", "gravitational_potential")
    assert sides(trajectory) is O
    save(tmp_path / "other.nc", "solution", numbers(1, 11, 7, 8, 8))
    assert open_trajectories(tmp_path / "other.nc")[0].names == tuple(
        f"channel_{i}" for i in range(7)
    )


def test_a_field_that_is_stored_transposed_stays_as_it_is(tmp_path):
    values = numbers(1, 21, 3, 8, 6)
    save(tmp_path / "NS-SL.nc", "velocity", values)
    assert np.array_equal(open_trajectories(tmp_path / "NS-SL.nc")[0].fields.numpy(), values[0])


def test_only_the_asked_frames_are_read(tmp_path):
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("velocity", (10**6, 21, 3, 8, 8), "f4", chunks=(1, 1, 3, 8, 8))
    collection = open_trajectories(path, "poseidon", trust=True)  # almost nothing is stored
    assert collection.read(-1, 3, 5).fields.shape == (2, 3, 8, 8)
    assert collection.storage()["velocity"].chunks == (1, 1, 3, 8, 8)


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        (("velocity", "particles"), (2, 4, 8, 8, 2)),  # PDEBench
        (("data",), (2, 8, 8, 5, 3)),  # DPOT, one file
        (("data",), (8, 8, 5, 3)),  # DPOT, scattered
        (("solution",), (2, 8, 8)),
    ],
)
def test_other_files_with_such_keys_are_not_taken(tmp_path, keys, shape):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key in keys:
            file[key] = np.zeros(shape, np.float32)
    assert PoseidonData.recognise(tmp_path / "a.h5") is None


def test_a_users_netcdf_with_other_dimensions_is_not_taken(tmp_path):
    import h5netcdf

    with h5netcdf.File(tmp_path / "a.nc", "w") as file:
        file.dimensions = {"time": 4, "lat": 8, "lon": 8}
        file.create_variable("data", ("time", "lat", "lon"), data=numbers(4, 8, 8))
    assert PoseidonData.recognise(tmp_path / "a.nc") is None


def test_a_wrong_file_opened_by_name_is_a_clear_error(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pressure"] = np.zeros((2, 3))
    with pytest.raises(DataError, match="no variable of PDEgym"):
        len(open_trajectories(tmp_path / "a.h5", "poseidon"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no shards"):
        PoseidonData(tmp_path / "empty")
    with pytest.raises(RecipeError, match="axes has no meaning"):
        open_trajectories(write_poseidon(tmp_path / "b.nc"), "poseidon", axes="N T C X Y")


@pytest.mark.parametrize("kind", ["wave", "helmholtz"])
def test_damaged_bytes_give_clear_errors_only(tmp_path, kind):
    path = tmp_path / "whole.h5"
    if kind == "wave":
        save(path, "solution", numbers(2, 3, 8, 8), c=numbers(2, 8, 8))
    else:
        write_helmholtz(path, 3)
    whole, rng, typed = path.read_bytes(), np.random.default_rng(2), 0
    for number in range(80):
        damaged = bytearray(whole)
        for place in rng.integers(0, 6000, int(rng.choice([1, 4, 30]))):
            damaged[place] = rng.integers(256)
        mutant = tmp_path / f"{number}.h5"
        mutant.write_bytes(damaged)
        try:
            open_trajectories(mutant, "poseidon", trust=True)[0]
        except DataError:
            typed += 1
    assert typed > 20
