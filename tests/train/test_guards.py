"""Steps that are not applied: not finite, or far above the losses before them."""

import json

import pytest
import torch

from pdefm.errors import NumericalError
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.guards import Guard, GuardSection
from pdefm.train.pretrain import pretrain
from tests.tiny import tiny_recipe
from tests.train.runs import training_lines, weights

INF, NAN = float("inf"), float("nan")


def judged(guard, numbers):
    return [guard.judge(step, *pair)[0] for step, pair in enumerate(numbers, 1)]


def test_bad_steps_are_skipped_until_there_are_too_many_in_a_row():
    guard = Guard(GuardSection(max_nonfinite_steps=2))
    numbers = [(1.0, 1.0), (NAN, 1.0), (1.0, INF), (1.0, 2.0), (1.0, NAN), (INF, 1.0)]
    assert judged(guard, numbers) == ["apply", "skip", "skip", "apply", "skip", "skip"]
    with pytest.raises(NumericalError, match="not finite at step 7, 3 in a row"):
        guard.judge(7, NAN, 1.0)


@pytest.mark.parametrize(("policy", "verdict"), [("log", "apply"), ("skip", "skip")])
def test_a_leap_is_judged_by_the_running_median(policy, verdict):
    section = GuardSection(spike_ratio=3.0, spike_window=4, spike_policy=policy)
    guard = Guard(section)
    assert judged(guard, [(9.0, 1.0), (1.0, 1.0), (1.1, 1.0), (0.9, 1.0)]) == ["apply"] * 4
    found, reason = guard.judge(5, 3.2, 1.0)
    assert found == verdict
    assert "3.05 times the running median" in reason
    assert guard.judge(6, 3.1, 1.0) == ("apply", "")


def test_rewinds_are_counted_and_the_state_goes_into_a_checkpoint():
    section = GuardSection(spike_ratio=2.0, spike_window=4, spike_policy="rewind", max_rewinds=1)
    guard = Guard(section)
    judged(guard, [(1.0, 1.0)] * 4)
    copy = Guard(section)
    copy.restore(json.loads(json.dumps(guard.state())))
    for one in (guard, copy):
        assert one.judge(5, 5.0, 1.0)[0] == "rewind"
        with pytest.raises(NumericalError, match="leapt at step 6 after 1 rewinds"):
            one.judge(6, 5.0, 1.0)


def spoil(monkeypatch, steps, factor):
    """The loss of these steps' first micro-batch is multiplied; counts calls of one process."""
    plain, calls = ForecastingTask.loss, []

    def loss(self, prediction, prepared):
        found = plain(self, prediction, prepared)
        if prediction.requires_grad:
            calls.append(0)
            if (len(calls) - 1) // 2 in steps:
                return found * factor
        return found

    monkeypatch.setattr(ForecastingTask, "loss", loss)


def events(folder):
    path = folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_step_that_is_not_finite_changes_no_weight_and_names_its_batches(
    tmp_path, tiny_run, monkeypatch
):
    recipe = tiny_recipe(tiny_run.sources, max_steps=4, save_steps=2)
    spoil(monkeypatch, {2, 3}, NAN)
    pretrain(recipe, tmp_path / "run")
    two, four = (weights(tmp_path / "run", step) for step in (2, 4))
    assert all(torch.equal(two[name], four[name]) for name in two)
    skipped = events(tmp_path / "run")
    assert [(event["step"], event["event"]) for event in skipped] == [(3, "skip"), (4, "skip")]
    assert {name for name, _ in skipped[0]["batches"]} <= {s["name"] for s in tiny_run.sources}
    assert len(skipped[0]["batches"]) == 2
    assert [line["step"] for line in training_lines(tmp_path / "run")] == [1, 2]


def test_a_rewind_goes_back_and_leaves_out_the_batches_of_the_leap(tmp_path, tiny_run, monkeypatch):
    guard = {"spike_ratio": 20.0, "spike_window": 4, "spike_policy": "rewind", "rewind_steps": 2,
             "rewind_skip": 3}  # fmt: skip
    recipe = tiny_recipe(tiny_run.sources, max_steps=10, save_steps=2, guard=guard)
    spoil(monkeypatch, {6}, 1000.0)
    summary = pretrain(recipe, tmp_path / "run")
    assert summary["step"] == 10
    first, second = events(tmp_path / "run")
    assert (first["step"], first["event"], first["position"]) == (7, "rewind", 6)
    assert (second["step"], second["event"], second["offset"]) == (4, "rewound", 5)
