"""The Fourier neural operator's MATLAB files: two kinds of container, three equations."""

import pickle

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.formats.fno_mat import FnoMatFile
from pdefm.data.formats.mat_file import MatFile, mat_version
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError, RecipeError
from tests.data.formats.write_fno_mat import (
    burgers_variables,
    darcy_variables,
    navier_stokes_variables,
    write_mat5,
    write_mat73,
)

WRITERS = {"v5": write_mat5, "v7.3": write_mat73}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    def save(name="ns_V1e-3_N5000_T50.mat", **variables):
        return WRITERS[request.param](tmp_path / name, **variables)

    return save


def test_both_versions_give_equal_arrays(tmp_path):
    variables = navier_stokes_variables()
    old = open_trajectories(write_mat5(tmp_path / "old.mat", **variables))
    new = open_trajectories(write_mat73(tmp_path / "new.mat", **variables))
    packed = open_trajectories(write_mat5(tmp_path / "packed.mat", compressed=True, **variables))
    chunked = open_trajectories(write_mat73(tmp_path / "chunked.mat", chunks=True, **variables))
    for other in (new, packed, chunked):
        assert len(old) == len(other) == 3
        for left, right in zip(old, other, strict=True):
            assert torch.equal(left.fields, right.fields)
            assert torch.equal(left.times, right.times)


def test_all_axes_are_reversed_so_x_stays_x(write):
    variables = navier_stokes_variables()
    trajectory = open_trajectories(write(**variables))[1]
    x, y, record = 2, 5, 3
    assert float(trajectory.fields[record + 1, 0, x, y]) == variables["u"][1, x, y, record]
    assert float(trajectory.fields[record + 1, 0, y, x]) != variables["u"][1, x, y, record]


def test_the_initial_state_is_frame_zero(write):
    variables = navier_stokes_variables()
    collection = open_trajectories(write(**variables))
    trajectory = collection[2]
    assert collection.format == "fno_mat"
    assert trajectory.num_frames == collection.num_frames(2) == 5
    assert np.array_equal(trajectory.fields[0, 0], variables["a"][2])
    assert np.array_equal(trajectory.fields[1:, 0], np.moveaxis(variables["u"][2], -1, 0))
    assert trajectory.times.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert trajectory.names == ("vorticity",)
    assert set(sum(trajectory.boundary, ())) == {BoundaryCondition.PERIODIC}


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 3), (1, 2), (1, 5), (3, 5), (4, 5)])
def test_any_frames_can_be_read_alone(write, start, stop):
    collection = open_trajectories(write(**navier_stokes_variables()))
    whole, part = collection[1], collection.read(1, start, stop)
    assert torch.equal(part.fields, whole.fields[start:stop])
    assert torch.equal(part.times, whole.times[start:stop])


def test_without_an_initial_state_the_records_are_all(write):
    variables = navier_stokes_variables()
    del variables["a"]
    trajectory = open_trajectories(write(**variables))[0]
    assert trajectory.num_frames == 4
    assert trajectory.times.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert np.array_equal(trajectory.fields[0, 0], variables["u"][0, :, :, 0])


def test_an_initial_state_on_another_grid_is_left_out(write):
    variables = navier_stokes_variables()
    variables["a"] = np.ones((3, 16, 16), np.float32)
    assert open_trajectories(write(**variables))[0].num_frames == 4


def test_the_number_of_records_is_in_the_file_not_in_its_name(write):
    variables = navier_stokes_variables(num_records=5)
    path = write("ns_V1e-4_N10000_T3.mat", u=variables["u"])
    collection = open_trajectories(path)
    assert (len(collection), collection.num_frames(0)) == (3, 5)


def test_times_of_finer_records_are_kept_exactly(write):
    variables = navier_stokes_variables()
    variables["t"] = np.array([[0.1, 0.2, 0.3, 0.4]])
    trajectory = open_trajectories(write(**variables))[0]
    assert trajectory.times.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert trajectory.fields.dtype == torch.float32


