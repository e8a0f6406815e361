"""Which differences between two results are real."""

import copy
import json

import numpy as np
import pytest

from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.compare import bootstrap_interval, compare, read_results


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
