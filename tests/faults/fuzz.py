"""Runs the reader of damaged files in a child and counts what happens to it."""

import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.mutants import write_samples

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 90.0
READER = (sys.executable, "-m", "tests.faults.read_mutants")


@dataclass
class Outcome:
    """Counts of what happened, and what must not happen, in words.

    ``read`` gave numbers, ``probe`` was refused by the probe, ``refused`` by the format with a
    typed error; ``escaped`` is any other exception, ``crashed`` and ``hung`` say it of the process.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def fuzz(
    kind: str,
    count: int,
    seed: int,
    folder: Path,
    hang: float = HANG_SECONDS,
    reader: tuple[str, ...] = READER,
) -> Outcome:
    """Read ``count`` damaged files of a kind.

    Args:
        kind: ``h5``, ``nc``, ``npy``, ``mat`` or ``zarr``.
        count: How many.
        seed: Decides the damage.
        folder: For the good files.
        hang: Seconds without an answer that count as hanging.
        reader: Command of the child.
    """
    write_samples(folder)
    outcome, start = Outcome(), 0
    while start < count:
        child = _start([*reader, str(folder), kind, *map(str, (seed, start, count))])
        start = _follow(child, kind, start, count, seed, hang, outcome)
    return outcome


def _start(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _follow(
    child: "subprocess.Popen[str]",
    kind: str,
    start: int,
    count: int,
    seed: int,
    hang: float,
    outcome: Outcome,
) -> int:
    """One child, as far as it comes; the number to go on with."""
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=listen, daemon=True).start()
    begun, ended = start - 1, start - 1
    why = "hung"
    while True:
        try:
            line = lines.get(timeout=hang)
        except queue.Empty:
            break
        if not line:
            why = "crashed"
            break
        found = json.loads(line)
        begun = found.get("begin", begun)
        if "end" in found:
            ended = found["end"]
            outcome.counts[found["outcome"]] += 1
            if found["outcome"] == "escaped":
                outcome.failures.append(f"{kind} seed {seed} number {ended}: {found['message']}")
    child.kill()
    _, complaint = child.communicate()
    if ended == count - 1 and why == "crashed":
        return count
    outcome.counts[why] += 1
    outcome.failures.append(f"{kind} seed {seed} number {begun} {why}: {complaint[-2000:]}")
    return max(begun, start) + 1
