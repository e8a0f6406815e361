"""What tests of runs look at, and how they start one in another process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pdefm.config import dump_recipe
from pdefm.train.journal import read_metrics
from pdefm.train.loop import _Loop
from pdefm.train.recipe import PretrainRecipe

ROOT = Path(__file__).parents[2]


def training_lines(run: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl`` that are not validations."""
    return [line for line in read_metrics(run) if "loss" in line]


def losses(run: Path) -> list[tuple[int, str]]:
    """Step and exact loss of every training line."""
    return [(line["step"], line["loss_hex"]) for line in training_lines(run)]


def validations(run: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and errors of every validation line."""
    return [
        (line["step"], line["validation"]) for line in read_metrics(run) if "validation" in line
    ]


def weights(run: Path, step: int, name: str = "model") -> dict[str, torch.Tensor]:
    """Weights of a checkpoint."""
    return load_file(run / f"checkpoints/step-{step:06d}/model/{name}.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """True if all bits are the same."""
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def write_recipe(path: Path, recipe: PretrainRecipe) -> Path:
    """A recipe as a file."""
    path.write_text(dump_recipe(recipe))
    return path


def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` with as many threads as this process has."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | threads | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class StoppedError(Exception):
    """Stands for anything that ends a process."""


def stop_at(monkeypatch: Any, step: int) -> Callable[[], None]:
    """Make training stop before one step; call the result to let it run again."""
    run = _Loop.train_step

    def train_step(self: _Loop) -> Any:
        if self.step + 1 == step:
            raise StoppedError
        return run(self)

    monkeypatch.setattr(_Loop, "train_step", train_step)
    return lambda: monkeypatch.setattr(_Loop, "train_step", run)
