"""What faults and checkpoints cost in time.

``python -m scripts.fault_times`` prints two lines of JSON:

* ``death``: seconds from the SIGKILL of one of two processes to the end of the whole job, under
  PyTorch's launcher;
* ``stall``: how long training stands still for a checkpoint, and its share of the wall time. It is
  compared with a plain save, which serialises the same model and state into files and flushes them,
  but hashes, renames and prunes nothing, and with writing as many bytes from memory.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from pdefm.config import dump_recipe, section_from_dict
from pdefm.files import sync_tree
from pdefm.provenance import commit
from pdefm.train import loop
from pdefm.train.full_disk import folder_size
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe
from tests.faults.kit import prepare
from tests.tiny import tiny_values, write_sources

ROOT = Path(__file__).parents[1]
MEBIBYTE = 2**20


def workers_of(launcher: int) -> list[int]:
    """Processes that a launcher has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == launcher:
                found.append(int(entry.name))
    return sorted(found)


def seconds_to_death(folder: Path) -> tuple[float, int]:
    """Kill one of two processes in mid-training; returns seconds and the launcher's status."""
    recipe, out = prepare(folder, max_steps=100_000, save_steps=1000), folder / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "pdefm", "pretrain", str(recipe), "--out", str(out)]
    output = (folder / "log").open("w")
    job = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    journal = out / "metrics.jsonl"
    while not journal.exists() or len(journal.read_text().splitlines()) < 10:
        if job.poll() is not None:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.1)
    os.kill(workers_of(job.pid)[-1], signal.SIGKILL)
    begun = time.monotonic()
    status = job.wait(120)
    return time.monotonic() - begun, status


def stall(folder: Path, hidden_size: int, saves: int, save_steps: int) -> dict[str, float]:
    """Train a larger model and time its saves from inside."""
    values = tiny_values(write_sources(folder), max_steps=saves, save_steps=1, eval_steps=10_000)
    values["model"] |= {"hidden_size": hidden_size, "num_hidden_layers": 4}
    recipe = section_from_dict(PretrainRecipe, values)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    stalls: list[float] = []
    plains: list[float] = []
    raws: list[float] = []
    steps: list[float] = []
    save, step, out = loop._Loop.save, loop._Loop.train_step, folder / "run"

    def timed_save(self: loop._Loop) -> None:
        if stalls:
            raws.append(raw_write(out))
            plains.append(plain_save(self, out))
        begun = time.perf_counter()
        save(self)
        stalls.append(time.perf_counter() - begun)

    def timed_step(self: loop._Loop) -> object:
        begun = time.perf_counter()
        result = step(self)
        steps.append(time.perf_counter() - begun)
        return result

    loop._Loop.save, loop._Loop.train_step = timed_save, timed_step  # pyright: ignore
    pretrain(recipe, out)
    loop._Loop.save, loop._Loop.train_step = save, step
    size = folder_size(out / "checkpoints" / f"step-{saves:06d}")
    cost, plain, raw = (statistics.median(times) for times in (stalls[1:], plains, raws))
    between = statistics.median(steps) * save_steps
    return {
        "MiB": round(size / MEBIBYTE, 1),
        "stall s": round(cost, 3),
        "plain save s": round(plain, 3),
        "stall / plain save": round(cost / plain, 2),
        "bytes from memory s": round(raw, 3),
        "step s": round(statistics.median(steps), 3),
        f"share of wall time, every {save_steps} steps": round(cost / (cost + between), 4),
    }


def raw_write(run: Path) -> float:
    """Seconds to write the bytes of the last checkpoint again, flushed, file by file."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    contents = [path.read_bytes() for path in last.rglob("*") if path.is_file()]
    with tempfile.TemporaryDirectory(dir=run) as place:
        begun = time.perf_counter()
        for number, content in enumerate(contents):
            (Path(place) / str(number)).write_bytes(content)
        sync_tree(place)
        return time.perf_counter() - begun


def plain_save(running: loop._Loop, run: Path) -> float:
    """Seconds to serialise model and state into flushed files, as if no kill could ever come."""
    with tempfile.TemporaryDirectory(dir=run) as place:
        folder = Path(place)
        begun = time.perf_counter()
        (folder / "model").mkdir()
        running.session.trainee.write(folder / "model", running.session.trainee.model)
        torch.save(running.optimizer.state_dict(), folder / "state.pt")
        sync_tree(folder)
        return time.perf_counter() - begun


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=3)
    parser.add_argument("--saves", type=int, default=8)
    parser.add_argument("--hidden-size", type=int, default=640, help="640 makes about 100 MiB")
    parser.add_argument("--save-steps", type=int, default=200, help="for the share of wall time")
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = {"commit": commit()}
    if options.deaths:
        found = []
        for _ in range(options.deaths):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                found.append(seconds_to_death(Path(folder)))
        times = [round(seconds, 1) for seconds, _ in found]
        statuses = [status for _, status in found]
        print(json.dumps(facts | {"death s": times, "status": statuses}), flush=True)
    if options.saves:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            figures = stall(Path(folder), options.hidden_size, options.saves, options.save_steps)
        print(json.dumps(facts | figures))


if __name__ == "__main__":
    main()
