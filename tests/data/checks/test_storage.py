"""Layouts on disk."""

import h5py
import pytest

from pdefm.data.checks.storage import describe_storage, read_cost
from pdefm.data.collection import StorageLayout
from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories
from tests.data.checks.planting import clean, findings, only


def test_our_own_layout_is_fine(tmp_path):
    path = write_well(tmp_path / "a.hdf5", clean(), "test")
    assert findings(open_trajectories(path)) == []


def test_gzip_with_chunks_that_h5py_guesses_is_slow(tmp_path):
    path = write_well(tmp_path / "a.hdf5", clean(16), "test")
    with h5py.File(path, "r+") as file:
        for name in ("density", "pressure"):
            values, attributes = file["t0_fields"][name][()], dict(file["t0_fields"][name].attrs)
            del file["t0_fields"][name]
            data = file["t0_fields"].create_dataset(name, data=values, compression="gzip")
            data.attrs.update(attributes)
    found = only(open_trajectories(path), "slow_storage")
    assert found.severity == "warning"
    assert "gzip" in found.got
    assert "pdefm data convert" in found.do


@pytest.mark.parametrize(
    ("shape", "chunks", "compression", "low", "high"),
    [
        ((100, 21, 64, 64), None, None, 1, 1),
        ((100, 21, 64, 64), (1, 1, 64, 64), None, 1, 1),
        ((100, 21, 64, 64), (1, 1, 64, 64), "lzf", 2, 7),
        ((100, 21, 64, 64), (25, 6, 16, 16), "gzip", 100, 1e4),
        ((100, 21, 64, 64), (25, 6, 16, 16), "zstd", 30, 1e3),
        ((21, 64, 64, 100), None, None, 8, 100),
        ((100, 64, 64, 21), None, None, 1, 1),
        ((64, 64), (64, 64), None, 1, 1),
        ((21, 100, 64, 2), None, None, 1, 1),
    ],
)
def test_the_cost_of_a_window(shape, chunks, compression, low, high):
    layout = StorageLayout(shape, "float32", chunks, compression)
    space = (100, 64) if 2 in shape else (64, 64)  # the last is one of many groups, 100 points wide
    assert low <= read_cost(layout, 100, 21, space) <= high


def test_a_layout_in_words():
    assert describe_storage("float64", (2, 8), "gzip") == "float64, chunks 2 x 8, gzip"
    assert describe_storage("int16", None, None) == "int16, in one piece, not compressed"
