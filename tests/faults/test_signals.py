"""A signal costs no step: the step ends, a checkpoint is committed, and the status says so."""

import json
import os
import signal
import time

import pytest

from pdefm.train import signals
from pdefm.train.checkpoint import committed_checkpoints
from tests.faults.kit import announce, prepare, slow, start, start_ranks
from tests.train.runs import equal, losses, validations, weights

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("signals"), save_steps=100)


@pytest.fixture(scope="module")
def whole(recipe):
    out = recipe.with_name("whole")
    assert start(recipe, out).end() == 0
    return out


def check_goes_on(recipe, out, whole):
    again = start(recipe, out)
    assert again.end() == 0, again.message
    assert losses(out) == losses(whole)
    assert validations(out) == validations(whole)
    assert equal(weights(out, 12), weights(whole, 12))


@pytest.mark.parametrize(
    ("number", "word", "where", "step"),
    [
        (signal.SIGTERM, "step 3", "step", 3),
        (signal.SIGUSR1, "step 1", "data", 1),
        (signal.SIGTERM, "validating 6", "eval", 6),
        (signal.SIGUSR1, "saving 3", "save", 3),
    ],
)
def test_a_signal_saves_the_step_and_exits_75(tmp_path, recipe, whole, number, word, where, step):
    out = tmp_path / "run"
    seconds = {"eval": 20.0, "save": 0.5}.get(where, 0.3)
    options = ["--set", "train.save_steps=3"] if where == "save" else []
    run = start(recipe, out, announce, slow(seconds, where), options=options)
    run.wait_for(word)
    begun = time.monotonic()
    run.send(number)
    assert run.end() == 75, run.log.read_text()
    assert time.monotonic() - begun < 2 * seconds + 2 if where != "eval" else 5
    assert run.message == (
        f"pdefm: stopped by {NAMES[number]}: checkpoint of step {step} is saved."
        " The same command goes on"
    )
    assert [found for found, _ in committed_checkpoints(out)] == [step]
    check_goes_on(recipe, out, whole)


def test_an_interrupt_saves_too_and_exits_as_is_the_custom(tmp_path, recipe):
    run = start(recipe, tmp_path / "run", announce, slow(0.2))
    run.wait_for("step 2")
    run.send(signal.SIGINT)
    assert run.end() == 130
    assert "interrupted; the same command goes on" in run.message
    assert [found for found, _ in committed_checkpoints(tmp_path / "run")] == [2]


def test_a_signal_before_the_first_step_ends_the_run_at_once(tmp_path, recipe):
    run = start(recipe, tmp_path / "run", slow_start)
    run.wait_for("opening")
    run.send(signal.SIGTERM)
    assert run.end(5) == 75
    assert run.message.startswith("pdefm: stopped by SIGTERM: before the first step.")
    assert not (tmp_path / "run").exists()


def slow_start():
    from pdefm.train import pretrain
    from tests.faults.kit import mark

    def wait(*_):
        mark("opening")
        time.sleep(60)

    pretrain.open_sources = wait


def test_a_second_signal_ends_the_process_and_harms_nothing(tmp_path, recipe, whole):
    out = tmp_path / "run"
    run = start(recipe, out, announce, slow(30, "save"))
    run.wait_for("step 2")
    run.send(signal.SIGTERM)
    run.wait_for("saving")
    time.sleep(signals.SAME_SECONDS)
    begun = time.monotonic()
    run.send(signal.SIGTERM)
    assert run.end(10) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 2
    assert committed_checkpoints(out) == []
    check_goes_on(recipe, out, whole)


def test_one_signal_that_comes_twice_is_one(monkeypatch):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    received = signals._Received()
    received.deferred = True
    received.handle(signal.SIGTERM, None)
    received.handle(signal.SIGTERM, None)
    assert left == []
    received.at -= 2 * signals.SAME_SECONDS
    received.handle(signal.SIGTERM, None)
    assert left == [143]


def test_handlers_are_those_of_before_when_a_run_ends():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with signals.handled_signals():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_all_processes_leave_when_one_is_asked(tmp_path, recipe):
    out = tmp_path / "run"
    ranks = start_ranks(recipe, out, announce, slow(0.2))
    ranks[1].wait_for("step 3")
    ranks[1].send(signal.SIGTERM)
    assert [run.end() for run in ranks] == [75, 75], [run.message for run in ranks]
    assert [found for found, _ in committed_checkpoints(out)] == [3]
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [(e["step"], e["event"]) for e in events] == [(3, "stopped")]
    ranks = start_ranks(recipe, out)
    assert [run.end() for run in ranks] == [0, 0], [run.message for run in ranks]
    assert [step for step, _ in losses(out)] == list(range(1, 13))


def test_processes_that_read_ahead_ignore_signals(tmp_path, recipe, whole):
    out = tmp_path / "run"
    options = ["--set", "data.num_workers=2"]
    run = start(recipe, out, announce, slow(0.3), options=options)
    run.wait_for("step 3")
    children = children_of(run.process.pid)
    assert len(children) >= 2
    for child in children:
        os.kill(child, signal.SIGTERM)
    run.send(signal.SIGTERM)
    assert run.end() == 75, run.log.read_text()
    assert not [child for child in children if os.path.exists(f"/proc/{child}")]
    check_goes_on(recipe, out, whole)


def children_of(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                continue
    return found
