"""A user's own files of several arrays: every kind of file, the same numbers."""

import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.arrays import ArrayFile
from pdefm.data.formats.containers import CONTAINERS
from pdefm.data.open import open_trajectories
from pdefm.data.summary import summarise
from pdefm.domain import Axis, BoundaryCondition
from pdefm.errors import DataError
from tests.data.formats.write_arrays import (
    WITH_NAMED_AXES,
    WITHOUT_NAMED_AXES,
    write_hdf5,
    write_mat73,
    write_netcdf3,
    write_netcdf4,
    write_npz,
    write_torch,
    write_zarr,
)

N, T, X, Y = 3, 5, 6, 8


def numbered(*shape, start=0.0, dtype=np.float64):
    return (start + np.arange(np.prod(shape)).reshape(shape)).astype(dtype)


@pytest.fixture
def fields():
    return {"u": numbered(N, T, X, Y), "v": numbered(N, T, X, Y, start=1000.0)}


@pytest.fixture
def kept_open():
    """How a file is opened; the looks of the child process are tested elsewhere."""

    def open_it(path, **options):
        return open_trajectories(path, trust=True, **options)

    return open_it


def save(kind, folder, *arguments):
    write, suffix = (WITHOUT_NAMED_AXES | WITH_NAMED_AXES)[kind]
    return write(folder / f"data{suffix}", *arguments)


@pytest.mark.parametrize("kind", WITHOUT_NAMED_AXES)
def test_every_kind_of_file_gives_the_same_trajectories(kind, tmp_path, fields, kept_open):
    extra = {"nu": np.array([0.1, 0.2, 0.3]), "rho": np.array(2.5)}
    path = save(kind, tmp_path, fields | extra)
    collection = open_trajectories(path, axes="N T X Y", dt=0.5)
    assert (collection.format, len(collection), collection.num_frames(0)) == ("arrays", N, T)
    part = collection.read(1, 2, 4)
    assert part.names == ("u", "v")
    assert np.array_equal(part.fields[:, 0], fields["u"][1, 2:4])
    assert np.array_equal(part.fields[:, 1], fields["v"][1, 2:4])
    assert part.fields.dtype == torch.float32
    assert part.times.tolist() == [1.0, 1.5]
    assert part.parameters == {"nu": 0.2, "rho": 2.5}
    assert collection.reason


@pytest.mark.parametrize("kind", WITH_NAMED_AXES)
def test_named_axes_need_no_words(kind, tmp_path, kept_open):
    arrays = {
        "time": 10.0 + 0.25 * np.arange(T),
        "y": np.linspace(0.5, 7.5, Y),
        "x": 2.0 * np.arange(X),
        "p": numbered(N, T, Y, X, start=50.0, dtype=np.float32),
        "u": numbered(N, T, Y, X, dtype=np.float32),
        "depth_at_rest": numbered(Y, X, dtype=np.float32),
        "nu": np.array([0.1, 0.2, 0.3]),
    }
    dims = {key: ("sample", "time", "y", "x") for key in ("u", "p")}
    dims |= {key: (key,) for key in ("time", "x", "y")}
    dims |= {"depth_at_rest": ("y", "x"), "nu": ("sample",)}
    path = save(kind, tmp_path, arrays, dims, {"u": {"units": "m/s"}})
    collection = open_trajectories(path)
    part = collection.read(2, 1, 3)
    assert len(collection) == N
    assert (part.names, part.units) == (("p", "u"), ("unknown", "m/s"))
    assert np.array_equal(part.fields[:, 1], arrays["u"][2, 1:3].swapaxes(1, 2))
    assert part.times.tolist() == [10.25, 10.5]
    assert part.grid.axes[0] == Axis("x", X, 12.0, True, 0.0)
    assert part.grid.axes[1] == Axis("y", Y, 8.0, True, 0.5)
    assert part.constant_names == ("depth_at_rest",)
    assert np.array_equal(part.constants[0], arrays["depth_at_rest"].T)
    assert part.parameters == {"nu": 0.3}
    assert summarise(collection)["dt"] == 0.25


