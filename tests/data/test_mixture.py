"""The order of the training data: who comes when, for every rank, process and restart."""

import json
import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pdefm.data.collection import MemoryCollection
from pdefm.data.mixture import Mixture, MixtureDataset, MixtureSource, StepSampler
from pdefm.data.trajectory import Trajectory
from pdefm.data.windows import WindowIndex
from pdefm.domain import Grid
from pdefm.errors import RecipeError

NUM_FRAMES = {"a": [7, 5], "b": [9], "c": [4, 4, 4]}


def make_source(name, weight=1.0):
    """Every value of a frame is the frame's own number."""
    trajectories = [
        Trajectory(
            fields=(100.0 * i + torch.arange(n)).view(n, 1, 1, 1).expand(n, 1, 2, 2).clone(),
            names=(name,),
            grid=Grid.regular((2, 2)),
            times=torch.arange(n, dtype=torch.float64),
        )
        for i, n in enumerate(NUM_FRAMES[name])
    ]
    windows = WindowIndex(NUM_FRAMES[name], history=2, horizon=1, source=name)
    return MixtureSource(name, MemoryCollection(trajectories), (windows,), weight)


def make_mixture(weights=None, num_slots=4, seed=0, micro_batch_size=2):
    weights = {"a": 2.0, "b": 1.0, "c": 0.5} if weights is None else weights
    return Mixture(
        [make_source(name, weight) for name, weight in weights.items()],
        history=2,
        micro_batch_size=micro_batch_size,
        num_slots=num_slots,
        seed=seed,
    )


def addresses(mixture, steps, slots=None):
    return {
        (step, slot): mixture.address(step, slot)
        for step in steps
        for slot in slots or range(mixture.num_slots)
    }


def same(first, second):
    """True if two lists of batches are equal."""
    return all(
        a.source == b.source
        and all(torch.equal(getattr(a, part), getattr(b, part)) for part in ("history", "target"))
        for a, b in zip(first, second, strict=True)
    )


def test_the_order_does_not_depend_on_the_order_of_asking():
    expected = addresses(make_mixture(), range(600))
    places = list(expected)
    random.Random(0).shuffle(places)
    mixture = make_mixture()
    assert all(mixture.address(*place) == expected[place] for place in places)


def test_the_order_is_the_same_in_another_process():
    code = (
        "import json; from tests.data.test_mixture import make_mixture; m = make_mixture(seed=5);"
        "print(json.dumps([m.address(s, i) for s in range(40) for i in range(4)]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    expected = addresses(make_mixture(seed=5), range(40)).values()
    assert json.loads(printed) == json.loads(json.dumps(list(expected)))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_see_what_one_process_sees(world_size):
    mixture = make_mixture()
    alone = MixtureDataset(mixture)
    ranks = [MixtureDataset(mixture, rank=r, world_size=world_size) for r in range(world_size)]
    per_rank = mixture.num_slots // world_size
    for step in range(6):
        expected = [alone[step * 4 + i] for i in range(4)]
        found = [rank[step * per_rank + i] for i in range(per_rank) for rank in ranks]
        assert same(found, expected)


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3])
def test_every_window_is_seen_once_an_epoch(micro_batch_size):
    mixture = make_mixture(micro_batch_size=micro_batch_size)
    seen = [[] for _ in mixture.sources]
    for source, windows in addresses(mixture, range(60)).values():
        seen[source].extend(windows)
    for source, numbers in zip(mixture.sources, seen, strict=True):
        size = source.num_windows
        epochs = [numbers[i : i + size] for i in range(0, len(numbers) - size + 1, size)]
        assert len(epochs) >= 2
        assert all(len(set(epoch)) == size for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(0.01, 3.0)] * 3), st.integers(0, 2**32 - 1))
def test_shares_converge_to_the_weights(weights, seed):
    mixture = make_mixture(dict(zip("abc", weights, strict=True)), num_slots=1, seed=seed)
    for num_steps in (100, 1000):
        for share, weight in zip(mixture.shares(num_steps).values(), weights, strict=True):
            # Golden-ratio points: the discrepancy of n of them is below (3 + log n / log phi) / n.
            assert abs(share - weight / sum(weights)) < 18 / num_steps


def test_shares_of_plain_weights_are_within_two_draws():
    for num_steps in (10, 100, 1000):
        shares = make_mixture({"a": 0.5, "b": 0.25, "c": 0.25}, num_slots=1).shares(num_steps)
        expected = {"a": 0.5, "b": 0.25, "c": 0.25}
        assert max(abs(shares[name] - expected[name]) for name in "abc") <= 2 / num_steps


