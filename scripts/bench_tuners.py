"""The tuners side by side: python scripts/bench_tuners.py [--base quickstart] [--families ...].

Every tuner adapts the same base to the same few trajectories in equal steps. Prints a table in
markdown, a row a tuner and family:
  trained    weights that train, and their share of all weights of the adapted model,
  adapter    bytes of `adapter_model.safetensors`,
  memory     weights, gradients, moments and activations of a step, as `pdefm finetune` says it,
  seconds    of the training steps,
  error      relative L2 on held-out trajectories, one step, and after --rollout steps in a row,
  low, mid, high   `spectral_band_error` of one step: squares add up to that of the error.
`none` is the base before training, whose new fields start as --new-field-from does. Every tuner has
a learning rate of its own (ROWS).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from timing import parsed, parser_with
from torch import nn

from pdefm.adapters import WEIGHTS_NAME, Adapter, BaseReference, save_adapter, tuner_loss
from pdefm.config import section_from_dict
from pdefm.hub.resolve import resolve
from pdefm.metrics import BANDS, spectral_band_error
from pdefm.models.loading import load_model
from pdefm.provenance import commit
from pdefm.tasks.base import Task
from pdefm.train.briefing import measure
from pdefm.train.data import OpenedSource, make_mixture, open_sources, validation_batches
from pdefm.train.recipe import FinetuneRecipe
from pdefm.train.study import make_finetuned, train_steps
from pdefm.train.validation import validation_errors
from pdefm.tuners.base import trainable_share

# Learning rates: of 1e-3, 3e-3 and 1e-2 the best in the one-step error, on allen_cahn; for the
# refiner, which is for families that the base knows, on navier_stokes with --data-seed 100.
ROWS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "full": ("full", 1e-3, {}),
    "head": ("head", 1e-2, {}),
    "lora": ("lora", 1e-2, {}),
    "fourier": ("fourier", 1e-2, {}),
    "fourier, widths 8 4 2": ("fourier", 1e-2, {"widths": [8, 4, 2]}),
    "spectral_refiner": ("spectral_refiner", 3e-3, {}),
}
STANDING = ("navier_stokes",)  # families whose forces may not be moved
HEADER = ("family", "tuner", "trained", "adapter", "memory", "seconds", "error", "rollout", *BANDS)


def make_recipe(family: str, row: str, options: argparse.Namespace) -> FinetuneRecipe:
    """The recipe of a row."""
    tuner, rate, tuner_options = ROWS[row]
    generate = {
        "family": family,
        "num_trajectories": options.num_trajectories,
        "num_validation": options.num_validation,
        "resolution": options.resolution,
        "seed": options.data_seed,
    }
    source = {"name": family, "random_shift": family not in STANDING, "generate": generate}
    values: dict[str, Any] = {
        "seed": options.seed,
        "base": options.base,
        "task": "new_physics",
        "task_options": {"noise_fraction": options.noise},
        "tuner": tuner,
        "tuner_options": tuner_options | json.loads(options.tuner_options),
        "data": {"sources": [source], "validation_windows": options.validation_windows},
        "train": {
            "max_steps": options.steps,
            "global_batch_size": options.batch,
            "micro_batch_size": options.batch,
            "learning_rate": options.learning_rate or rate,
            "warmup_steps": options.steps // 20,
        },
    }
    return section_from_dict(FinetuneRecipe, values)


def errors(
    model: nn.Module, task: Task, recipe: FinetuneRecipe, sources: list[OpenedSource], rollout: int
) -> list[float]:
    """One-step error, error of the rollout, and errors by band."""
    one = validation_batches(sources, recipe.data, task)
    many = validation_batches(sources, recipe.data, task, rollout)
    found: dict[str, list[torch.Tensor]] = {band: [] for band in BANDS}
    model.eval()
    with torch.no_grad():
        for batch in (b for batches in one.values() for b in batches):
            prepared = task.prepare(batch)
            prediction = task.predict(model, prepared)
            bands = spectral_band_error(prediction, prepared.target)
            for band, values in bands.items():
                found[band].append(values.flatten())
    means = [sum(validation_errors(model, task, b).values()) for b in (one, many)]
    return means + [float(torch.cat(found[band]).mean()) for band in BANDS]


def adapter_bytes(recipe: FinetuneRecipe, model: nn.Module, task: Task) -> int:
    """Size of the weights of an adapter on the disk."""
    adapter = Adapter(BaseReference("base", ""), recipe.task, recipe.tuner, recipe.tuner_options)
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(folder, adapter, model, task.processor)
        return (Path(folder) / WEIGHTS_NAME).stat().st_size


def run_row(family: str, row: str, options: argparse.Namespace, first: bool) -> list[list[str]]:
    """Train a row; before the first one of a family comes the base."""
    recipe = make_recipe(family, row, options)
    base = resolve(options.base)
    sources = open_sources(recipe.data)
    known = load_model(base)[1].fields
    new = {name: options.new_field_from for name in sources[0].first.names if name not in known}
    recipe = recipe.model_copy(update={"add_fields": new})
    torch.manual_seed(options.seed)
    model, task = make_finetuned(recipe, base, sources)
    lines = []
    if first:
        found = errors(model, task, recipe, sources, options.rollout)
        lines.append([family, "none", "", "", "", "", *(f"{value:.2e}" for value in found)])
    loss = tuner_loss(recipe.tuner, recipe.tuner_options)
    mixture = make_mixture(sources, recipe, task, num_slots=1)
    validation = validation_batches(sources, recipe.data, task)
    memory = measure(model, task, mixture, validation, "cpu", 1, options.seed, loss).memory
    start = time.perf_counter()
    train_steps(recipe, model, task, sources, loss)
    seconds = time.perf_counter() - start
    trained, total = trainable_share(model)
    found = errors(model, task, recipe, sources, options.rollout)
    size = adapter_bytes(recipe, model, task)
    cells = [f"{trained:,} ({trained / total:.1%})", f"{size / 1e3:,.0f} kB"]
    cells += [f"{memory / 2**20:.0f} MiB", f"{seconds:.0f}"]
    return [*lines, [family, row, *cells, *(f"{value:.2e}" for value in found)]]


def main() -> None:
    """Parse, run, print a table."""
    parser = parser_with(__doc__)
    parser.add_argument("--base", default="quickstart")
    parser.add_argument("--families", nargs="+", default=["allen_cahn", "fisher_kpp"])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--new-field-from", default="concentration_v")
    parser.add_argument("--num-trajectories", type=int, default=6)
    parser.add_argument("--num-validation", type=int, default=4)
    parser.add_argument("--validation-windows", type=int, default=32)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--data-seed", type=int, default=0, help="of the trajectories")
    parser.add_argument("--noise", type=float, default=0.005, help="noise_fraction of the task")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, help="instead of each row's own")
    parser.add_argument("--rollout", type=int, default=8)
    parser.add_argument("--tuner-options", default="{}", help="more of them, as JSON")
    options = parsed(parser)
    print(f"commit {commit()}, seed {options.seed}, {options.threads} threads")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    for family in options.families:
        for row in options.rows:
            for line in run_row(family, row, options, row == options.rows[0]):
                print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
