"""The checkpoint with the lowest validation error, kept apart.

Only steps that the recipe both validates and saves can be the best, so that no kill and no signal
changes which one it is. All is told by the journal and the folders, and nothing is remembered.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdefm.files import MANIFEST
from pdefm.train.checkpoint import checkpoint_folder, keep_apart
from pdefm.train.journal import read_metrics
from pdefm.train.recipe import TrainSection

BEST_NAME = "best"


def validation_score(line: dict[str, Any]) -> float:
    """Mean over the sources of a validation line, of the rollouts where there are any."""
    errors = line.get("validation_rollout") or line["validation"]
    return sum(errors.values()) / len(errors)


def best_step(
    lines: Sequence[dict[str, Any]], save_steps: int, max_steps: int
) -> tuple[int, float] | None:
    """Step and error of the best of the validated steps that are saved; the first one of equals."""
    scores = {
        line["step"]: validation_score(line)
        for line in lines
        if "validation" in line and (line["step"] % save_steps == 0 or line["step"] == max_steps)
    }
    finite = [(score, step) for step, score in scores.items() if math.isfinite(score)]
    if not finite:
        return None
    score, step = min(finite)
    return step, score


def is_stale(run_folder: Path, patience: int | None) -> bool:
    """True if the last ``patience`` validations brought nothing better than one before them."""
    if patience is None or not (run_folder / "metrics.jsonl").exists():
        return False
    lines = [line for line in read_metrics(run_folder) if "validation" in line]
    scores = list({line["step"]: validation_score(line) for line in lines}.values())
    finite = [score if math.isfinite(score) else math.inf for score in scores]
    return bool(finite) and len(finite) - 1 - finite.index(min(finite)) >= patience


def keep_best(run_folder: Path, section: TrainSection) -> None:
    """Keep the best checkpoint as ``checkpoints/best`` unless it is already there."""
    if not (run_folder / "metrics.jsonl").exists():
        return
    best = best_step(read_metrics(run_folder), section.save_steps, section.max_steps)
    if best is None:
        return
    source = checkpoint_folder(run_folder, best[0])
    manifest, kept = source / MANIFEST, source.with_name(BEST_NAME) / MANIFEST
    if not manifest.is_file():  # it has gone, after it was kept
        return
    if not kept.is_file() or kept.read_bytes() != manifest.read_bytes():
        keep_apart(run_folder, best[0], BEST_NAME)
