"""What runs there are below a folder, and how far they are."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdefm.train.best import best_step
from pdefm.train.checkpoint import committed_checkpoints
from pdefm.train.journal import read_metrics
from pdefm.train.run_folder import RECIPE_NAME, is_run_folder
from pdefm.yaml_text import parse_yaml


@dataclass(frozen=True)
class ListedRun:
    """One run.

    Args:
        path: Its folder.
        recipe: Name in its recipe.
        state: ``finished``; ``stopped`` or ``running`` if its last line is that fresh.
        step: Last logged optimizer step.
        max_steps: Of the recipe.
        loss: Last logged training loss.
        checkpoint: Step of the last committed checkpoint.
        best: Step of the checkpoint with the lowest validation error, kept as ``checkpoints/best``.
        best_error: That error.
        idle_seconds: Since the last line.
    """

    path: Path
    recipe: str
    state: str
    step: int
    max_steps: int
    loss: float | None
    checkpoint: int | None
    best: int | None
    best_error: float | None
    idle_seconds: float


FRESH_SECONDS = 120.0
"""A run whose journal is younger is taken to be running."""


def list_runs(root: str | Path) -> list[ListedRun]:
    """The run folders below ``root``, or ``root`` itself, by name."""
    root = Path(root)
    places = [root, *(path.parent for path in sorted(root.rglob(RECIPE_NAME)))]
    return [_listed(place) for place in dict.fromkeys(places) if is_run_folder(place)]


def _listed(folder: Path) -> ListedRun:
    recipe = parse_yaml((folder / RECIPE_NAME).read_text(), str(folder / RECIPE_NAME))
    journal = folder / "metrics.jsonl"
    lines: list[dict[str, Any]] = read_metrics(folder) if journal.exists() else []
    training = [line for line in lines if "loss" in line]
    checkpoints = committed_checkpoints(folder)
    step, max_steps = max((line["step"] for line in lines), default=0), recipe["train"]["max_steps"]
    newest = max(p.stat().st_mtime for p in (journal, folder / RECIPE_NAME) if p.exists())
    idle = max(0.0, time.time() - newest)
    finished = bool(checkpoints) and checkpoints[-1][0] >= max_steps
    state = "finished" if finished else "running" if idle < FRESH_SECONDS else "stopped"
    best = best_step(lines, recipe["train"]["save_steps"], max_steps)
    return ListedRun(
        folder,
        recipe["name"],
        state,
        step,
        max_steps,
        training[-1]["loss"] if training else None,
        checkpoints[-1][0] if checkpoints else None,
        *(best or (None, None)),
        idle,
    )
