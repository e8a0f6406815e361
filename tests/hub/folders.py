"""Hand-made model, adapter and run folders: real safetensors, no model code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pdefm.files import write_manifest

PROCESSOR: dict[str, Any] = {
    "processor_class": "PDEProcessor",
    "fields": {"vorticity": {"unit": "1/s", "mean": 0.0, "std": 1.5}},
    "history": 4,
    "horizon": 1,
    "normalization": "field",
    "boundaries": ["periodic"],
    "dt": [0.1, 0.2],
    "resolutions": [[32, 32]],
}


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def make_model(folder: Path, value: float = 1.0) -> Path:
    """A model of seven numbers."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"model_type": "dpot", "hidden_size": 2})
    write_json(folder / "processor_config.json", PROCESSOR)
    tensors = {"weight": torch.full((2, 3), value), "bias": torch.zeros(1)}
    save_file(tensors, folder / "model.safetensors")
    return folder


def make_adapter(folder: Path, base: str = "someone/base") -> Path:
    """A LoRA adapter of four numbers."""
    folder.mkdir(parents=True)
    config = {
        "format_version": 1,
        "base": {"name": base, "revision": "v1", "sha256": "cd" * 32},
        "task": "forecasting",
        "tuner": "lora",
        "recipe": {"train": {"max_steps": 300, "learning_rate": 1e-3}},
    }
    write_json(folder / "adapter_config.json", config)
    write_json(folder / "processor_config.json", PROCESSOR)
    save_file({"lora_A": torch.ones(2, 2)}, folder / "adapter_model.safetensors")
    return folder


def make_run(folder: Path, steps: tuple[int, ...] = (100, 500)) -> Path:
    """A run whose checkpoints also hold what must never be published."""
    for step in steps:
        checkpoint = folder / "checkpoints" / f"step-{step:06d}"
        make_model(checkpoint / "model", value=float(step))
        (checkpoint / "state").mkdir()
        (checkpoint / "state" / "optimizer.pt").write_bytes(b"moments")
        (checkpoint / "model" / "optimizer.safetensors").write_bytes(b"moments")
        (checkpoint / "model" / "training_args.bin").write_bytes(b"token")
        write_manifest(checkpoint)
    (folder / "recipe.yaml").write_text("train:\n  max_steps: 500\n  learning_rate: 0.001\n")
    return folder
