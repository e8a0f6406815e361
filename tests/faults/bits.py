"""Whether two runs are the same in every bit that they left."""

from pathlib import Path
from typing import Any

import torch

from pdefm.train.checkpoint import checkpoint_folder, load_state
from tests.faults.kit import samples
from tests.train.runs import losses, training_lines, validations, weights


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Places where nested values differ in any bit."""
    if isinstance(expected, torch.Tensor):
        same = isinstance(found, torch.Tensor) and found.dtype == expected.dtype
        return [] if same and torch.equal(found, expected) else [where]
    if isinstance(expected, dict):
        if found.keys() != expected.keys():
            return [f"{where}: keys"]
        return [
            d for key in expected for d in differences(found[key], expected[key], f"{where}.{key}")
        ]
    if isinstance(expected, list | tuple):
        if len(found) != len(expected):
            return [f"{where}: length"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}.{i}")]
    return [] if found == expected else [where]


def run_differences(found: Path, expected: Path, step: int, world_size: int = 1) -> list[str]:
    """What differs between two finished runs: everything that contract R1 speaks of.

    The samples are those that ``kit.note_samples`` wrote to ``RUN-samples.jsonl``.
    """
    pairs: dict[str, tuple[Any, Any]] = {
        "losses": (losses(found), losses(expected)),
        "gradient norms": tuple(
            [line["grad_norm"].hex() for line in training_lines(run)] for run in (found, expected)
        ),
        "validations": (validations(found), validations(expected)),
        "weights": (weights(found, step), weights(expected, step)),
        "state": tuple(load_state(checkpoint_folder(run, step)) for run in (found, expected)),
        "samples": tuple(samples(samples_path(run)) for run in (found, expected)),
    }
    for rank in range(world_size):
        files = [
            checkpoint_folder(run, step) / "state" / f"rng-{rank:05d}.pt"
            for run in (found, expected)
        ]
        pairs[f"random numbers of process {rank}"] = tuple(torch.load(file) for file in files)
    return [d for name, (a, b) in pairs.items() for d in differences(a, b, name)]


def samples_path(run: Path) -> Path:
    """Where a run notes its samples."""
    return run.with_name(f"{run.name}-samples.jsonl")