def test_times_that_do_not_fit_are_one_clear_error_that_dt_mends(write):
    path = write(**navier_stokes_variables() | {"t": np.arange(9.0)[None]})
    with pytest.raises(DataError, match=r"t must hold a time for each of the 4 records: got 9"):
        open_trajectories(path)[0]
    assert open_trajectories(path, dt=0.25)[0].times[:3].tolist() == [0.0, 0.25, 0.5]


def test_darcy_is_steady_with_its_coefficient(write):
    variables = darcy_variables()
    collection = open_trajectories(write("piececonst_r9_N3_smooth1.mat", **variables))
    sample = collection[1]
    assert (len(collection), sample.num_frames, sample.names) == (3, 1, ("pressure",))
    assert sample.constant_names == ("permeability",)
    assert np.array_equal(sample.fields[0, 0], variables["sol"][1].astype(np.float32))
    assert np.array_equal(sample.constants[0], variables["coeff"][1].astype(np.float32))
    assert set(sample.constants.unique().tolist()) == {3.0, 12.0}
    assert sample.boundary == ((BoundaryCondition.WALL,) * 2,) * 2
    assert sample.grid.axes[0].coordinates()[0] == pytest.approx(0.5 / 9)
    assert float(sample.fields[0, 0, 0].abs().min()) > 0  # cell centres, so not zero at the edge


def test_what_is_kept_in_memory_cannot_be_changed_through_a_sample(write):
    collection = open_trajectories(write(**darcy_variables()))
    sample = collection[0]
    sample.constants.zero_()
    sample.fields.zero_()
    assert float(collection[0].constants.min()) == 3.0
    assert float(collection[0].fields.min()) > 0
    assert collection[0].constants.is_contiguous()


def test_burgers_is_a_pair_of_frames(write):
    variables = burgers_variables()
    trajectory = open_trajectories(write("Burgers_R10.mat", **variables))[2]
    assert trajectory.fields.shape == (2, 1, 16)
    assert np.array_equal(trajectory.fields[0, 0], variables["a"][2].astype(np.float32))
    assert np.array_equal(trajectory.fields[1, 0], variables["u"][2].astype(np.float32))
    assert trajectory.times.tolist() == [0.0, 1.0]
    assert trajectory.names == ("velocity_x",)


def test_the_reason_names_version_and_variables(tmp_path):
    new = write_mat73(tmp_path / "ns.mat", **navier_stokes_variables())
    old = write_mat5(tmp_path / "darcy.mat", **darcy_variables())
    assert open_trajectories(new).reason == (
        "MATLAB v7.3 file with a and u as in FNO's Navier-Stokes data"
    )
    assert open_trajectories(old).reason == (
        "MATLAB v5 file with coeff and sol as in FNO's Darcy data"
    )


def test_storage_shows_that_trajectories_are_fastest_in_new_files(tmp_path):
    variables = navier_stokes_variables(num_trajectories=6)
    new = open_trajectories(write_mat73(tmp_path / "new.mat", chunks=True, **variables))
    layout = new.storage()["u"]
    assert layout.shape == (4, 8, 8, 6)
    assert (layout.compression, len(layout.chunks)) == ("gzip", 4)
    old = open_trajectories(write_mat5(tmp_path / "old.mat", compressed=True, **variables))
    assert old.storage()["u"].shape == (6, 8, 8, 4)
    assert (old.storage()["u"].dtype, old.storage()["u"].compression) == ("float32", "zlib")
    plain = open_trajectories(write_mat5(tmp_path / "plain.mat", **variables))
    assert plain.storage()["u"].compression is None


