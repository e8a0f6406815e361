"""What each choice in nano's recipe is worth: python scripts/ablate_nano.py --out runs/ablate_nano.

Trains the recipe ``nano`` briefly, once per variant and seed, all for the same time on a processor:
a variant whose training step costs twice as much (timed in turns with the first variant's) takes
half the steps. Prints a Markdown table:
  step      relative L2 of one step on held-out windows, mean over the sources
  rollout   relative L2 over rollouts of 10 frames of held-out trajectories, mean over the sources
            (and in brackets its geometric mean, which the hard sources do not dominate)
  seconds   of training
Finished variants are kept in --out, so the same command goes on after an interruption, and
--list prints what is there without training.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pdefm.config import merge_values, recipe_values, section_from_dict
from pdefm.evaluation.evaluate import evaluate_dataset
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.files import write_json_atomic
from pdefm.models.loading import load_model
from pdefm.provenance import commit
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.checkpoint import latest_checkpoint
from pdefm.train.data import make_mixture, open_sources
from pdefm.train.pretrain import build_model, pretrain
from pdefm.train.recipe import PretrainRecipe

NUM_STEPS = 10
PARAMETERS = [
    "dt",
    "viscosity",
    "diffusivity",
    "interface_energy",
    "mobility",
    "feed",
    "kill",
]
REFERENCE, UNMOVED = "afno, 192 wide", "no moves of the grid in rollouts"
ROUNDS = 5
AFNO: dict[str, Any] = {
    "mixer": "afno",
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_modes": None,
    "spectral_nonlinearity": "modulus",
}
FNO = {"mixer": "fno", "spectral_nonlinearity": "parts"}
CONDITIONS = {"conditions": PARAMETERS, "hidden_size": 88}  # 96 wide they pass 1.5 M weights
VARIANTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    # Shape.
    "afno, 192 wide": {"model": AFNO},
    "afno, 128 wide, 8 deep": {"model": AFNO | {"hidden_size": 128, "num_hidden_layers": 8}},
    "afno, patch 8": {"model": AFNO | {"patch_size": 8}},
    "fno, 96 wide, 6 modes": {"model": AFNO | FNO | {"hidden_size": 96, "num_modes": 6}},
    "fno, 128 wide, 4 modes": {"model": AFNO | FNO | {"hidden_size": 128, "num_modes": 4}},
    "fno, patch 8, 128 wide, 3 modes": {
        "model": {"patch_size": 8, "hidden_size": 128, "num_modes": 3}
    },
    "fno, 64 wide, 8 modes": {"model": AFNO | FNO | {"hidden_size": 64, "num_modes": 8}},
    "history 4": {"model": {"history": 4}},
    # What is predicted, and from what.
    "state instead of increment": {"model": {"prediction": "state"}},
    "instance normalisation": {"model": {"normalization": "instance"}},
    "random history 1 to 8": {"task": {"min_history": 1}},
    "conditions, 88 wide": {"model": CONDITIONS},
    "conditions, 88 wide, time strides 1, 2": {"model": CONDITIONS, "strides": [1, 2]},
    "positions and coordinates": {
        "model": {"learned_positions": True, "coordinate_channels": True}
    },
    # How it is trained.
    "no noise": {"task": {"noise_fraction": 0.0}},
    "noise 3 %": {"task": {"noise_fraction": 0.03}},
    "noise 10 %": {"task": {"noise_fraction": 0.1}},
    "two steps, pushforward": {"task": {"rollout_steps": 2}},
    "two steps, gradients through both": {"task": {"rollout_steps": 2, "rollout_gradient": "all"}},
    "micro-batches of 4: four sources a step": {"train": {"micro_batch_size": 4}},
    "learning rate 1e-2": {"train": {"learning_rate": 1e-2}},
    "learning rate 2e-3": {"train": {"learning_rate": 2e-3}},
    UNMOVED: {},
}


def make_recipe(variant: dict[str, Any], steps: int, seed: int) -> PretrainRecipe:
    """The recipe ``nano``, shortened, with one variant's choices."""
    variant = dict(variant)
    strides = variant.pop("strides", [1])
    values = recipe_values("pretrain/nano")
    for source in values["data"]["sources"]:
        source["time_strides"] = strides
    short = {
        "seed": seed,
        "train": {
            "max_steps": steps,
            "eval_steps": steps,
            "save_steps": steps,
            "warmup_steps": steps // 16,
            "logging_steps": 50,
            "report_to": "none",
        },
    }
    return section_from_dict(PretrainRecipe, merge_values(merge_values(values, short), variant))


