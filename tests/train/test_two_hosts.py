"""Two machines that share a disk: two network namespaces, each with a launcher of its own.

Runs on demand, as root, on Linux with iproute2, in a few minutes::

    sudo python -m pytest -m slow tests/train/test_two_hosts.py

Each namespace has a network stack, an address and a host name of its own; only a virtual cable
joins them. A rank on the second machine is killed, both launchers are started again, and the
results must be those of a run on one machine that was never killed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_recipe
from tests.train.runs import ROOT, losses, start, training_lines, weights, write_recipe

NAMES = ("pdefm0", "pdefm1")
ADDRESS = "10.77.0.{}"
PORT = 29517
SECONDS_TO_END = 30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root"),
]


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def take_down():
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


@pytest.fixture(scope="module")
def hosts():
    """Two namespaces with addresses 10.77.0.1 and 10.77.0.2 that know each other's names."""
    take_down()
    try:
        for name in NAMES:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"may not make network namespaces: {error.stderr.decode().strip()}")
    try:
        ends = ["link", "add", "eth0", "netns", NAMES[0], "type", "veth"]
        ip(*ends, "peer", "name", "eth0", "netns", NAMES[1])
        known = "".join(f"{ADDRESS.format(i + 1)} {name}\n" for i, name in enumerate(NAMES))
        for i, name in enumerate(NAMES):
            own = ADDRESS.format(i + 1)
            ip("-n", name, "addr", "add", f"{own}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
            folder = Path("/etc/netns") / name
            folder.mkdir(parents=True)
            # Without the machine's own name, gloo listens on 127.0.0.1, which no other host sees.
            text = f"127.0.0.1 localhost\n{known}{own} {socket.gethostname()}\n"
            (folder / "hosts").write_text(text)
        yield
    finally:
        take_down()


def launch(folder, recipe, out, kill_at=0):
    """A launcher on each machine; returns exit codes and seconds between their ends."""
    launchers = []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for i, name in enumerate(NAMES):
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes", "2", "--node-rank", str(i), "--nproc-per-node", "1"]
        command += ["--master-addr", ADDRESS.format(1), "--master-port", str(PORT)]
        command += ["-m", "tests.train.engine_worker", str(recipe), str(out), str(kill_at)]
        with (folder / f"{out.name}-{name}-{kill_at}.log").open("w") as log:
            launchers.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
    ended, give_up = {}, time.monotonic() + 240
    try:
        while len(ended) < len(launchers):
            assert time.monotonic() < give_up, f"no end in sight; logs are in {folder}"
            for i, launcher in enumerate(launchers):
                if i not in ended and launcher.poll() is not None:
                    ended[i] = time.monotonic()
            time.sleep(0.2)
    finally:
        for launcher in launchers:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGKILL)
    return [launcher.returncode for launcher in launchers], max(ended.values()) - min(
        ended.values()
    )


@pytest.mark.parametrize("engine", [{}, {"zero_stage": 2}], ids=["ddp", "zero2"])
def test_two_hosts_killed_and_started_again_equal_one(tmp_path, tiny_run, hosts, engine):
    recipe = tiny_recipe(tiny_run.sources, max_grad_norm=0.005, **engine)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    together = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m")
    one = start(*together, "tests.train.engine_worker", recipe, tmp_path / "one", 0)
    assert one.returncode == 0, one.stderr[-3000:]
    out = tmp_path / "two"
    codes, seconds = launch(tmp_path, recipe, out, kill_at=7)
    assert all(codes), codes
    assert seconds < SECONDS_TO_END
    assert [line["step"] for line in training_lines(out)][-1] in (5, 6)
    codes, _ = launch(tmp_path, recipe, out)
    assert codes == [0, 0], (tmp_path / "two-pdefm0-0.log").read_text()[-3000:]
    assert losses(out) == losses(tmp_path / "one")
    first, second = weights(out, 12), weights(tmp_path / "one", 12)
    assert all(torch.equal(first[name], second[name]) for name in second)
