"""Every command and snippet of README.md runs as printed, in one empty folder, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.hub_double import HubDouble, start

CANARY = "hf_canary_of_the_readme"
README = Path(__file__).parents[1] / "README.md"
# The quickstart that the README's journeys start from, cut down; its full length is a slow test.
SHORT = ["train.max_steps=4"]


def blocks(text):
    return re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def hub():
    """Stands for the Hub; it runs on this machine."""
    double = HubDouble()
    server = start(double)
    yield double
    server.shutdown()
    server.server_close()


def environment(folder, hub):
    scripts = Path(sys.executable).parent
    return os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": CANARY,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PDEFM_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }


def run(command, folder, hub):
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, hub), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.timeout(1200)
def test_the_journeys_run_as_printed(hub, tmp_path):
    (tmp_path / "recipes").symlink_to(README.parent / "recipes")  # as in a clone
    run(["pdefm", "quickstart", *(f"--set={setting}" for setting in SHORT)], tmp_path, hub)
    found = blocks(README.read_text())
    assert len(found) >= 6
    for language, text in found:
        shell = ["bash", "-euo", "pipefail", "-c", text]
        run(shell if language == "bash" else [sys.executable, "-c", text], tmp_path, hub)
    assert (tmp_path / "rollout.gif").read_bytes()[:4] == b"GIF8"
    assert (tmp_path / "my.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "models" / "mine" / "README.md").is_file()
    assert "sst" in (tmp_path / "models" / "foreign" / "README.md").read_text()
    assert (tmp_path / "models" / "smoke" / "config.json").is_file()
    assert {name for name, found in hub.repositories.items() if found.private} == {"you/dpot-smoke"}
    assert {"you/dpot-mine", "datasets/you/allen-cahn"} < set(hub.repositories)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if CANARY.encode() in path.read_bytes()]
    assert not [oid for oid, content in hub.blobs.items() if CANARY.encode() in content]


def test_every_verb_is_mentioned_by_a_document():
    text = README.read_text()
    for verb in ("quickstart", "data", "check", "pretrain", "finetune", "evaluate", "rollout"):
        assert f"pdefm {verb}" in text or f"scripts/{verb}" in text
    for verb in ("convert", "publish", "list"):
        assert f"pdefm {verb}" in text
