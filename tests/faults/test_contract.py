"""The contract of a run: R1 bitwise resume, R2 one order, R3 equal within rounding, R4 no silence.

R4 has its own file, ``test_reading.py``. Every run here is a process that shares nothing with the
test but files.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdefm.train import loop
from tests.faults.bits import run_differences, samples_path
from tests.faults.kit import announce, die_at, note_samples, prepare, samples, start, start_ranks
from tests.train.runs import ROOT, losses

# Of 15 to 18 windows a source: at step 40 every source is in its third turn.
LONG = {"max_steps": 40, "save_steps": 3, "eval_steps": 10, "learning_rate": 1e-3}


def draw_from_every_global_generator() -> None:
    """Stands for a model with dropout: each step draws from all global generators."""
    import numpy as np
    import torch

    step = loop._Loop.train_step

    def train_step(self):
        drawn = random.random() + float(np.random.rand()) + float(torch.rand(()))
        for group in self.optimizer.param_groups:
            group["weight_decay"] = 1e-4 * drawn
        return step(self)

    loop._Loop.train_step = train_step


def hooks(out: Path):
    return (note_samples(samples_path(out)), draw_from_every_global_generator)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Recipe, and the run that was never stopped."""
    recipe = prepare(tmp_path_factory.mktemp("contract"), **LONG)
    out = recipe.with_name("whole")
    assert start(recipe, out, *hooks(out)).end() == 0
    return recipe, out


def test_r1_killed_anywhere_again_and_again_gives_every_bit_of_the_unbroken_run(tmp_path, whole):
    recipe, expected = whole
    out = tmp_path / "run"
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for number in range(6):
        run = start(recipe, out, *hooks(out), announce)
        run.wait_for("saving" if number % 2 else f"step {1 + 6 * number}")
        time.sleep(rng.uniform(0, 0.02))
        run.send(signal.SIGKILL)
        assert run.end() == -signal.SIGKILL, (seed, run.message)
    assert start(recipe, out, *hooks(out)).end() == 0
    assert run_differences(out, expected, LONG["max_steps"]) == [], seed


def test_r1_with_two_processes(tmp_path, whole):
    recipe, alone = whole
    recipe, expected = shorter(recipe, tmp_path), tmp_path / "whole"
    ranks = start_ranks(recipe, expected, *hooks(expected))
    assert [run.end() for run in ranks] == [0, 0], [run.message for run in ranks]
    out = tmp_path / "run"
    for victim, word in ((1, "step 6"), (0, "saving 9")):
        ranks = start_ranks(recipe, out, *hooks(out), announce)
        ranks[victim].wait_for(word)
        for run in (ranks[victim], ranks[1 - victim]):
            run.send(signal.SIGKILL)
            assert run.end() != 0  # the other one may have noticed first
    ranks = start_ranks(recipe, out, *hooks(out))
    assert [run.end() for run in ranks] == [0, 0], [run.message for run in ranks]
    assert run_differences(out, expected, 15, world_size=2) == []
    # R2: two processes read what one reads, in its order.
    assert samples(samples_path(out)) == samples(samples_path(alone))[: 15 * 2]


def shorter(recipe: Path, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(recipe.read_text().replace("max_steps: 40", "max_steps: 15"))
    return path


def test_r2_every_world_size_and_any_resume_read_one_list_of_batches(tmp_path):
    recipe = prepare(tmp_path, micro_batch_size=1, max_steps=8, eval_steps=100)
    expected = None
    for world_size in (1, 2, 4):
        out = tmp_path / f"world-{world_size}"
        hook = note_samples(samples_path(out))
        ranks = start_ranks(recipe, out, hook, die_at(6), world_size=world_size)
        for run in ranks:
            assert run.end() != 0
        # It goes on with another number of processes, and with processes that read ahead.
        other = {1: 4, 2: 1, 4: 2}[world_size]
        ranks = start_ranks(recipe, out, hook, world_size=other)
        assert [run.end() for run in ranks] == [0] * other, [run.message for run in ranks]
        read = samples(samples_path(out))
        expected = expected or read
        assert len(read) == 8 * 4
        assert read == expected, world_size


@pytest.mark.slow
def test_r3_another_number_of_processes_agrees_to_one_in_a_hundred_thousand(tmp_path):
    changes = {"max_steps": 60, "save_steps": 10, "learning_rate": 1e-3, "max_grad_norm": 1.0}
    recipe = prepare(tmp_path, **changes)
    expected = tmp_path / "whole"
    assert start(recipe, expected).end() == 0
    worst = {}
    for first, second in ((2, 1), (1, 2)):
        out = tmp_path / f"{first}-{second}"
        for run in start_ranks(recipe, out, die_at(11), world_size=first):
            assert run.end() != 0
        ranks = start_ranks(recipe, out, world_size=second)
        assert [run.end() for run in ranks] == [0] * second
        pairs = zip(losses(out), losses(expected), strict=True)
        values = [(float.fromhex(a), float.fromhex(b)) for (_, a), (_, b) in pairs]
        worst[out.name] = max(abs(a - b) / b for a, b in values)
    assert max(worst.values()) <= 1e-5, worst


def test_r1_validation_and_logging_change_nothing(tmp_path, whole):
    recipe, expected = whole
    out = tmp_path / "run"
    options = ["train.eval_steps=1", "train.logging_steps=7", "train.max_steps=40"]
    run = start(recipe, out, *hooks(out), options=[x for o in options for x in ("--set", o)])
    assert run.end() == 0
    found = dict(losses(out))
    assert set(found) == {7, 14, 21, 28, 35, 40}
    assert found.items() <= dict(losses(expected)).items()


def wild_surroundings() -> None:
    """Clocks that jump back and forth, and a disk that lists its files in any order."""
    import os

    now, listdir, scandir = time.time, os.listdir, os.scandir

    def shuffled(names):
        names = list(names)
        random.Random(len(names)).shuffle(names)
        return names

    class Shuffled(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def close(self):
            return None

        def __next__(self):
            if not self:
                raise StopIteration
            return self.pop()

        def __iter__(self):
            return self

    time.time = lambda: now() + random.Random(now()).uniform(-1e8, 1e8)
    os.listdir = lambda *a: shuffled(listdir(*a))
    os.scandir = lambda *a: Shuffled(shuffled(scandir(*a)))


def test_r1_holds_whatever_the_clock_and_the_disk_say(tmp_path, whole):
    recipe, expected = whole
    out = tmp_path / "run"
    run = start(recipe, out, *hooks(out), wild_surroundings, announce, TZ="Asia/Kolkata")
    run.wait_for("step 20")
    run.send(signal.SIGKILL)
    assert run.end() == -signal.SIGKILL
    run = start(
        recipe, out, *hooks(out), wild_surroundings, TZ="Pacific/Apia", LC_ALL="tr_TR.UTF-8"
    )
    assert run.end() == 0, run.message
    assert run_differences(out, expected, LONG["max_steps"]) == []


@pytest.mark.slow
def test_the_figures_have_a_short_form_that_passes(tmp_path):
    for arguments in (
        ["scripts.fault_kills", "--kills", "6", "--rank-kills", "2"],
        ["scripts.fault_flips", "--flips", "60", "--truncations", "30"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