def step_time(recipe: PretrainRecipe) -> Callable[[], float]:
    """A function that takes one training step and says its time on the processor."""
    sources = open_sources(recipe.data)
    model, processor = build_model(recipe, sources)
    task = ForecastingTask(processor, recipe.task)
    mixture = make_mixture(sources, recipe, task, num_slots=1)
    batch = mixture.load(0, 0)
    turns = recipe.train.global_batch_size // recipe.train.micro_batch_size

    def step() -> float:
        start = time.process_time()
        prepared = task.prepare(batch, torch.Generator().manual_seed(0))
        task.loss(task.predict(model, prepared), prepared).backward()
        return turns * (time.process_time() - start)

    return step


def relative_cost(recipe: PretrainRecipe, reference: PretrainRecipe) -> float:
    """Time of a training step over that of the reference's, timed in turns."""
    steps = [step_time(recipe), step_time(reference)]
    rounds = [[step() for step in steps] for _ in range(ROUNDS)]
    own, others = (min(times) for times in zip(*rounds, strict=True))
    return own / others


def rollout_errors(
    recipe: PretrainRecipe, folder: Path, shift_invariant: bool | None = None
) -> dict[str, float]:
    """Relative L2 of rollouts of the newest checkpoint, per source; infinite where it blew up."""
    found = latest_checkpoint(folder)
    assert found is not None
    model, processor = load_model(found[1] / "model")
    if shift_invariant is not None:
        processor.shift_invariant = shift_invariant
    contender = {"model": Contender(model, processor)}
    protocol = Protocol(history=processor.history, num_steps=NUM_STEPS)
    errors = {}
    for source in open_sources(recipe.data):
        result = evaluate_dataset(source.name, source.valid, contender, protocol)
        error = result["metrics"]["relative_l2"]
        errors[source.name] = math.inf if error is None else error
    return errors


def run(name: str, folder: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train (or read) one variant with one seed."""
    done = folder / "ablation.json"
    if done.exists():
        return json.loads(done.read_text())
    recipe = make_recipe(VARIANTS[name], steps, seed)
    if name == UNMOVED:  # the same training as the recipe's
        folder = folder_of("recipe", seed, folder.parent)
        cost = json.loads((folder / "ablation.json").read_text())["cost"]
    else:
        cost = relative_cost(recipe, make_recipe(VARIANTS[REFERENCE], steps, seed))
    recipe = make_recipe(VARIANTS[name], round(steps / cost), seed)
    start = time.process_time()
    summary = pretrain(recipe, folder)
    seconds = time.process_time() - start
    rollouts = rollout_errors(recipe, folder, False if name == UNMOVED else None)
    result = {
        "variant": name,
        "seed": seed,
        "cost": cost,
        "steps": recipe.train.max_steps,
        "step": statistics.mean(summary["validation"].values()),
        "rollout": statistics.mean(rollouts.values()),
        "geometric": math.exp(statistics.mean(math.log(e) for e in rollouts.values())),
        "rollouts": rollouts,
        "seconds": seconds,
        "parameters": summary["num_parameters"],
        "commit": commit(),
    }
    done.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(done, result)
    return result


def folder_of(name: str, seed: int, out: Path) -> Path:
    """Run folder of a variant."""
    return out / f"{''.join(c if c.isalnum() else '_' for c in name)}_{seed}"


def print_row(name: str, runs: list[dict[str, Any]]) -> None:
    """One line of the table; with several seeds, half the range of the rollouts beside the mean."""
    mean = {
        key: statistics.mean(run[key] for run in runs)
        for key in ("step", "rollout", "geometric", "parameters", "steps", "seconds")
    }
    rollouts = [run["rollout"] for run in runs]
    spread = f" ± {(max(rollouts) - min(rollouts)) / 2:.4f}" if len(runs) > 1 else ""
    print(
        f"| {name} | {mean['step']:.4f} | {mean['rollout']:.4f}{spread} ({mean['geometric']:.4f})"
        f" | {mean['parameters'] / 1e3:.0f} k | {mean['steps']:.0f} | {mean['seconds']:.0f} |",
        flush=True,
    )


def main() -> None:
    """Parse, run all variants, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400, help="of the reference")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--list", action="store_true", help="only print what is finished")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        "| variant | step | rollout | weights | steps | s |\n|---|---|---|---|---|---|", flush=True
    )
    for name in options.only:
        folders = [(seed, folder_of(name, seed, options.out)) for seed in options.seeds]
        if options.list:
            folders = [(seed, at) for seed, at in folders if (at / "ablation.json").exists()]
        runs = [run(name, folder, options.steps, seed) for seed, folder in folders]
        if runs:
            print_row(name, runs)


if __name__ == "__main__":
    main()
