"""Proof that each task beats its trivial baselines; ``python scripts/bench_tasks.py [TASK ...]``.

Trains the shipped recipe of every task on the base (default: the shipped one) and prints, as
Markdown, the held-out relative L2 errors of the adapter, of the base before the task's training,
and of the trivial answers: persistence, the mean of the training data, interpolation, no
correction. For `inverse` a second table says how the error grows with the noise, beside
unregularised least squares on the equation's residual, which is affine in the parameter.

`--steps` shortens every training (for a look, not for the table). Runs stay in --out.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdefm.adapters import WEIGHTS_NAME, attach_adapter, read_adapter
from pdefm.data.batch import Batch
from pdefm.domain import Grid
from pdefm.hub.resolve import resolve
from pdefm.models.loading import load_model
from pdefm.pdes import PDES
from pdefm.progress import duration
from pdefm.provenance import commit
from pdefm.tasks.base import Task
from pdefm.tasks.inverse import InverseTask
from pdefm.train.data import open_sources, validation_batches
from pdefm.train.finetune import finetune
from pdefm.train.recipe import FinetuneRecipe, compose_finetune
from pdefm.train.validation import baseline_errors, validation_errors

RECIPES = (
    "quickstart",
    "new_physics",
    "super_resolution",
    "steady_state",
    "inverse",
    "inverse_coefficient",
    "assimilation",
)
NOISE = (0.0, 0.02, 0.05, 0.1, 0.2)
BASE = "dpot-nano"
INVERSE = "inverse"


def opened(recipe: FinetuneRecipe, base: str, run: Path) -> tuple[Any, Task, dict[str, Any]]:
    """Adapted model, its task and the held-out batches."""
    folder = resolve(run)
    model, processor = attach_adapter(load_model(resolve(base))[0], folder)
    task = read_adapter(folder).make_task(processor)
    return model, task, validation_batches(open_sources(recipe.data), recipe.data, task)


def prove(name: str, base: str, out: Path, steps: int | None) -> str:
    """Train a recipe; returns its row of the table."""
    given = [] if steps is None else [f"train.max_steps={steps}", "train.warmup_steps=0"]
    recipe = compose_finetune(f"finetune/{name}", {"base": base}, {}, given)
    run, lines, start = out / name, [], time.perf_counter()
    summary = finetune(recipe, resolve(base), run, announce=lines.append)
    seconds = time.perf_counter() - start
    compared = lines[-1].partition(": ")[2]
    errors = dict(part.rsplit(" ", 1) for part in compared.replace(";", ",").split(", "))
    rivals = {key.rsplit(" ", 1)[0]: float(value) for key, value in errors.items()}
    before = rivals.pop("the base before training", float("nan"))
    model, task, validation = opened(recipe, base, run)
    error = validation_errors(model, task, validation)
    value = sum(error.values()) / len(error)
    best = min(rivals.values())
    size = (resolve(run) / WEIGHTS_NAME).stat().st_size / 1e6
    share = summary["num_trainable"] / summary["num_parameters"]
    return (
        f"| `{recipe.task}` | `{name}` | {', '.join(error)} | {recipe.tuner} |"
        f" **{value:.4f}** | {before:.4f} |"
        f" {', '.join(f'{label} {rival:.4f}' for label, rival in rivals.items())} |"
        f" {best / value:.2f}x | {share:.0%} | {size:.2f} | {duration(seconds)} |"
    )


def least_squares(task: InverseTask, batch: Batch, family: str) -> Tensor:
    """``argmin_theta ||r(u; theta)||`` with ``r = r_0 + theta r_1``, from the noisy frames."""
    noisy, _ = task.observe(batch)
    pde, (name,) = PDES[family](), task.target_parameters
    grid = Grid.regular(tuple(noisy.shape[3:]), pde.extent, True)
    times = torch.arange(noisy.shape[1], dtype=torch.float64) * float(batch.dt[0])
    known = {k: v.double() for k, v in (batch.parameters or {}).items()}

    def residual(value: float) -> Tensor:
        given = known | {name: torch.full((len(noisy),), value, dtype=torch.float64)}
        return pde.residual(noisy.double(), given, grid, times).flatten(1)

    constant, slope = residual(0.0), residual(1.0) - residual(0.0)
    return -(constant * slope).sum(1) / slope.square().sum(1)


def noise_table(base: str, out: Path) -> list[str]:
    """Error of the inverse adapter over the noise of the observations."""
    recipe = compose_finetune(f"finetune/{INVERSE}", {"base": base}, {})
    model, task, validation = opened(recipe, base, out / INVERSE)
    assert isinstance(task, InverseTask)
    (family,) = validation
    rows = []
    for noise in NOISE:
        noisy = InverseTask(
            task.processor, task.options.model_copy(update={"noise_fraction": noise})
        )
        error = validation_errors(model, noisy, validation)[family]
        mean = baseline_errors(noisy, validation)["mean"][family]
        found, coverage = [], []
        for batch in validation[family]:
            truth = (batch.parameters or {})[noisy.target_parameters[0]].double()
            found.append((least_squares(noisy, batch, family) / truth - 1).abs())
            prepared = noisy.prepare(batch)
            with torch.no_grad():
                metrics = noisy.metrics(noisy.predict(model, prepared), prepared)
            coverage.append(metrics["coverage"])
        rows.append(
            f"| {noise:.0%} | **{error:.4f}** | {float(torch.cat(coverage).mean()):.0%} |"
            f" {float(torch.cat(found).mean()):.4f} | {mean:.4f} |"
        )
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", metavar="TASK", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--out", type=Path, default=Path("runs/bench_tasks"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = arguments.recipes or RECIPES
    print(f"commit {(commit() or 'unknown')[:9]}, seed 0, {arguments.threads} threads\n")
    print(
        "| task | recipe | held-out data | tuner | adapter | base before | trivial answers |"
        " margin | trains | MB | time |\n|---|---|---|---|---:|---:|---|---:|---:|---:|---:|"
    )
    for name in chosen:
        print(prove(name, arguments.base, arguments.out, arguments.steps), flush=True)
    if INVERSE in chosen:
        print("\n| noise | adapter | coverage | least squares | mean |\n|---:|---:|---:|---:|---:|")
        print("\n".join(noise_table(arguments.base, arguments.out)))


if __name__ == "__main__":
    main()
