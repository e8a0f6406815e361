"""Speed of a pretraining run as its own journal says it: one process against two.

``python -m scripts.bench_train`` trains the recipe with one single-threaded process and with two
that share the global batch, in turns, and prints one line of JSON: samples per second of both, the
share of twice the one process that two reach, and the share of the time in which a step waits for
data.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pdefm.provenance import commit
from pdefm.train.journal import read_metrics

ROOT = Path(__file__).parents[1]


def lines_of(recipe: str, out: Path, processes: int, sets: list[str]) -> list[dict[str, float]]:
    """Run; returns the training lines after the first two, which warm up."""
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m"]
    command = [sys.executable, "-m", *(launcher if processes == 2 else []), "pdefm", "pretrain"]
    command += [recipe, "--out", str(out), "--json"]
    for key in sets:
        command += ["--set", key]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [line for line in read_metrics(out) if "samples_per_second" in line][2:]


def main() -> None:
    """Parse, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="nano_smoke")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    sets = [f"train.max_steps={options.steps}", "train.logging_steps=5", *options.set]
    sets += ["train.eval_steps=100000", "train.save_steps=100000"]
    speeds: dict[int, list[float]] = {1: [], 2: []}
    waits: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for processes in speeds:
            with tempfile.TemporaryDirectory() as folder:
                lines = lines_of(options.recipe, Path(folder) / "run", processes, sets)
            speeds[processes] += [line["samples_per_second"] for line in lines]
            waits[processes] += [line["data_wait_fraction"] for line in lines]
    one, two = (statistics.median(speeds[processes]) for processes in (1, 2))
    figures = {
        "recipe": options.recipe,
        "set": options.set,
        "commit": commit(),
        "samples/s, one process": round(one, 1),
        "samples/s, two processes": round(two, 1),
        "share of twice one process": round(two / (2 * one), 3),
        "data wait, one process": round(statistics.median(waits[1]), 4),
        "data wait, two processes": round(statistics.median(waits[2]), 4),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