def test_an_old_variable_is_read_once_and_not_before_it_is_needed(tmp_path, monkeypatch):
    import scipy.io

    asked = []
    load = scipy.io.loadmat

    def counted(*args, **kwargs):
        asked.extend(kwargs["variable_names"])
        return load(*args, **kwargs)

    monkeypatch.setattr(scipy.io, "loadmat", counted)
    collection = open_trajectories(write_mat5(tmp_path / "a.mat", **darcy_variables()))
    assert (len(collection), collection.num_frames(0), list(collection.storage())) == (
        3,
        1,
        ["coeff", "sol"],
    )
    assert asked == []
    for index in (0, 1, 2, 1):
        collection[index]
    assert sorted(asked) == ["coeff", "sol"]


def test_new_files_read_only_the_asked_frames(tmp_path, monkeypatch):
    collection = open_trajectories(write_mat73(tmp_path / "a.mat", **navier_stokes_variables()))
    len(collection)
    asked = []
    read = h5py.Dataset.__getitem__

    def counted(self, picks, *args, **kwargs):
        part = read(self, picks, *args, **kwargs)
        asked.append((self.name, part.size))
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    collection.read(1, 2, 4)
    assert sorted(asked) == [("/t", 4), ("/u", 2 * 8 * 8)]


def test_a_collection_survives_pickling_without_its_data(write):
    collection = open_trajectories(write(**navier_stokes_variables(resolution=32)))
    first = collection[0].fields
    state = pickle.dumps(collection)
    assert len(state) < 2000
    assert torch.equal(pickle.loads(state)[0].fields, first)


@pytest.mark.parametrize(
    "variables",
    [
        {"u": np.ones((3, 5, 8, 8), np.float32)},  # N T X Y of another maker
        {"u": np.ones((3, 8, 8), np.float32)},
        {"sol": np.ones((3, 8, 8))},
        {"coeff": np.ones((3, 9, 9)), "sol": np.ones((3, 8, 8))},
        {"a": np.ones((3, 8)), "u": np.ones((3, 9))},
        {"velocity": np.ones((3, 8, 8, 4))},
    ],
)
def test_other_variables_are_another_format(write, variables):
    assert FnoMatFile.recognise(write(**variables)) is None


def test_a_matlab_file_without_the_variables_says_what_it_holds(write):
    collection = open_trajectories(write(velocity=np.ones((3, 8, 8))), format="fno_mat")
    with pytest.raises(DataError, match=r"neither u .* got velocity \(3, 8, 8\)\. Open it with"):
        collection[0]


def test_other_files_are_not_matlab(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["u"] = np.ones((3, 8, 8, 4))
    (tmp_path / "b.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(128))
    (tmp_path / "c.mat").write_bytes(b"")
    for name in "abc":
        assert mat_version(tmp_path / f"{name}.mat") is None
        assert FnoMatFile.recognise(tmp_path / f"{name}.mat") is None
        with pytest.raises(DataError, match=r"not a MATLAB file of version 5 to 7\.3"):
            len(FnoMatFile(tmp_path / f"{name}.mat"))


def test_texts_structures_and_complex_numbers_are_no_fields(tmp_path):
    path = tmp_path / "a.mat"
    write_mat5(path, note="hello", s={"u": np.ones((2, 8, 8, 3))}, u=np.ones((2, 8, 8, 3)) * 1j)
    assert list(MatFile(path).shapes) == ["u"]
    with pytest.raises(DataError, match="variable 'u' is complex"):
        FnoMatFile(path)[0]


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_cut_file_is_one_clear_error(write, tmp_path, keep):
    content = write(**navier_stokes_variables()).read_bytes()
    cut = tmp_path / "cut.mat"
    cut.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"cut\.mat"):
        _ = [trajectory.fields for trajectory in FnoMatFile(cut)]


def test_the_axes_are_not_for_the_user_to_say(write):
    with pytest.raises(RecipeError, match=r"--axes has no meaning here.*--format arrays"):
        open_trajectories(write(**navier_stokes_variables()), format="fno_mat", axes="N X Y T")
