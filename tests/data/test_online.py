"""Equations that are solved while a model trains."""

import pickle
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdefm.config import section_from_dict
from pdefm.data.generate import generate
from pdefm.data.mixture import Mixture, MixtureDataset, MixtureSource
from pdefm.data.online import OnlineCollection
from pdefm.data.open import open_trajectories
from pdefm.data.source import SourceSection
from pdefm.data.windows import EndlessWindows
from pdefm.errors import DataError, RecipeError

SMALL = {"resolution": 16, "num_frames": 5, "seed": 2, "buffer": 4, "batch": 3}


def online(**changes):
    return OnlineCollection("allen_cahn", **(SMALL | changes))


def windows(**changes):
    sizes = {"history": 2, "horizon": 1, "buffer": 4, "reuse": 2} | changes
    return EndlessWindows(sizes.pop("num_frames", 5), **sizes)


def mixture(num_slots=2, workers=0):
    collection = online(workers=workers, reuse=2)
    source = MixtureSource("ac", collection, (collection.windows(2, 1, 1, "ac"),))
    return Mixture([source], history=2, micro_batch_size=2, num_slots=num_slots, seed=1)


def test_a_trajectory_is_a_function_of_seed_and_index():
    collection = online()
    asked = {index: collection[index].fields for index in (9, 0, 5, 9, 2)}
    for index, fields in asked.items():
        assert torch.equal(online().trajectory(2, index).fields, fields)
    assert not torch.equal(collection.trajectory(3, 0).fields, asked[0])
    assert torch.equal(online(buffer=7, batch=2)[9].fields, asked[9])


def test_processes_that_solve_ahead_change_no_bit():
    ahead, alone = online(workers=2), online()
    for index in (0, 3, 4, 11, 1):
        assert torch.equal(ahead[index].fields, alone[index].fields)


def test_at_most_two_blocks_are_kept():
    collection = online(resolution=8)
    for index in range(0, 20, 3):
        collection.read(index)
        assert len(collection._blocks) <= 2
    assert sorted(collection._blocks) == [3, 4]


def test_no_file_of_the_same_seed_holds_an_online_sample(tmp_path):
    for split in ("train", "valid", "test"):
        generate("allen_cahn", num_trajectories=3, resolution=16, num_frames=5, seed=2,
                 out=tmp_path, split=split)  # fmt: skip
    stored = [t.fields for t in open_trajectories(tmp_path)]
    assert not any(torch.equal(online()[i].fields, fields) for i in range(4) for fields in stored)


def test_a_copy_in_another_process_starts_without_the_buffer():
    collection = online()
    first = collection[0].fields
    copy = pickle.loads(pickle.dumps(collection))
    assert copy._blocks == {}
    assert torch.equal(copy[0].fields, first)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(3, 7), st.integers(0, 9))
def test_every_trajectory_serves_its_windows_and_never_again(buffer, reuse, num_frames, seed):
    endless = windows(buffer=buffer, reuse=reuse, num_frames=num_frames)
    size = buffer * reuse
    found = [endless.locate(endless.number(seed, 0, p)) for p in range(3 * size)]
    for block in range(3):
        part = found[block * size : (block + 1) * size]
        assert Counter(w.trajectory for w in part) == {
            block * buffer + i: reuse for i in range(buffer)
        }
        for trajectory in {w.trajectory for w in part}:
            starts = Counter(w.start for w in part if w.trajectory == trajectory)
            assert max(starts.values()) - min(starts.values()) <= 1
            assert len(starts) == min(reuse, num_frames - 2)
    assert all(0 <= w.start < w.stop <= num_frames for w in found)


def test_the_order_is_shuffled_by_the_seed_and_the_source():
    endless = windows(buffer=8, reuse=4)
    orders = {tuple(endless.number(*key, p) for p in range(32)) for key in ((0, 0), (1, 0), (0, 1))}
    assert len(orders) == 3


def test_frames_too_few_for_a_window_are_refused():
    with pytest.raises(DataError, match=r"ac: too few frames for history 6"):
        online().windows(6, 1, 1, "ac")


@pytest.mark.parametrize("world_size", [1, 2])
def test_ranks_together_see_what_one_process_sees(world_size):
    one = MixtureDataset(mixture())
    ranks = [MixtureDataset(mixture(), rank=r, world_size=world_size) for r in range(world_size)]
    for step in range(5):
        for slot in range(2):
            turn, rank = divmod(slot, world_size)
            found = ranks[rank][step * (2 // world_size) + turn]
            assert torch.equal(found.history, one[step * 2 + slot].history)


def test_any_step_can_be_the_first():
    whole, again = mixture(), mixture()
    later = [whole.load(step, 0).target for step in range(6)][4:]
    assert torch.equal(again.load(5, 0).target, later[1])
    assert torch.equal(again.load(4, 0).target, later[0])


def test_a_recipe_opens_it_with_a_fixed_validation_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    section = {"family": "allen_cahn", **SMALL, "num_validation": 2}
    source = section_from_dict(SourceSection, {"name": "ac", "online": section})
    valid = source.open("valid")
    assert (len(valid), valid.num_frames(0), valid[0].grid.shape) == (2, 5, (16, 16))
    train = source.open("train")
    assert torch.equal(train[1].fields, online()[1].fields)
    assert not any(torch.equal(train[i].fields, v.fields) for i in range(4) for v in valid)


def test_a_steady_family_is_refused():
    with pytest.raises(RecipeError, match=r"no windows in time: got darcy\. Use generate"):
        OnlineCollection("darcy", resolution=16, num_frames=5)
