"""Is fine-tuning worth it? Errors over the number of trajectories, against training from nothing.

::

    OUT/
      results.json   schema, shots, errors of every contender, gain, recipe, provenance
      study.png      the same as curves
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pdefm.adapters import Adapter, BaseReference, tuner_loss
from pdefm.data.collection import Subset
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.files import atomic_folder, write_json_atomic
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model, weights_sha256
from pdefm.progress import progress
from pdefm.provenance import provenance
from pdefm.tasks.base import Prepared, Task, task_loss
from pdefm.train.data import (
    OpenedSource,
    check_grids,
    make_mixture,
    noise_generator,
    open_sources,
    validation_batches,
)
from pdefm.train.fields import (
    adapted_processor,
    fit_processor,
    found_fields,
    plan_fields,
    plan_values,
)
from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.recipe import FinetuneRecipe
from pdefm.train.validation import baseline_errors, validation_errors

FINETUNED, SCRATCH, FNO = "finetuned", "scratch", "fno"
# What of another mixer's configuration a linear, symmetric Fourier layer cannot have.
FNO_CONFIG = {
    "mixer": "fno",
    "mode_truncation": "symmetric",
    "spectral_output_bias": False,
    "spectral_act": None,
    "spectral_nonlinearity": "parts",
}
FIRST_SHOTS, SHOT_FACTOR = 4, 4


def parse_shots(text: str) -> list[int]:
    """Ascending numbers of trajectories from ``4,16,64``.

    Raises:
        RecipeError: Anything else.
    """
    try:
        shots = sorted({int(part) for part in text.split(",")})
    except ValueError:
        shots = [0]
    if shots[0] < 1:
        raise RecipeError("--shots must be whole numbers from 1 on", got=text, do="Write 4,16,64")
    return shots


def chosen_shots(shots: Sequence[int] | None, available: int) -> list[int]:
    """The given numbers, or 4, 16, 64, ... as far as the data reach.

    Raises:
        RecipeError: More than there are.
    """
    if shots is None:
        powers = [FIRST_SHOTS * SHOT_FACTOR**i for i in range(10)]
        return [k for k in powers if k <= available] or [available]
    if shots[-1] > available:
        raise RecipeError(
            f"--shots asks for {shots[-1]} trajectories",
            got=f"data with {available} to train on",
            do="Give smaller numbers or more data",
        )
    return list(shots)


def _subset(source: OpenedSource, count: int, seed: int) -> OpenedSource:
    """So many training trajectories, drawn by the seed; more of them contain the fewer."""
    order = np.random.default_rng([seed, 7]).permutation(len(source.train))
    return replace(source, train=Subset(source.train, sorted(int(i) for i in order[:count])))


def train_steps(
    recipe: FinetuneRecipe,
    model: nn.Module,
    task: Task,
    sources: list[OpenedSource],
    loss: Callable[[Task, Tensor, Prepared], Tensor] = task_loss,
) -> None:
    """The recipe's steps, without a run folder."""
    section = recipe.train
    turns = section.global_batch_size // section.micro_batch_size
    mixture = make_mixture(sources, recipe, task, num_slots=turns)
    optimizer = make_optimizer(model, section)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    model.train()
    for step in range(section.max_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(section, step)
        optimizer.zero_grad()
        task.progress = step / section.max_steps
        for slot in range(turns):
            batch = mixture.load(step, slot)
            prepared = task.prepare(batch, noise_generator(recipe.seed, step, slot))
            (loss(task, task.predict(model, prepared), prepared) / turns).backward()
        torch.nn.utils.clip_grad_norm_(weights, section.max_grad_norm)
        optimizer.step()
    model.eval()


def fresh_model(config: DPOTConfig, **changes: Any) -> DPOTModel:
    """A model of the same shape with weights that were never trained."""
    values = config.to_dict() | changes
    values.pop("architectures", None)
    return DPOTModel(DPOTConfig(**values))


def run_study(
    recipe: FinetuneRecipe,
    base_folder: Path,
    out: Path,
    *,
    shots: Sequence[int] | None = None,
    num_seeds: int = 2,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train every contender on so many trajectories with several seeds, at equal steps.

    Args:
        recipe: Data, task, tuner and steps; ``train.learning_rate`` is everybody's.
        base_folder: Where the base lies.
        out: Folder for ``results.json`` and ``study.png``.
        shots: Numbers of training trajectories of each source.
        num_seeds: Seeds: they draw the trajectories, their order, and new weights.
        overwrite: Replace the folder.

    Returns:
        The content of ``results.json``.

    Raises:
        PdefmError: As the parts say; nothing is written then.
    """
    if out.exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")
    if any(source.online is not None for source in recipe.data.sources):
        raise RecipeError("a study needs trajectories that can be counted", got="data.online")
    sources = open_sources(recipe.data)
    ks = chosen_shots(shots, min(len(source.train) for source in sources))
    makers: dict[str, Callable[..., tuple[nn.Module, Task]]] = {
        FINETUNED: make_finetuned,
        SCRATCH: _from_scratch,
        FNO: _fno,
    }
    losses = {FINETUNED: tuner_loss(recipe.tuner, recipe.tuner_options)}
    found: dict[str, list[list[float]]] = {label: [] for label in makers}
    baselines: dict[str, dict[str, float]] = {}
    total = len(ks) * num_seeds * len(makers)
    with progress("study", total, unit="trainings") as advance:
        for k in ks:
            for errors in found.values():
                errors.append([])
            for seed in range(recipe.seed, recipe.seed + num_seeds):
                few = [_subset(source, k, seed) for source in sources]
                seeded = recipe.model_copy(update={"seed": seed})
                for label, make in makers.items():
                    torch.manual_seed(seed)
                    model, task = make(seeded, base_folder, few)
                    train_steps(seeded, model, task, few, losses.get(label, task_loss))
                    validation = validation_batches(sources, recipe.data, task)
                    values = validation_errors(model, task, validation)
                    found[label][-1].append(sum(values.values()) / len(values))
                    baselines = baseline_errors(task, validation)
                    advance(1)
    results = _results(recipe, ks, found, baselines, num_seeds)
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_json_atomic(folder / "results.json", results)
        (folder / "study.png").write_bytes(draw_study(results))
    return results


def make_finetuned(
    recipe: FinetuneRecipe, base_folder: Path, sources: list[OpenedSource]
) -> tuple[nn.Module, Task]:
    """An adapted base before its first step, and the task."""
    base, base_processor = load_model(base_folder)
    check_grids(sources, base.config.patch_size, base.config.num_dims)
    processor = adapted_processor(base_processor, sources)
    adapter = Adapter(
        BaseReference(recipe.base, weights_sha256(base)),
        recipe.task,
        recipe.tuner,
        recipe.tuner_options,
        task_options=recipe.task_options,
    )
    task = adapter.make_task(processor)
    fit_processor(task, sources)
    plan = plan_fields(task, base, sources, recipe.add_fields)
    return replace(adapter, **plan_values(plan)).attach(base, processor), task


def _from_scratch(
    recipe: FinetuneRecipe, base_folder: Path, sources: list[OpenedSource], **changes: Any
) -> tuple[nn.Module, Task]:
    base, base_processor = load_model(base_folder)
    processor = adapted_processor(base_processor, sources)
    adapter = Adapter(
        BaseReference("scratch", ""), recipe.task, "full", task_options=recipe.task_options
    )
    task = adapter.make_task(processor)
    fit_processor(task, sources)
    names = found_fields(task, sources)
    model = fresh_model(cast(DPOTConfig, base.config), field_names=names, **changes)
    return adapter.attach(model, processor), task


def _fno(
    recipe: FinetuneRecipe, base_folder: Path, sources: list[OpenedSource]
) -> tuple[nn.Module, Task]:
    patch_size = load_model(base_folder)[0].config.patch_size
    latent = min(size // patch_size for s in sources for h in s.heads() for size in h.grid.shape)
    num_modes = max(1, latent // 2)
    return _from_scratch(recipe, base_folder, sources, **FNO_CONFIG, num_modes=num_modes)


def _results(
    recipe: FinetuneRecipe,
    shots: list[int],
    found: Mapping[str, list[list[float]]],
    baselines: Mapping[str, Mapping[str, float]],
    num_seeds: int,
) -> dict[str, Any]:
    errors: dict[str, dict[str, list[Any]]] = {
        label: {
            "mean": [float(np.mean(values)) for values in by_shot],
            "std": [float(np.std(values)) for values in by_shot],
            "values": by_shot,
        }
        for label, by_shot in found.items()
    }
    for label, by_source in baselines.items():
        mean = float(np.mean(list(by_source.values())))
        errors[label] = {"mean": [mean] * len(shots), "std": [0.0] * len(shots)}
    return {
        "schema": 1,
        **provenance(recipe.seed),
        "recipe": recipe.model_dump(mode="json"),
        "num_seeds": num_seeds,
        "num_steps": recipe.train.max_steps,
        "metric": "relative_l2",
        "shots": shots,
        "errors": errors,
        "gain": sample_efficiency(shots, errors[FINETUNED]["mean"], errors[SCRATCH]["mean"]),
    }


def sample_efficiency(
    shots: Sequence[int], finetuned: Sequence[float], scratch: Sequence[float]
) -> dict[str, Any]:
    """How many times more trajectories training from nothing needs for the same error.

    The error of the fine-tuned model at the fewest trajectories is looked up on the curve from
    scratch, which is interpolated in the logarithm of the number.

    Returns:
        ``factor`` (a lower bound if ``at_least``), and a sentence.
    """
    target, fewest = finetuned[0], shots[0]
    logs = np.log(np.array(shots, float))
    reached = next((i for i, error in enumerate(scratch) if error <= target), None)
    if reached is None:
        factor, at_least = shots[-1] / fewest, True
        sentence = (
            f"fine-tuned on {fewest} trajectories: error {target:.4f}; from scratch not reached"
            f" with {shots[-1]}: more than {factor:.3g}x the data"
        )
    else:
        at = logs[reached]
        if reached:
            before, after = scratch[reached - 1], scratch[reached]
            at = np.interp(target, [after, before], [logs[reached], logs[reached - 1]])
        factor, at_least = float(np.exp(at)) / fewest, False
        sentence = (
            f"fine-tuned on {fewest} trajectories: error {target:.4f}; from scratch that takes"
            f" {factor * fewest:.3g}: {factor:.3g}x the data"
        )
        if reached == 0:
            sentence = (
                f"no gain: from scratch on {fewest} trajectories is as good"
                f" ({scratch[0]:.4f}, fine-tuned {target:.4f})"
            )
    return {"factor": factor, "at_least": at_least, "sentence": sentence}


def draw_study(results: Mapping[str, Any]) -> bytes:
    """Error over the number of trajectories, a curve a contender with its spread over the seeds."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    from pdefm.evaluation.plots import line_style, new_figure, png_bytes

    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    shots = results["shots"]
    for position, (label, errors) in enumerate(results["errors"].items()):
        style = line_style(label, position)
        mean, std = np.array(errors["mean"]), np.array(errors["std"])
        marker = "o" if "values" in errors else None  # a baseline learns nothing
        axes.plot(shots, mean, label=label, marker=marker, markersize=4, **style)
        axes.fill_between(
            shots,
            np.maximum(mean - std, 0.2 * mean),
            mean + std,
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("training trajectories")
    axes.set_ylabel("relative L2 error, one step")
    axes.set_title(f"{results['num_steps']} steps each, {results['num_seeds']} seeds", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.9", linewidth=0.7)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return png_bytes(figure)
