"""What comes with pdefm works by its name, without a network, from a clone and from the wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel, AutoProcessor

import pdefm
from pdefm.data.source import GenerateSection
from pdefm.evaluation.evaluate import evaluate_dataset
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.hub.listing import list_models

ROOT = Path(__file__).parents[2]
NANO = ROOT / "model_cards" / "dpot-nano"
MAX_BYTES, MAX_PARAMETERS = 6e6, 1.5e6
LOAD = """
import json, pdefm
from transformers import AutoModel
place = pdefm.resolve("dpot-nano")
model = AutoModel.from_pretrained(place)
print(json.dumps([str(place), model.num_parameters(), pdefm.__file__]))
"""


@pytest.fixture(autouse=True)
def nothing_published(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))


def test_nano_is_listed_and_small():
    assert "dpot-nano" in {entry.name for entry in list_models()}
    weights = NANO / "model.safetensors"
    assert weights.stat().st_size <= MAX_BYTES
    with safe_open(weights, framework="pt") as file:
        total = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert total <= MAX_PARAMETERS


def test_two_lines_load_it_and_its_forecast_beats_persistence():
    place = pdefm.resolve("dpot-nano")
    model, processor = AutoModel.from_pretrained(place), AutoProcessor.from_pretrained(place)
    section = GenerateSection(family="gray_scott", num_validation=2, num_frames=14, seed=77)
    protocol = Protocol(history=processor.history)
    found = evaluate_dataset(
        "gray_scott", section.open("test", "cpu"), {"model": Contender(model, processor)}, protocol
    )
    persistence = found["baselines"]["persistence"]["relative_l2"]
    assert found["metrics"]["relative_l2"] < 0.5 * persistence
    assert torch.isfinite(torch.tensor(found["metrics"]["vrmse"]))


def test_every_benchmark_and_study_of_its_card_was_made_with_these_weights():
    sha256 = json.loads((NANO / "results.json").read_text())["model"]["sha256"]
    for path in NANO.glob("results*.json"):
        assert json.loads(path.read_text())["model"]["sha256"] == sha256, path.name
    for path in NANO.glob("study*.json"):
        assert json.loads(path.read_text())["base_sha256"] == sha256, path.name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_brings_it_along(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("pdefm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "site"),
        "PDEFM_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    place, parameters, package = json.loads(done.stdout)
    assert Path(place).is_relative_to(tmp_path / "site" / "pdefm" / "model_cards")
    assert Path(package).is_relative_to(tmp_path / "site")
    assert parameters <= MAX_PARAMETERS
