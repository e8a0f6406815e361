"""What a collection is, told beside its numbers."""

import json

import h5py
import numpy as np
import pytest
import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.formats.well_writer import write_well
from pdefm.data.inspection import few_frames, inspect_collection, read_speed
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError
from tests.data.checks.planting import clean
from tests.tiny import write_waves


def test_everything_that_is_understood_is_told(tmp_path, make_trajectory):
    written = [make_trajectory(seed, num_frames=15) for seed in range(3)]
    path = write_well(tmp_path / "a.hdf5", written, "test")
    found = json.loads(json.dumps(inspect_collection(open_trajectories(path))))
    assert found["axes"] == "trajectory[3] time[15] channel[4] x[8] y[6]"
    assert "n_trajectories" in found["reason"]
    assert found["parameters"]["reynolds"] == [0.0, 2.0]
    assert found["parameters"]["viscosity"] == pytest.approx([0.1, 0.1])
    assert found["constants"] == ["bottom"]
    assert found["mask_share"] == pytest.approx(float(written[0].mask.double().mean()))
    assert found["groups"] == [{"shape": [8, 6], "num_trajectories": 3}]
    assert found["storage"]["t0_fields/density"] == {
        "shape": [3, 15, 8, 6],
        "dtype": "float32",
        "chunks": None,
        "compression": None,
    }
    assert found["licence"] == ""
    assert found["num_summarised"] == 3
    assert found["statistics"]["density"]["num_nonfinite"] == 0


def test_the_read_speed_is_measured_on_windows_of_eleven_frames(tmp_path):
    path = write_waves(tmp_path / "a.npy", 3, 15, 2, 16, 16)
    found = read_speed(open_trajectories(path, axes="N T C X Y"))
    assert found["num_frames"] == 11
    assert found["windows_per_second"] > 0
    size = 11 * 2 * 16 * 16 * 4 / 1e6
    assert found["megabytes_per_second"] == pytest.approx(size * found["windows_per_second"])
    assert found["plain_windows_per_second"] > 0


def test_short_and_steady_trajectories_have_a_speed_too():
    data = clean(3)
    mixed = MemoryCollection([data[0].frames(0, 4), data[1].frames(0, 2)])
    assert read_speed(mixed)["num_frames"] == 4
    assert read_speed(clean(2, 1))["num_frames"] == 1


def test_a_slow_layout_is_slower_than_the_plain_one(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "a.hdf5"
    write_well(path, clean(24), "test")
    with h5py.File(path, "r+") as file:
        for name in ("density", "pressure"):
            attributes = dict(file["t0_fields"][name].attrs)
            values = random.normal(size=(24, 21, 32, 24)).astype(np.float32)
            del file["t0_fields"][name]
            options = {"compression": "gzip", "chunks": (24, 3, 8, 6)}
            data = file["t0_fields"].create_dataset(name, data=values, **options)
            data.attrs.update(attributes)
    found = read_speed(open_trajectories(path))
    assert found["plain_windows_per_second"] > 3 * found["windows_per_second"]


def test_statistics_can_be_of_some():
    found = inspect_collection(clean(5), max_trajectories=2)
    assert (found["num_summarised"], found["num_trajectories"]) == (2, 5)


def test_kinds_of_trajectories_are_listed():
    one, other = clean(2), clean(1, 21, 1)
    found = inspect_collection(MemoryCollection([*one, *other]))
    assert [group["num_trajectories"] for group in found["groups"]] == [2, 1]


def test_a_picture_needs_a_few_frames_only():
    data = clean(1, 21)
    chosen = few_frames(data)
    assert chosen.times.tolist() == pytest.approx([0.0, 0.7, 1.3, 2.0])
    assert torch.equal(chosen.fields[1], data[0].fields[7])
    assert few_frames(clean(1, 1)).num_frames == 1


def test_an_empty_collection_is_an_error():
    with pytest.raises(DataError, match="is empty"):
        inspect_collection(MemoryCollection([]))
