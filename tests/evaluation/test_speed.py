"""Which solver made a trajectory, and how its time is told."""

import json

import numpy as np
import pytest
import torch

from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.data.solved_again import find_sample
from pdefm.evaluation.speed import Speed, speed_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files of a test split, with settings of their own."""
    out = tmp_path_factory.mktemp("solved")
    generate("burgers", num_trajectories=3, resolution=(16, 12), num_frames=4, seed=3, out=out,
             split="test", shard_size=1, settings={"dt": 0.02, "parameter_ranges":
             {"viscosity": [0.006, 0.007]}})  # fmt: skip
    return out


@pytest.mark.parametrize("index", [0, 2, -1])
def test_the_sample_of_a_generated_trajectory_is_found_and_solved_again(folder, index):
    collection = open_trajectories(folder)
    found = find_sample(collection, index)
    assert found is not None
    again = found.solve()
    assert torch.equal(again.fields[0], collection[index].fields)
    assert torch.equal(found.solve(3).fields[0], collection[index].fields[:3])


def test_data_without_a_record_or_of_another_solver_have_no_known_solver(folder, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 4, 1, 8, 8), np.float32))
    assert find_sample(open_trajectories(tmp_path / "a.npy", axes="N T C X Y"), 0) is None
    record = json.loads((folder / "generation.json").read_text())
    (tmp_path / "data").mkdir()
    file = next(iter(record))
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes((folder / file).read_bytes())
    for changes in ({"solver_version": 99}, {"name": "no_such_equation"}, {"method": "guess"}):
        entry = record[file] | {"configuration": record[file]["configuration"] | changes}
        (tmp_path / "generation.json").write_text(json.dumps({file: entry}))
        assert find_sample(open_trajectories(tmp_path / file), 0) is None, changes
    (tmp_path / "generation.json").write_text("{")
    assert find_sample(open_trajectories(tmp_path / file), 0) is None


def test_the_words_say_who_is_faster_and_on_what():
    fast = Speed(1.0, 10, 2, solver_seconds=4.0, solver_steps=4, solver="burgers")
    assert fast.ratio == pytest.approx(10)
    assert "Per step the model is 10 times faster, both on this machine with 2 threads" in str(fast)
    assert "20 times slower" in str(Speed(2.0, 1, 1, solver_seconds=0.1, solver_steps=1))
    assert "do not say which solver" in str(Speed(1.0, 10, 2))
    assert Speed(1.0, 10, 2).report()["solver_over_model"] is None


def test_the_solver_makes_no_more_frames_than_the_data_have(folder):
    sample = find_sample(open_trajectories(folder), 0)
    assert speed_of(0.1, 50, sample).solver_steps == 3
    assert speed_of(0.1, 2, sample).solver_steps == 2
    assert speed_of(0.1, 2, None).solver_seconds is None