def test_shares_count_what_is_drawn():
    mixture = make_mixture()
    drawn = [source for source, _ in addresses(mixture, range(25)).values()]
    expected = {s.name: drawn.count(i) / 100 for i, s in enumerate(mixture.sources)}
    assert mixture.shares(25) == expected
    assert mixture.shares(0) == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_only_the_ratio_of_the_weights_counts():
    small = addresses(make_mixture({"a": 0.2, "b": 0.1}), range(50))
    assert small == addresses(make_mixture({"a": 20.0, "b": 10.0}), range(50))


@pytest.mark.parametrize("start", [1, 7, 19])
def test_a_restart_at_any_step_goes_on_with_the_same_batches(start):
    whole = MixtureDataset(make_mixture())
    again = MixtureDataset(make_mixture())
    expected = list(StepSampler(whole, 0, 20))[start * 4 :]
    assert list(StepSampler(again, start, 20)) == expected
    assert same([again[item] for item in expected], [whole[item] for item in expected])


def test_another_seed_gives_another_order():
    first, second = (addresses(make_mixture(seed=seed), range(10)) for seed in (0, 1))
    assert first != second


def test_a_batch_holds_the_addressed_frames():
    mixture = make_mixture()
    source, places = mixture.address(3, 1)
    batch = mixture.load(3, 1)
    frames = torch.cat([batch.history, batch.target], 1)[:, :, 0, 0, 0]
    expected = [[100 * i + t for t in range(start, stop)] for i, start, stop, _ in places]
    assert batch.source == mixture.sources[source].name == batch.names[0]
    assert frames.tolist() == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_gives_the_same_batches_with_any_number_of_workers(num_workers):
    dataset = MixtureDataset(make_mixture(), rank=1, world_size=2)
    sampler = StepSampler(dataset, 2, 7)
    loader = DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=num_workers)
    assert len(sampler) == 10
    assert same(loader, [dataset[item] for item in range(4, 14)])


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_positive_and_finite_is_refused(weight):
    with pytest.raises(RecipeError, match="weight of 'b' must be positive"):
        make_mixture({"a": 1.0, "b": weight})


def test_names_must_differ_and_exist():
    for sources in ([], [make_source("a"), make_source("a")]):
        with pytest.raises(RecipeError, match="each with a name of its own"):
            Mixture(sources, history=2, micro_batch_size=1)


def test_the_windows_of_a_source_do_not_depend_on_the_others():
    def drawn(weights, name):
        mixture = make_mixture(weights)
        number = [source.name for source in mixture.sources].index(name)
        found = addresses(mixture, range(60)).values()
        return [window for source, windows in found if source == number for window in windows]

    alone = drawn({"b": 1.0, "c": 1.0}, "c")
    joined = drawn({"a": 1.0, "b": 1.0, "c": 1.0}, "c")
    assert len(joined) > 50
    assert joined == alone[: len(joined)]


def test_groups_of_one_source_never_share_a_batch_and_come_as_often_as_they_have_windows():
    small, large = ([1] * 2, [2] * 6)
    trajectories = [
        Trajectory(torch.zeros(5, 1, 4 * k, 4), ("u",), Grid.regular((4 * k, 4)), torch.arange(5.0))
        for k in (*small, *large)
    ]
    collection = MemoryCollection(trajectories)
    pools = tuple(
        WindowIndex([5] * len(group), history=2, horizon=1, indices=group)
        for group in collection.groups()
    )
    source = MixtureSource("mixed", collection, pools)
    mixture = Mixture([source], history=2, micro_batch_size=2, num_slots=4)
    shapes = [mixture.load(step, slot).history.shape[3] for step in range(50) for slot in range(4)]
    assert set(shapes) == {4, 8}
    assert abs(shapes.count(4) / 200 - 2 / 8) <= 0.02
    assert mixture.shares(50) == {"mixed": 1.0}


def test_strided_windows_carry_their_own_time_step():
    trajectory = Trajectory(
        torch.arange(9.0).view(9, 1, 1, 1).expand(9, 1, 2, 2).clone(),
        ("u",),
        Grid.regular((2, 2)),
        0.5 * torch.arange(9, dtype=torch.float64),
    )
    windows = WindowIndex([9], history=2, horizon=1, time_strides=(1, 3))
    source = MixtureSource("s", MemoryCollection([trajectory]), (windows,))
    mixture = Mixture([source], history=2, micro_batch_size=10)
    batch = mixture.load(0, 0)
    frames = torch.cat([batch.history, batch.target], 1)[:, :, 0, 0, 0]
    steps = frames.diff(dim=1)
    assert torch.equal(steps[:, 0], steps[:, 1])
    assert torch.allclose(batch.dt, 0.5 * steps[:, 0])
    assert sorted(steps[:, 0].tolist()) == [1.0] * 7 + [3.0] * 3
