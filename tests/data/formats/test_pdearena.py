"""PDEArena's smoke and weather, and the traps in both."""

import pickle

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.pdearena_shallow_water import ShallowWaterRun
from pdefm.data.open import open_trajectories, present_splits
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError
from tests.data.formats.write_pdearena import write_pdearena_smoke, write_pdearena_weather

P, W, O = BoundaryCondition.PERIODIC, BoundaryCondition.WALL, BoundaryCondition.OPEN  # noqa: E741


def opened(path, *args, **options):
    """Without the look from a child process, which is tested elsewhere and takes its time."""
    return open_trajectories(path, *args, trust=True, **options)


def stored(path, key):
    with h5py.File(path) as file:
        return file[key][()]


def test_smoke_is_float64_on_disk_and_float32_in_memory(tmp_path):
    path = write_pdearena_smoke(tmp_path / "a.h5", space=(8, 6))
    collection = opened(path)
    trajectory = collection[1]
    assert stored(path, "train/u").dtype == np.float64
    assert trajectory.fields.dtype == torch.float32
    assert collection.format == "pdearena"
    assert collection.licence == "MIT"
    assert "vx" in collection.reason
    assert trajectory.names == ("smoke", "velocity_x", "velocity_y")
    for channel, key in enumerate(("u", "vx", "vy")):
        expected = stored(path, f"train/{key}")[1].astype(np.float32)
        assert np.array_equal(trajectory.fields[:, channel], expected)
    assert trajectory.parameters == {"buoyancy": 0.5}
    assert trajectory.boundary == ((W, W),) * 2
    assert collection.storage()["train/u"].dtype == "float64"


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_each_split_has_its_own_group(tmp_path, split):
    path = write_pdearena_smoke(tmp_path / "a.h5", split=split, num=3)
    assert len(opened(path)) == 3


def test_time_goes_by_dt_and_not_by_the_stored_times(tmp_path):
    path = write_pdearena_smoke(tmp_path / "a.h5", num_frames=14, dt=6.0)
    assert np.diff(stored(path, "train/t")[0])[0] == pytest.approx(6 * 14 / 13)
    trajectory = opened(path)[0]
    assert trajectory.dt == 6.0
    assert trajectory.times[0] == 18.0
    assert opened(path).read(0, 2, 4).times.tolist() == [30.0, 36.0]


def test_the_box_is_as_long_as_from_the_first_to_the_last_point(tmp_path):
    path = write_pdearena_smoke(tmp_path / "a.h5", space=(16, 8))
    axes = opened(path)[0].grid.axes
    assert stored(path, "train/dx")[0] == pytest.approx(32 / 15)
    assert [axis.extent for axis in axes] == [32.0, 32.0]
    assert [axis.spacing for axis in axes] == [2.0, 4.0]
    assert axes[0].coordinates()[0] == 1.0


def test_staggered_velocities_are_told_also_by_parts_and_folders(tmp_path):
    write_pdearena_smoke(tmp_path / "a_1.h5")
    write_pdearena_smoke(tmp_path / "a_2.h5")
    folder = opened(tmp_path)
    assert opened(tmp_path / "a_1.h5").staggered
    assert folder.staggered
    assert folder[:1].staggered
    weather = write_pdearena_weather(tmp_path / "run" / "output.nc")
    assert not opened(weather).staggered


def test_the_split_is_in_the_published_name(tmp_path):
    for split, seed in (("train", 100), ("valid", 200), ("test", 300)):
        write_pdearena_smoke(tmp_path / f"NavierStokes2D_{split}_{seed}_0.50000.h5", split=split)
    assert present_splits(tmp_path, trust=True) == ["train", "valid", "test"]
    for format in ("auto", "pdearena"):
        collection = opened(tmp_path, format, split="valid")
        assert len(collection) == 2
        assert "valid" in collection[0].source.name
        assert len(opened(tmp_path, format)) == 6


def test_a_file_that_is_a_git_lfs_pointer_is_told(tmp_path):
    write_pdearena_smoke(tmp_path / "NavierStokes2D_train_1_0.2_32.h5")
    pointer = tmp_path / "NavierStokes2D_train_496019_0.38774_32.h5"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for path in (pointer, tmp_path):
        with pytest.raises(DataError, match="Git LFS pointer"):
            open_trajectories(path)


def test_trajectories_of_several_buoyancies_keep_their_own(tmp_path):
    for number, buoyancy in enumerate((0.3, 0.4)):
        write_pdearena_smoke(tmp_path / f"{number}.h5", num=1, buoyancy=buoyancy)
    assert [t.parameters["buoyancy"] for t in opened(tmp_path)] == [0.3, 0.4]


