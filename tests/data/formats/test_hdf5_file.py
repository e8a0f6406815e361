"""HDF5 files: few open handles, and plain datasets read without the library."""

import h5py
import numpy as np
import pytest

from pdefm.data.formats import hdf5_file
from pdefm.data.formats.hdf5_file import LazyHdf5, memory_map, storage_of
from pdefm.errors import DataError

VALUES = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)


@pytest.mark.parametrize("user_block", [0, 512])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2"])
def test_a_plain_dataset_is_mapped_with_the_values_that_the_library_reads(
    tmp_path, user_block, dtype
):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=user_block) as file:
        file["first"] = np.arange(3.0)
        file["u"] = (100 * VALUES).astype(dtype)
    with h5py.File(path) as file:
        mapped = memory_map(path, file["u"])
        assert isinstance(mapped, np.memmap)
        assert not mapped.flags.writeable
        np.testing.assert_array_equal(mapped, file["u"][()])


def test_what_does_not_lie_in_one_piece_is_not_mapped(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("chunked", data=VALUES, chunks=(1, 6, 5))
        file.create_dataset("packed", data=VALUES, compression="gzip")
        file.create_dataset("unwritten", shape=(4, 4), dtype="f4")
        file["words"] = ["a", "b"]
    with h5py.File(path) as file:
        assert {name: memory_map(path, file[name]) for name in file} == dict.fromkeys(file)
        assert storage_of(file["packed"]).compression == "gzip"
        assert storage_of(file["chunked"]).chunks == (1, 6, 5)


def test_a_process_keeps_few_files_open(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_file, "MAX_OPEN", 3)
    files = []
    for number in range(9):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file.attrs["number"] = number
        files.append(LazyHdf5(tmp_path / f"{number}.h5"))
    for _ in range(2):
        assert [int(lazy.file.attrs["number"]) for lazy in files] == list(range(9))
    mine = [key for key in hdf5_file._handles if str(tmp_path) in key[1]]
    assert len(mine) <= 3


def test_a_file_that_is_cut_off_is_one_line(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["u"] = VALUES
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.h5: cannot be read as HDF5"):
        _ = LazyHdf5(path).file
