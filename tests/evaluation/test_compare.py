"""Which differences between two results are real."""

import copy
import json

import numpy as np
import pytest

from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.compare import (
    bootstrap_interval,
    compare,
    compare_within,
    equal_bit_for_bit,
    read_results,
)


def content(values, **changes):
    entry = {
        "num_trajectories": len(values),
        "num_steps": 4,
        "data_sha256": "ab",
        "per_trajectory": {"relative_l2": list(values)},
    }
    return {"protocol": {"history": 3}, "datasets": {"lake": entry | changes}}


def errors(shift=0.0, spread=0.0, count=40):
    random = np.random.default_rng(1)
    hard = random.uniform(0.1, 1.0, count)  # the same trajectories are hard for both
    return hard + shift + spread * random.normal(size=count)


def verdict(a, b):
    return compare(content(a), content(b))["datasets"]["lake"]["verdict"]


def test_a_small_difference_is_seen_because_trajectories_are_paired():
    found = compare(content(errors()), content(errors(0.01, 0.005)))["datasets"]["lake"]
    assert found["verdict"] == "A is better"
    assert found["difference"] == pytest.approx(0.01, abs=0.003)
    assert found["interval"][0] < 0.01 < found["interval"][1]
    assert verdict(errors(0.01, 0.005), errors()) == "B is better"


def test_what_chance_can_do_is_not_resolved():
    assert verdict(errors(), errors(0.0, 0.05)) == "not resolved"
    assert verdict([0.1], [0.9]) == "one trajectory says nothing"


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    random = np.random.default_rng(3)
    ends = [bootstrap_interval(random.normal(0.3, 1.0, 30), num_resamples=500) for _ in range(300)]
    covered = np.mean([low < 0.3 < high for low, high in ends])
    assert 0.89 < covered < 0.98


@pytest.mark.parametrize("count", [2, 5, 8])
def test_the_interval_covers_as_often_for_a_handful_of_trajectories(count):
    random = np.random.default_rng(4)
    samples = random.normal(0.3, 1.0, (400, count))
    ends = [bootstrap_interval(sample, num_resamples=400) for sample in samples]
    covered = np.mean([low < 0.3 < high for low, high in ends])
    assert 0.91 < covered < 0.99


def test_of_a_metric_where_higher_is_better_the_higher_one_is():
    long, short = errors(1.0), errors()
    one, other = content(long), content(short)
    for results, values in ((one, long), (other, short)):
        results["datasets"]["lake"]["per_trajectory"]["correlation_time"] = list(values)
    found = compare(one, other, metric="correlation_time")["datasets"]["lake"]
    assert found["verdict"] == "A is better"
    assert compare(one, other)["datasets"]["lake"]["verdict"] == "B is better"
    with pytest.raises(RecipeError, match="spread_skill has no better and worse"):
        compare(one, other, metric="spread_skill")


def test_what_belongs_to_a_model_may_differ_but_not_what_is_predicted():
    one, other = content(errors()), content(errors(0.01, 0.005))
    other["protocol"] |= {"horizon": 4, "ensemble": 8, "noise": {"model": 0.02}}
    assert compare(one, other)["datasets"]["lake"]["verdict"] == "A is better"
    other["protocol"]["datasets"] = {"lake": {"num_fields": 1}}
    with pytest.raises(RecipeError, match="different protocols: datasets"):
        compare(one, other)


def test_equal_bit_for_bit_leaves_out_times_and_the_command_only():
    one = content([0.1, 0.2]) | {"created": "now", "command": "a", "wall_time_seconds": {}}
    other = content([0.1, 0.2]) | {"created": "later", "command": "b"}
    assert equal_bit_for_bit(one, other)
    assert compare(one, other)["equal_bit_for_bit"]
    assert not equal_bit_for_bit(one, other | {"seed": 1})
    assert not equal_bit_for_bit(one, content([0.1, np.nextafter(0.2, 1)]))
    trained = [
        content([0.1], baselines={"fno": {"training": {"seconds": seconds, "steps": steps}}})
        for seconds, steps in ((1.0, 5), (2.0, 5), (1.0, 6))
    ]
    assert equal_bit_for_bit(trained[0], trained[1])
    assert not equal_bit_for_bit(trained[0], trained[2])


def test_one_result_is_compared_with_its_own_baselines_on_every_dataset():
    results = content(errors())
    baseline = {"relative_l2": 1.0, "per_trajectory": {"relative_l2": list(errors(0.3))}}
    results["datasets"]["lake"]["baselines"] = {"persistence": baseline, "mean": {"vrmse": 1.0}}
    results["datasets"]["sea"] = results["datasets"]["lake"]
    found = compare_within(results)
    assert set(found) == {"persistence"}
    assert set(found["persistence"]["datasets"]) == {"lake", "sea"}
    assert found["persistence"]["datasets"]["sea"]["verdict"] == "A is better"
    results["datasets"]["lake"]["baselines"] = {}
    results["datasets"].pop("sea")
    with pytest.raises(DataError, match="nothing beside the model"):
        compare_within(results)


def test_two_runs_say_the_same():
    first, second = (compare(content(errors()), content(errors(0.01, 0.1))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_sha256": "cd"}, "data_sha256 differs"),
        ({"num_steps": 5}, "num_steps differs"),
        ({"per_trajectory": None}, "no errors of single trajectories"),
    ],
)
def test_other_data_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        compare(content([0.1, 0.2]), content([0.1, 0.2], **change))


def test_another_protocol_or_metric_is_refused():
    other = copy.deepcopy(content([0.1, 0.2]))
    other["protocol"]["history"] = 6
    with pytest.raises(RecipeError, match="different protocols: history: got 3 and 6"):
        compare(content([0.1, 0.2]), other)
    with pytest.raises(RecipeError, match="relative_l2"):
        compare(content([0.1, 0.2]), content([0.1, 0.2]), metric="relativ_l2")


def test_rollouts_that_blew_up_cannot_be_paired():
    with pytest.raises(DataError, match=r"left the finite numbers.*got 1 of 2"):
        compare(content([0.1, 0.2]), content([0.1, None]))


def test_datasets_of_only_one_are_said():
    other = content([0.1, 0.2])
    other["datasets"]["sea"] = other["datasets"]["lake"]
    assert compare(content([0.1, 0.2]), other)["left_out"] == ["sea"]
    other["datasets"].pop("lake")
    with pytest.raises(DataError, match="no dataset in common"):
        compare(content([0.1, 0.2]), other)


def test_a_file_that_is_no_result_is_refused(tmp_path):
    path = tmp_path / "a.json"
    for text in ("{}", "[]", "no"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"is no results\.json"):
            read_results(path)
    path.write_text(json.dumps(content([0.1])))
    assert read_results(path) == content([0.1])