@pytest.mark.parametrize("kind", WITHOUT_NAMED_AXES)
def test_a_pickled_collection_reads_on_and_carries_no_data(kind, tmp_path, fields):
    collection = open_trajectories(save(kind, tmp_path, fields), axes="N T X Y", trust=True)
    expected = collection[1].fields
    stored = pickle.dumps(collection)
    assert len(stored) < 1500
    assert torch.equal(pickle.loads(stored)[1].fields, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", ["npz", "hdf5", "zarr", "torch"])
def test_a_forked_process_opens_the_file_again(kind, tmp_path, fields):
    collection = open_trajectories(save(kind, tmp_path, fields), axes="N T X Y", trust=True)
    expected = collection[1].fields
    pid = os.fork()
    if not pid:
        os._exit(0 if torch.equal(collection[1].fields, expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("write", [write_hdf5, write_mat73])
def test_hdf5_reads_only_the_asked_frames(write, tmp_path, fields, monkeypatch):
    collection = open_trajectories(write(tmp_path / "a", fields), axes="N T X Y", trust=True)
    collection.read(0, 0, 1)
    count, original = [], h5py.Dataset.__getitem__

    def counted(data, index):
        part = original(data, index)
        count.append(np.size(part))
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    collection.read(1, 2, 4)
    assert count == [2 * X * Y] * 2


def test_zarr_reads_only_the_chunks_of_the_asked_frames(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", {"u": numbered(T, X, Y)})
    for frame in (0, 1, 3, 4):
        (path / "u" / "c" / str(frame) / "0" / "0").write_bytes(b"damaged")
    collection = open_trajectories(path, axes="T X Y", trust=True)
    assert np.array_equal(collection.read(0, 2, 3).fields[0, 0], numbered(T, X, Y)[2])
    with pytest.raises(DataError, match="cannot be read as a Zarr store"):
        collection.read(0, 1, 3)


def test_a_plain_member_of_npz_is_mapped_not_read(tmp_path, fields):
    collection = open_trajectories(
        write_npz(tmp_path / "a.npz", fields), axes="N T X Y", trust=True
    )
    collection[0]
    for key in fields:
        assert isinstance(collection.container.open_array(key), np.memmap)


def test_columns_first_in_npz_are_understood(tmp_path):
    path = write_npz(tmp_path / "a.npz", {"u": np.asfortranarray(numbered(T, X, Y))})
    fields = open_trajectories(path, axes="T X Y", trust=True)[0].fields
    assert np.array_equal(fields[:, 0], numbered(T, X, Y))


def test_tensors_are_mapped_except_in_the_old_format(tmp_path, fields, monkeypatch):
    asked, original = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: asked.append(k) or original(*a, **k))
    for legacy in (False, True):
        path = write_torch(tmp_path / f"{legacy}.pt", fields, legacy)
        open_trajectories(path, axes="N T X Y", trust=True)[0]
    assert [k["mmap"] for k in asked] == [True, False]
    assert all(k["weights_only"] for k in asked)


def test_a_bare_tensor_has_no_key(tmp_path):
    torch.save(torch.ones(T, 2, X, Y, dtype=torch.bfloat16), tmp_path / "a.pt")
    found = open_trajectories(tmp_path / "a.pt", axes="T C X Y", trust=True)[0]
    assert found.names == ("channel_0", "channel_1")
    assert found.fields.unique().tolist() == [1.0]


@pytest.mark.parametrize("kind", ["npz", "hdf5", "zarr"])
def test_variables_choose_and_name_the_fields(kind, tmp_path, kept_open):
    arrays = {
        "velocity": numbered(N, T, 2, X, Y),
        "press": numbered(N, T, X, Y),
        "forcing": numbered(X, Y),
        "shared": numbered(T, X, Y),
        "viscosity": np.array([1.0, 2.0, 3.0]),
        "big": numbered(1, 4, 2, 40, 40),
    }
    collection = kept_open(
        save(kind, tmp_path, arrays),
        axes="N T C X Y",
        variables="velocity,p=press,f=forcing,g=shared,nu=viscosity",
    )
    found = collection.read(2, 1, 2)
    assert found.names == ("velocity_0", "velocity_1", "p", "g")
    assert np.array_equal(found.fields[0, :2], arrays["velocity"][2, 1])
    assert np.array_equal(found.fields[0, 2], arrays["press"][2, 1])
    assert np.array_equal(found.fields[0, 3], arrays["shared"][1])
    assert found.constant_names == ("f",)
    assert np.array_equal(found.constants[0], arrays["forcing"])
    assert found.parameters == {"nu": 3.0}


def test_a_key_in_a_group_becomes_one_word(tmp_path, kept_open):
    path = write_hdf5(tmp_path / "a.h5", {"velocity/x": numbered(T, X), "t": np.arange(T) * 0.5})
    found = kept_open(path, axes="T X")[0]
    assert found.names == ("velocity_x",)
    assert found.dt == 0.5


def test_without_variables_the_largest_arrays_are_the_fields(tmp_path, kept_open):
    arrays = {"a": numbered(N, X, Y), "u": numbered(N, T, X, Y), "w": numbered(N, T, X, Y)}
    found = kept_open(write_npz(tmp_path / "a.npz", arrays), axes="N T X Y")[0]
    assert found.names == ("u", "w")
    assert found.constants is None


def test_a_time_step_in_the_file_is_used(tmp_path, kept_open):
    path = write_npz(tmp_path / "a.npz", {"u": numbered(T, X), "dt": np.array(0.2)})
    assert kept_open(path, axes="T X")[0].dt == pytest.approx(0.2)
    assert kept_open(path, axes="T X")[0].parameters == {}
    assert kept_open(path, axes="T X", dt=0.1)[0].dt == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((1, 1, T, X, Y), "T X Y", (1, T)),
        ((1, 1, T, X, Y), "N T X Y", (1, T)),
        ((N, T, 1, X, Y), "N T X Y", (N, T)),
        ((T, X, Y, 1), "T X Y", (1, T)),
    ],
)
def test_axes_of_length_one_too_many_are_left_out(tmp_path, kept_open, shape, axes, expected):
    np.save(tmp_path / "a.npy", numbered(*shape))
    collection = kept_open(tmp_path / "a.npy", axes=axes)
    assert (len(collection), collection.num_frames(0)) == expected
    assert np.array_equal(collection[0].fields[:, 0], numbered(*shape).reshape(-1, T, X, Y)[0])


@pytest.mark.parametrize("shape", [(1, T, X, 1, Y), (2, T, X, Y)])
def test_extra_axes_that_may_mean_something_are_refused(tmp_path, kept_open, shape):
    np.save(tmp_path / "a.npy", numbered(*shape))
    axes = "N T X Y" if 1 in shape else "T X Y"
    with pytest.raises(DataError, match=rf"{axes.count(' ') + 1} letters for an array of"):
        len(kept_open(tmp_path / "a.npy", axes=axes))


def test_axes_that_cannot_be_told_list_the_arrays_and_an_example_that_works(tmp_path, kept_open):
    path = write_npz(tmp_path / "a.npz", {"u": numbered(N, T, X, Y), "v": numbered(N, T, X, Y)})
    with pytest.raises(DataError, match=r"cannot be guessed: got u \[3, 5, 6, 8\], v") as raised:
        len(kept_open(path))
    assert "--axes 'N T X Y' --variables u=u,v=v" in str(raised.value)
    assert len(kept_open(path, axes="N T X Y", variables="u=u,v=v")) == N


def test_an_unknown_dimension_lists_the_arrays(tmp_path, kept_open):
    dims = {"u": ("time", "zonal", "y")}
    path = write_netcdf3(tmp_path / "a.nc", {"u": numbered(T, X, Y)}, dims)
    with pytest.raises(DataError, match=r"dimension 'zonal'.*u \[time 5, zonal 6, y 8\].*--axes"):
        len(kept_open(path))
    assert kept_open(path, axes="T X Y")[0].fields.shape == (T, 1, X, Y)


def test_an_unknown_variable_offers_the_nearest(tmp_path, kept_open):
    path = write_npz(tmp_path / "a.npz", {"pressure": numbered(T, X), "u": numbered(T, X)})
    with pytest.raises(DataError, match=r"got 'presure'\. Did you mean 'pressure'"):
        len(kept_open(path, axes="T X", variables="p=presure"))


def test_variables_of_different_grids_are_refused(tmp_path, kept_open):
    path = write_npz(tmp_path / "a.npz", {"u": numbered(T, X, Y), "v": numbered(T, X + 1, Y)})
    with pytest.raises(DataError, match=r"'u' does not lie on the grid of 'v'"):
        len(kept_open(path, axes="T X Y", variables="u,v"))


def test_complex_variables_are_refused(tmp_path, kept_open):
    path = write_npz(tmp_path / "a.npz", {"u": np.ones((T, X), complex)})
    with pytest.raises(DataError, match="u: fields must be real numbers: got dtype complex128"):
        len(kept_open(path, axes="T X"))


@pytest.mark.parametrize("kind", WITH_NAMED_AXES)
def test_geographic_axes_have_their_sides_and_directions(kind, tmp_path, kept_open):
    arrays = {
        "lon": np.arange(0, 360, 45.0),
        "lat": np.array([75.0, 45, 15, -15, -45, -75]),
        "lev": np.array([1.0]),
        "temperature": numbered(T, 1, 6, 8),
    }
    dims = {key: (key,) for key in ("lon", "lat", "lev")}
    dims["temperature"] = ("time", "lev", "lat", "lon")
    found = kept_open(save(kind, tmp_path, arrays, dims))[0]
    assert found.fields.shape == (T, 1, 8, 6)
    assert np.array_equal(found.fields[:, 0], arrays["temperature"][:, 0, ::-1].swapaxes(1, 2))
    assert found.grid.axes[1] == Axis("y", 6, 180.0, False, -90.0)
    assert found.boundary[0][0] is BoundaryCondition.PERIODIC
    assert found.boundary[1][0] is BoundaryCondition.OPEN


@pytest.mark.parametrize("write", [write_netcdf4, write_netcdf3, write_zarr])
def test_packed_integers_become_the_numbers_they_stand_for(write, tmp_path, kept_open):
    arrays = {"u": np.array([[0, 10], [-5, -99]], np.int16)}
    words = {"u": {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(-99).item()}}
    if write is write_netcdf4:
        words["u"]["_FillValue"] = np.int16(-99)
    path = write(tmp_path / "a", arrays, {"u": ("time", "x")}, words)
    found = kept_open(path)[0].fields[:, 0]
    assert found[0].tolist() == [1.0, 6.0]
    assert found[1, 0] == -1.5
    assert found[1, 1].isnan()


def test_uneven_points_are_warned_of(tmp_path, kept_open):
    arrays = {"x": np.array([0.0, 1, 2, 4]), "u": numbered(T, 4)}
    path = write_netcdf3(tmp_path / "a.nc", arrays, {"x": ("x",), "u": ("time", "x")})
    with pytest.warns(UserWarning, match="axis x is not evenly spaced"):
        kept_open(path)[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_folder_of_files_of_mixed_resolution(tmp_path):
    for number, size in enumerate((16, 8, 16)):
        arrays = {
            "x": np.arange(size) / size,
            "time": np.arange(4) * 0.1,
            "height": numbered(4, size, 2 * size),
        }
        dims = {"x": ("x",), "time": ("time",), "height": ("time", "x", "y")}
        words = {"height": {"units": "m"}}
        write_netcdf4(tmp_path / f"run_{number}.nc", arrays, dims, words)
    collection = open_trajectories(tmp_path)
    assert [tuple(t.fields.shape[2:]) for t in collection] == [(16, 32), (8, 16), (16, 32)]
    assert [list(group) for group in collection.groups()] == [[0, 2], [1]]
    assert {(t.names, t.units, round(t.dt, 9)) for t in collection} == {(("height",), ("m",), 0.1)}
    assert collection[1].grid.axes[0] == Axis("x", 8, 1.0, True)


def test_a_store_with_an_array_called_data_is_opened_as_a_whole(tmp_path):
    write_zarr(tmp_path / "a.zarr", {"data": numbered(T, X), "other": numbered(T, X)})
    assert open_trajectories(tmp_path / "a.zarr", axes="T X")[0].names == ("data", "other")
    assert open_trajectories(tmp_path, axes="T X").path == tmp_path


def test_a_zipped_store_is_read(tmp_path):
    folder = write_zarr(tmp_path / "a.zarr", {"u": numbered(T, X)})
    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    found = open_trajectories(tmp_path / "a.zarr.zip", axes="T X", trust=True)
    assert np.array_equal(found[0].fields[:, 0], numbered(T, X))
    assert "Zarr store of version 3" in found.reason


def test_storage_says_how_the_fields_lie(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", {"u": numbered(T, X)})
    found = open_trajectories(path, axes="T X", trust=True).storage()
    assert (found["u"].shape, found["u"].chunks, found["u"].compression) == ((T, X), (1, X), "zstd")
    np.save(tmp_path / "a.npy", numbered(T, X))
    found = open_trajectories(tmp_path / "a.npy", axes="T X", trust=True).storage()
    assert (found["array"].chunks, found["array"].compression) == (None, None)


def test_the_format_knows_the_suffixes_of_its_containers():
    assert set(ArrayFile.suffixes) == {s for name in CONTAINERS for s in CONTAINERS[name].suffixes}
