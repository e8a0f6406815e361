"""Sources of a recipe: files or an equation, and what is held out of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdefm.config import section_from_dict
from pdefm.data.collection import MemoryCollection
from pdefm.data.formats.well_writer import write_well
from pdefm.data.source import SourceSection, hold_out
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, RecipeError
from tests.tiny import waves, write_waves

ALLEN_CAHN = {
    "family": "allen_cahn",
    "num_trajectories": 3,
    "num_validation": 2,
    "resolution": 16,
    "num_frames": 3,
}


def source(**values):
    return section_from_dict(SourceSection, {"name": "s", **values})


def numbered(count):
    grid = Grid.regular((2, 2))
    return MemoryCollection(
        [
            Trajectory(torch.full((1, 1, 2, 2), float(i)), ("u",), grid, torch.zeros(1))
            for i in range(count)
        ],
        name="sea",
    )


def values_of(collection):
    return [float(trajectory.fields.mean()) for trajectory in collection]


@pytest.mark.parametrize("origin", [{}, {"path": "a.npy", "generate": ALLEN_CAHN}])
def test_a_source_is_either_a_file_or_an_equation(origin):
    with pytest.raises(RecipeError, match="give one of path, generate and online"):
        source(**origin)


@pytest.mark.parametrize("weight", [0, -2.0])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(RecipeError, match="weight"):
        source(path="a.npy", weight=weight)


@given(st.integers(2, 40), st.floats(0.001, 0.999))
def test_held_out_trajectories_are_never_trained_on(count, fraction):
    train, valid = (values_of(hold_out(numbered(count), s, fraction)) for s in ("train", "valid"))
    assert train + valid == list(map(float, range(count)))
    assert train
    assert abs(len(valid) - count * fraction) <= 1


def test_one_trajectory_cannot_be_split():
    with pytest.raises(DataError, match=r"sea: at least two trajectories are needed.*: got 1"):
        hold_out(numbered(1), "train", 0.1)


def test_a_file_is_described_by_the_recipe(tmp_path):
    path = write_waves(tmp_path / "sea.npy", 4, 3, 1, 8, 8)
    opened = source(
        path=str(path), axes="N T C X Y", names=["height"], units=["m"], dt=0.5, extent=[2, 1],
        boundary="wall", validation_fraction=0.5,
    )  # fmt: skip
    train, valid = opened.open("train"), opened.open("valid")
    first = train[0]
    assert (len(train), len(valid)) == (2, 2)
    assert (first.names, first.units, first.dt) == (("height",), ("m",), 0.5)
    assert (first.grid.extent, str(first.boundary[0][0])) == ((2.0, 1.0), "wall")
    assert np.array_equal(valid[1].fields, waves(4, 3, 1, 8, 8)[3])


@pytest.mark.parametrize("below", ["", "data"])
def test_splits_of_a_folder_are_used(tmp_path, make_trajectory, below):
    for seed, split in enumerate(("train", "valid", "test")):
        place = tmp_path / below / split
        place.mkdir(parents=True)
        write_well(place / "flow.hdf5", [make_trajectory(seed)] * (seed + 1), dataset_name="flow")
    opened = source(path=str(tmp_path))
    train, valid = opened.open("train"), opened.open("valid")
    assert (len(train), len(valid)) == (1, 2)
    assert train[0].parameters["reynolds"] == 0.0
    assert {t.parameters["reynolds"] for t in valid} == {1.0}


def test_a_folder_without_validation_data_is_split(tmp_path, make_trajectory):
    (tmp_path / "train").mkdir()
    flows = [make_trajectory(seed) for seed in range(3)]
    write_well(tmp_path / "train" / "flow.hdf5", flows, dataset_name="flow")
    opened = source(path=str(tmp_path))
    assert [t.parameters["reynolds"] for t in opened.open("train")] == [0.0, 1.0]
    assert [t.parameters["reynolds"] for t in opened.open("valid")] == [2.0]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.npy does not exist"):
        source(path=str(tmp_path / "nowhere.npy")).open("train")


def test_an_equation_gives_other_samples_to_train_and_valid(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    opened = source(generate=ALLEN_CAHN)
    train, valid = opened.open("train"), opened.open("valid")
    assert (len(train), len(valid), train.num_frames(0)) == (3, 2, 3)
    assert train[0].grid.shape == (16, 16)
    initial = [t.fields[0] for t in [*train, *valid]]
    same = [torch.equal(a, b) for i, a in enumerate(initial) for b in initial[:i]]
    assert not any(same)


def test_an_equation_is_solved_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    first = source(generate=ALLEN_CAHN).open("train")
    assert "solve allen_cahn (train): 3/3" in capsys.readouterr().err
    again = source(generate=ALLEN_CAHN).open("train")
    assert capsys.readouterr().err == ""
    assert torch.equal(first[2].fields, again[2].fields)


def test_a_test_split_is_never_trained_on(tmp_path, make_trajectory):
    for split, seeds in (("train", range(3)), ("test", range(3, 6))):
        (tmp_path / split).mkdir()
        flows = [make_trajectory(seed) for seed in seeds]
        write_well(tmp_path / split / "flow.hdf5", flows, dataset_name="flow")
    opened = source(path=str(tmp_path))
    assert [t.parameters["reynolds"] for t in opened.open("train")] == [0.0, 1.0]
    assert [t.parameters["reynolds"] for t in opened.open("valid")] == [2.0]


def test_a_folder_without_training_data_is_refused(tmp_path, make_trajectory):
    (tmp_path / "test").mkdir()
    write_well(tmp_path / "test" / "flow.hdf5", [make_trajectory(0)] * 2, dataset_name="flow")
    with pytest.raises(DataError, match="has no split 'train'"):
        source(path=str(tmp_path)).open("train")


def test_an_equation_is_solved_on_an_oblong_grid(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    generate = {"family": "advection_diffusion", "num_validation": 1, "num_frames": 2}
    section = source(generate=generate | {"resolution": [16, 24]})
    assert section.open("valid")[0].grid.shape == (16, 24)
    with pytest.raises(RecipeError, match=r"resolution.*greater than or equal to 8"):
        source(generate=generate | {"resolution": [16, 4]})