@pytest.mark.parametrize("south_first", [True, False])
def test_weather_has_east_first_and_north_up_and_no_level(tmp_path, south_first):
    path = write_pdearena_weather(tmp_path / "output.nc", south_first=south_first)
    collection = opened(path)
    trajectory = collection[0]
    assert collection.format == "pdearena"
    assert "lev" in collection.reason
    names = ("velocity_x", "velocity_y", "vorticity", "divergence", "pressure")
    assert trajectory.names == names
    assert trajectory.units == ("m/s", "m/s", "1/s", "1/s", "hPa")
    assert trajectory.grid.names == ("x", "y")
    assert trajectory.grid.shape == (12, 6)
    assert trajectory.boundary == ((P, P), (O, O))
    assert trajectory.grid.extent == (360.0, 180.0)
    assert trajectory.grid.axes[1].origin == -90.0
    assert stored(path, "vor").shape == (6, 1, 6, 12)
    for channel, key in enumerate(("u", "v", "vor", "div", "pres")):
        values = stored(path, key).reshape(6, 6, 12)
        north_up = values if south_first else values[:, ::-1]
        assert np.array_equal(trajectory.fields[:, channel], north_up.swapaxes(1, 2))
    assert trajectory.dt == 6.0


def test_gaussian_latitudes_are_treated_as_even_without_a_warning(tmp_path, recwarn):
    path = write_pdearena_weather(tmp_path / "output.nc", num_lat=96)
    with h5py.File(path, "a") as file:
        nodes = np.polynomial.legendre.leggauss(96)[0]
        file["lat"][...] = np.degrees(np.arcsin(nodes))[::-1]
    assert opened(path)[0].grid.extent[1] == pytest.approx(179.0, abs=0.1)
    assert not [w for w in recwarn if "evenly" in str(w.message)]


def test_more_than_one_level_is_not_shallow_water(tmp_path):
    path = write_pdearena_weather(tmp_path / "output.nc", num_lev=2)
    assert ShallowWaterRun.recognise(path) is None
    with pytest.raises(DataError, match="PDEArena"):
        opened(path, "pdearena")


def write_runs(folder, splits=("train", "valid")):
    for split in splits:
        for number, (seed, run) in enumerate(((10, 1), (2, 10), (2, 9))):
            place = folder / split / f"seed={seed}" / f"run{run}" / "output.nc"
            write_pdearena_weather(place, seed=number, num_frames=4 + number)
    return folder


def test_a_folder_of_runs_is_read_in_the_order_of_its_numbers(tmp_path):
    write_runs(tmp_path)
    assert present_splits(tmp_path, trust=True) == ["train", "valid"]
    for path, options in ((tmp_path, {"split": "train"}), (tmp_path / "train", {})):
        for format in ("auto", "pdearena"):
            collection = opened(path, format, **options)
            assert len(collection) == 3
            places = [trajectory.source.name for trajectory in collection]
            order = [("seed=2", "run9"), ("seed=2", "run10"), ("seed=10", "run1")]
            assert [tuple(place.split("/")[-3:-1]) for place in places] == order
            assert [collection.num_frames(i) for i in range(3)] == [6, 5, 4]
            assert [list(group) for group in collection.groups()] == [[0, 1, 2]]
    assert len(opened(tmp_path)) == 6
    assert opened(tmp_path / "train").reason.startswith("folder of runs")
    assert len(opened(tmp_path / "train" / "seed=2")) == 2


def test_the_length_of_a_folder_is_known_without_opening_its_runs(tmp_path, monkeypatch):
    collection = opened(write_runs(tmp_path), split="train")
    again = pickle.loads(pickle.dumps(collection))
    monkeypatch.setattr(h5py, "File", lambda *_: pytest.fail("a file was opened"))
    assert len(again) == 3


@pytest.mark.parametrize("kind", ["smoke", "weather"])
def test_only_the_asked_frames_are_read_also_after_pickling(tmp_path, monkeypatch, kind):
    write = write_pdearena_smoke if kind == "smoke" else write_pdearena_weather
    collection = opened(write(tmp_path / "output.nc", num_frames=6))
    whole = collection[0]
    read: list[int] = []
    original = h5py.Dataset.__getitem__

    def counted(self, args, **more):
        values = original(self, args, **more)
        read.append(np.size(values) if self.ndim > 2 else 0)
        return values

    again = pickle.loads(pickle.dumps(collection))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    part = again.read(0, 2, 4)
    assert torch.equal(part.fields, whole.fields[2:4])
    assert torch.equal(part.times, whole.times[2:4])
    assert sum(read) == part.fields.numel()


def test_a_folder_without_runs_is_told(tmp_path):
    (tmp_path / "seed=1").mkdir()
    with pytest.raises(DataError, match="no data files"):
        opened(tmp_path, "pdearena")


def test_damaged_smoke_names_the_file(tmp_path):
    path = write_pdearena_smoke(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["train/x"]
    with pytest.raises(DataError, match=r"a\.h5"):
        opened(path)[0]
    uneven = write_pdearena_smoke(tmp_path / "b.h5")
    with h5py.File(uneven, "a") as file:
        del file["train/vy"]
        file["train/vy"] = np.zeros((2, 3, 8, 7))
    with pytest.raises(DataError, match="need one shape"):
        len(opened(uneven))
    incomplete = write_pdearena_smoke(tmp_path / "c.h5")
    with h5py.File(incomplete, "a") as file:
        del file["train/vy"]
    with pytest.raises(DataError, match="PDEArena"):
        opened(incomplete, "pdearena")
