"""Statistics that are computed once a file and fit every part of it."""

import json
import os

import pytest
import torch

from pdefm.data import statistics
from pdefm.data.cache import cache_folder
from pdefm.data.collection import Concatenation, MemoryCollection
from pdefm.data.formats.well_writer import write_well
from pdefm.data.nonfinite import MaskedNonfinite
from pdefm.data.open import open_trajectories
from pdefm.data.statistics import each_trajectory, field_statistics


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path, make_trajectory):
    return write_well(tmp_path / "a.hdf5", [make_trajectory(seed) for seed in range(4)], "test")


@pytest.fixture
def reads(monkeypatch):
    """Trajectories whose statistics are really computed."""
    seen = []
    compute = statistics.trajectory_statistics

    def note(collection, index):
        seen.append(index)
        return compute(collection, index)

    monkeypatch.setattr(statistics, "trajectory_statistics", note)
    return seen


def kept_files():
    return sorted((cache_folder() / "statistics").glob("*.json"))


def test_what_is_kept_gives_the_numbers_of_the_first_time(path, reads):
    first = field_statistics(open_trajectories(path))
    assert reads == [0, 1, 2, 3]
    assert field_statistics(open_trajectories(path)) == first
    assert reads == [0, 1, 2, 3]
    plain = field_statistics(MemoryCollection(list(open_trajectories(path))))
    assert plain == first


def test_a_subset_has_its_own_numbers_from_what_is_kept(path, reads, make_trajectory):
    whole = open_trajectories(path)
    field_statistics(whole[1:3])
    assert reads == [1, 2]
    found = field_statistics(whole[2:4])
    assert reads == [1, 2, 3]
    values = torch.cat([t.fields[:, 0][:, t.mask] for t in (whole[2], whole[3])], 1)
    assert found["velocity_x"][0] == pytest.approx(float(values.mean()), rel=1e-5)
    assert found["velocity_x"][1] == pytest.approx(float(values.std(unbiased=False)), rel=1e-5)
    assert len(kept_files()) == 1


def test_a_changed_file_or_another_description_is_computed_again(path, reads, make_trajectory):
    field_statistics(open_trajectories(path))
    field_statistics(open_trajectories(path, names="a,b,c,d"))
    assert len(reads) == 8
    write_well(path, [make_trajectory(9)], "test")
    field_statistics(open_trajectories(path))
    assert len(reads) == 9


def test_a_damaged_or_missing_entry_is_made_again(path, reads):
    first = field_statistics(open_trajectories(path))
    kept_files()[0].write_text('{"trajectories": ')
    assert field_statistics(open_trajectories(path)) == first
    assert len(reads) == 8
    assert json.loads(kept_files()[0].read_text())["belongs_to"]["path"] == os.fspath(path)


def test_files_of_a_folder_and_masked_data_do_not_mix(path, reads, tmp_path, make_trajectory):
    other = write_well(tmp_path / "b.hdf5", [make_trajectory(7)], "test")
    both = Concatenation([open_trajectories(path), open_trajectories(other)], tmp_path)
    assert len(list(each_trajectory(both, 5))) == 5
    assert len(kept_files()) == 2
    field_statistics(MaskedNonfinite(open_trajectories(path)))
    assert len(kept_files()) == 2
