"""The batch script with stand-ins for SLURM's own commands, which start two processes here.

Runs on demand, in a minute: ``python -m pytest -m slow tests/train/test_slurm.py``.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdefm.config import recipes_folder
from pdefm.train.journal import read_metrics
from tests.tiny import tiny_recipe, write_sources
from tests.train.runs import ROOT, write_recipe

SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
for rank in 0 1; do
  SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" &
  echo $! > "$PLACE/worker-$rank"
done
worst=0
for rank in 0 1; do
  wait "$(cat "$PLACE/worker-$rank")"; code=$?
  if [ $code -gt $worst ]; then worst=$code; fi
done
exit $worst
"""
SCONTROL = """#!/bin/bash
if [ "$1" = requeue ]; then echo "$2" >> "$PLACE/requeued"; else echo 127.0.0.1; fi
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def submit(tmp_path):
    """Start the script as SLURM would on one node with two processes."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    recipe = tiny_recipe(write_sources(tmp_path), max_steps=2000, save_steps=1000, eval_steps=2000)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    lines = (recipes_folder() / "launch" / "multi_node.sbatch").read_text().splitlines()
    changed = f'RUN="pdefm pretrain {recipe} --out {tmp_path / "run"}"'
    script = tmp_path / "job.sbatch"
    script.write_text("\n".join(changed if x.startswith("RUN=") else x for x in lines))
    assert changed in script.read_text()
    path = os.pathsep.join([str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {
        "PATH": path,
        "PLACE": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "here",
        "SLURM_NTASKS": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }
    return lambda: subprocess.Popen(["bash", str(script)], env=environment, cwd=tmp_path)


def wait_for_steps(run, job):
    while not (run / "metrics.jsonl").exists() or not read_metrics(run):
        assert job.poll() is None
        time.sleep(0.1)


def test_a_preempted_job_saves_requeues_itself_and_goes_on(tmp_path, submit):
    job = submit()
    wait_for_steps(tmp_path / "run", job)
    job.send_signal(signal.SIGUSR1)  # SLURM sends it to the script, too
    for rank in range(2):
        os.kill(int((tmp_path / f"worker-{rank}").read_text()), signal.SIGUSR1)
    assert job.wait(60) == 75
    assert (tmp_path / "requeued").read_text() == "4711\n"
    saved = read_metrics(tmp_path / "run")[-1]["step"]
    assert saved < 2000
    job = submit()
    assert job.wait(150) == 0
    assert read_metrics(tmp_path / "run")[-1]["step"] == 2000
    assert (tmp_path / "requeued").read_text() == "4711\n"
