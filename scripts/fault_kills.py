"""Kill runs at random, go on, and compare what is left with a run that was never stopped.

``python -m scripts.fault_kills --kills 200 --rank-kills 20`` prints a line of figures for one
process and one for two, as JSON, and fails if a committed step is lost, a checkpoint cannot be
loaded, or any bit differs. Half of the kills come at any time from the start of the process on,
half within 12 ms of the beginning of a save.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pdefm.errors import ModelError
from pdefm.provenance import commit
from pdefm.train.checkpoint import find_checkpoint
from tests.faults.bits import run_differences, samples_path
from tests.faults.kit import (
    Run,
    announce,
    announce_resume,
    note_samples,
    prepare,
    start,
    start_ranks,
)

STEPS, SAVE_STEPS = 24, 2
WINDOW_SECONDS = 0.012


class Campaign:
    """Runs of one number of processes that are killed until enough kills have been.

    Args:
        folder: For recipe and runs.
        world_size: Processes of a run.
        rng: Decides when and which process.
    """

    def __init__(self, folder: Path, world_size: int, rng: random.Random) -> None:
        self.folder, self.world_size, self.rng = folder, world_size, rng
        self.recipe = prepare(folder, max_steps=STEPS, save_steps=SAVE_STEPS, eval_steps=8)
        self.counts: Counter[str] = Counter()
        self.whole = folder / "whole"
        for out in (folder / "first", self.whole):  # the first one pays for the imports
            begun = time.monotonic()
            for run in self.begin(out):
                if run.end():
                    raise SystemExit(f"the unbroken run failed: {run.message}")
            self.duration = time.monotonic() - begun

    def begin(self, out: Path) -> list[Run]:
        """Start or resume a run."""
        hooks = (announce, announce_resume, note_samples(samples_path(out)))
        if self.world_size == 1:
            return [start(self.recipe, out, *hooks)]
        return start_ranks(self.recipe, out, *hooks, world_size=self.world_size)

    def kill_once(self, out: Path) -> bool:
        """Run on and kill; returns True if the run came to its end before."""
        before = newest(out)
        ranks = self.begin(out)
        victim = self.rng.randrange(self.world_size)
        marks = []
        if self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, self.duration))
        else:
            saves = self.rng.randint(1, 4)
            while saves and (mark := next_mark(ranks[victim])):
                marks.append((victim, mark))
                saves -= mark.startswith("saving")
            time.sleep(self.rng.uniform(0, WINDOW_SECONDS))
        ranks[victim].send(signal.SIGKILL)
        ranks[victim].process.join(60)
        if self.world_size > 1:
            time.sleep(0.2)  # as long as a launcher needs to notice
        for run in ranks:
            run.send(signal.SIGKILL)
            run.process.join(60)
        marks += [(rank, mark) for rank, run in enumerate(ranks) for mark in run.all_marks()]
        finished = all(run.process.exitcode == 0 for run in ranks)
        self.counts["kills"] += ranks[victim].process.exitcode == -signal.SIGKILL
        self.judge(out, before, marks, ranks)
        return finished

    def judge(self, out: Path, before: int, marks: list[tuple[int, str]], ranks: list[Run]) -> None:
        """Count what must not be."""
        words = [mark.split() for _, mark in marks]
        resumed = {int(number) for word, number in words if word == "resumed"}
        saved = [int(number) for word, number in words if word == "saved"]
        self.counts["inside a save"] += bool(list((out / "checkpoints").glob(".step-*.partial")))
        if resumed - {before}:
            self.count("lost", f"resumed from {resumed}, committed was {before}")
        try:
            if newest(out) < max([before, *saved]):
                self.count("lost", f"{newest(out)} is left of {max([before, *saved])}")
        except ModelError as error:
            self.count("unloadable", str(error))
        for run in ranks:
            # 5 is what a process says whose neighbour was killed.
            if run.process.exitcode not in (0, 5, -signal.SIGKILL):
                self.count("unloadable", run.log.read_text())

    def count(self, what: str, why: str) -> None:
        """Count and tell."""
        self.counts[what] += 1
        sys.stderr.write(f"{what}: {why}\n")

    def run(self, kills: int) -> dict[str, int]:
        """Kill until the count is reached; every run goes on to its end and is compared."""
        number = 0
        while self.counts["kills"] < kills:
            out = self.folder / f"run-{number}"
            number += 1
            finished = False
            while not finished and self.counts["kills"] < kills:
                finished = self.kill_once(out)
            for run in self.begin(out):
                if run.end():
                    self.count("unloadable", run.message)
            found = run_differences(out, self.whole, STEPS, self.world_size)
            self.counts["runs"] += 1
            if found:
                self.count("different", f"{out}: {found[:5]}")
        names = ("kills", "runs", "inside a save", "lost", "unloadable", "different")
        return {name: self.counts[name] for name in names}


def next_mark(run: Run) -> str:
    """The next word of a run, or nothing when it has ended."""
    try:
        return run.marks.recv() if run.marks.poll(60) else ""
    except EOFError:
        return ""


def newest(out: Path) -> int:
    """Step of the newest whole checkpoint; 0 without any."""
    found, _ = find_checkpoint(out)
    return 0 if found is None else found[0]


def main() -> None:
    """Parse, run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of a run of one process")
    parser.add_argument("--rank-kills", type=int, default=20, help="of a run of two processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for world_size, kills in ((1, options.kills), (2, options.rank_kills)):
        if not kills:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(f"{options.seed} {world_size}")
            found = Campaign(Path(folder), world_size, rng).run(kills)
        facts = {"processes": world_size, "seed": options.seed, "commit": commit()}
        seconds = round(time.monotonic() - begun)
        print(json.dumps(facts | found | {"seconds": seconds}), flush=True)
        bad += found["lost"] + found["unloadable"] + found["different"]
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
