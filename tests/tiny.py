"""Runs small enough for tests: travelling waves, and a DPOT of a few thousand weights."""

from pathlib import Path
from typing import Any

import numpy as np

from pdefm.config import section_from_dict
from pdefm.train.recipe import FinetuneRecipe, PretrainRecipe

MODEL = {
    "history": 3,
    "patch_size": 4,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_feature_size": 8,
    "decoder_size": 8,
}
TRAIN = {
    "max_steps": 12,
    "global_batch_size": 4,
    "micro_batch_size": 2,
    "learning_rate": 3e-3,
    "warmup_steps": 2,
    "logging_steps": 1,
    "eval_steps": 6,
    "save_steps": 4,
    "report_to": "none",
}


def waves(*shape: int, seed: int = 0) -> np.ndarray:
    """Travelling waves of random direction, speed and phase.

    Args:
        shape: Trajectories, frames, channels, points along x, points along y.
        seed: Decides the waves.
    """
    random = np.random.default_rng(seed)
    num, frames, channels, nx, ny = shape
    size = (num, 1, channels, 1, 1)
    kx, ky = random.integers(1, 3, size), random.integers(-2, 3, size)
    speed, phase = random.uniform(0.2, 0.6, size), random.uniform(0, 6, size)
    t = np.arange(frames).reshape(1, -1, 1, 1, 1)
    x = (np.arange(nx) / nx).reshape(-1, 1)
    y = np.arange(ny) / ny
    angle = 2 * np.pi * (kx * x + ky * y) - speed * t + phase
    return (2.0 + np.sin(angle)).astype(np.float32)


def write_waves(path: Path, *shape: int, seed: int = 0) -> Path:
    """The same as a file that ``--axes "N T C X Y"`` opens."""
    np.save(path, waves(*shape, seed=seed))
    return path


def write_sources(folder: Path) -> list[dict[str, Any]]:
    """Two files, and the sources of a recipe that reads them."""
    return [
        {
            "name": "sea",
            "weight": 2.0,
            "path": str(write_waves(folder / "sea.npy", 5, 9, 1, 16, 16)),
            "axes": "N T C X Y",
            "names": ["height"],
            "units": ["m"],
            "dt": 0.5,
        },
        {
            "name": "air",
            "weight": 1.0,
            "path": str(write_waves(folder / "air.npy", 4, 8, 2, 16, 24, seed=1)),
            "axes": "N T C X Y",
            "names": ["velocity_x", "velocity_y"],
            "units": ["m/s", "m/s"],
            "dt": 0.25,
        },
    ]


def tiny_values(sources: list[dict[str, Any]], **train: Any) -> dict[str, Any]:
    """Keys and values of a pretraining recipe."""
    return {
        "name": "tiny",
        "seed": 3,
        "model": dict(MODEL),
        "data": {"sources": sources, "validation_windows": 4},
        "train": TRAIN | train,
    }


def tiny_recipe(sources: list[dict[str, Any]], **train: Any) -> PretrainRecipe:
    """A pretraining recipe."""
    return section_from_dict(PretrainRecipe, tiny_values(sources, **train))


def tiny_finetune(base: Path, source: dict[str, Any], **changes: Any) -> FinetuneRecipe:
    """A fine-tuning recipe; ``train`` among the changes is laid over the tiny one's."""
    values = {
        "base": str(base),
        "seed": 4,
        "data": {"sources": [source], "validation_windows": 4},
        "tuner_options": {"r": 2},
    }
    train = TRAIN | {"max_steps": 8} | changes.pop("train", {})
    return section_from_dict(FinetuneRecipe, values | changes | {"train": train})
