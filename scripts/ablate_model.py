"""What each choice in the model is worth: python scripts/ablate_model.py --out runs/ablation.

Trains one small DPOT per variant on the quickstart's three solved equations, same seeds, same
windows, same number of steps, and prints a Markdown table:
  step      relative L2 of one step on held-out windows, mean over the sources
  rollout   relative L2 over whole held-out rollouts from their first frames
  seconds   of training
Finished variants are kept in --out, so the same command goes on after an interruption.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from pdefm.config import merge_values, recipe_values, section_from_dict
from pdefm.evaluation.evaluate import evaluate_dataset
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.files import write_json_atomic
from pdefm.models.loading import load_model
from pdefm.train.checkpoint import latest_checkpoint
from pdefm.train.data import open_sources
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe

BASE = {
    "model": {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "learned_positions": True,
        "coordinate_channels": True,
        "spectral_nonlinearity": "parts",
    },
    "train": {"report_to": "none", "warmup_steps": 30, "logging_steps": 50},
}
BARE = {"learned_positions": False, "coordinate_channels": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "published choices where they differ": {
        "prediction": "state",
        "spectral_output_bias": True,
    },
    "increment": {},
    "+ output bias b2": {"spectral_output_bias": True},
    "+ time aggregation mlp": {"time_aggregation": "mlp"},
    "+ instance normalisation": {"normalization": "instance"},
    "+ fourier coordinates, no table": {
        "coordinate_encoding": "fourier",
        "learned_positions": False,
    },
    "no positions": BARE,
    "no positions + modulus": BARE | {"spectral_nonlinearity": "modulus"},
    "no positions + conditions": BARE
    | {"conditions": ["dt", "viscosity", "feed", "kill", "boundary"]},
    "no positions + modes < 5, symmetric": BARE | {"num_modes": 5},
    "no positions + modes < 5, one-sided": BARE | {"num_modes": 5, "mode_truncation": "one_sided"},
    "no positions + fno": BARE | {"mixer": "fno", "num_modes": 5},
    "no positions + axial attention": BARE | {"mixer": "axial_attention"},
    "no positions + random history": BARE | {"task": {"min_history": 1}},
}


def make_recipe(model: dict[str, Any], steps: int, seed: int) -> PretrainRecipe:
    """The quickstart's recipe with a smaller model and one variant's choices."""
    model = dict(model)
    task = model.pop("task", {})
    own = {
        "seed": seed,
        "model": model,
        "task": task,
        "train": {"max_steps": steps, "eval_steps": steps, "save_steps": steps},
    }
    values = merge_values(merge_values(recipe_values("pretrain/quickstart"), BASE), own)
    return section_from_dict(PretrainRecipe, values)


def run(recipe: PretrainRecipe, folder: Path) -> dict[str, float]:
    """Train (or read) one variant with one seed."""
    done = folder / "ablation.json"
    if done.exists():
        return json.loads(done.read_text())
    start = time.perf_counter()
    summary = pretrain(recipe, folder)
    seconds = time.perf_counter() - start
    found = latest_checkpoint(folder)
    assert found is not None
    model, processor = load_model(found[1] / "model")
    contender = {"model": Contender(model, processor)}
    protocol = Protocol(history=processor.history, num_steps=10)
    rollouts = [
        evaluate_dataset(source.name, source.valid, contender, protocol)["metrics"]["relative_l2"]
        for source in open_sources(recipe.data)
    ]
    result = {
        "step": statistics.mean(summary["validation"].values()),
        "rollout": statistics.mean(rollouts),
        "seconds": seconds,
        "parameters": model.num_parameters(),
    }
    write_json_atomic(done, result)
    return result


def main() -> None:
    """Parse, run all variants, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=sorted(VARIANTS, key=list(VARIANTS).index))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| variant | step | rollout | weights | s |\n|---|---|---|---|---|", flush=True)
    for name in options.only:
        slug = "".join(c if c.isalnum() else "_" for c in name)
        runs = [
            run(make_recipe(VARIANTS[name], options.steps, seed), options.out / f"{slug}_{seed}")
            for seed in range(options.seeds)
        ]
        mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        spread = max(run["rollout"] for run in runs) - min(run["rollout"] for run in runs)
        print(
            f"| {name} | {mean['step']:.4f} | {mean['rollout']:.4f} ± {spread / 2:.4f}"
            f" | {mean['parameters'] / 1e3:.0f} k | {mean['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
