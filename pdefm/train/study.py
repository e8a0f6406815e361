"""Is fine-tuning worth it? Errors over the number of trajectories, against training from nothing.

::

    OUT/
      results.json   schema, shots, errors of every contender, gain, recipe, provenance
      study.png      the same as curves
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
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
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
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
from pdefm.train.study_journal import FinishedTrainings
from pdefm.train.study_results import (
    FINETUNED,
    FNO,
    SCRATCH,
    UNTRAINED,
    draw_study,
    study_results,
)
from pdefm.train.validation import baseline_errors, validation_errors
from pdefm.tuners import TUNERS

# What of another mixer's configuration a linear, symmetric Fourier layer cannot have.
FNO_CONFIG = {
    "mixer": "fno",
    "mode_truncation": "symmetric",
    "spectral_output_bias": False,
    "spectral_act": None,
    "spectral_nonlinearity": "parts",
}
FIRST_SHOTS, SHOT_FACTOR = 4, 4
Maker = Callable[[FinetuneRecipe, Path, list[OpenedSource]], tuple[nn.Module, Task]]


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


def parse_rates(text: str) -> dict[str, float]:
    """Learning rates by contender from ``scratch=5e-3,fno=5e-3``.

    Raises:
        RecipeError: Anything else.
    """
    parts = text.split(",")
    try:
        rates = {label: float(rate) for label, rate in (part.split("=") for part in parts)}
    except ValueError:
        rates = {}
    if len(rates) < len(parts) or not all(0 < rate < math.inf for rate in rates.values()):
        raise RecipeError(
            "--rates must be positive learning rates of different contenders",
            got=text,
            do="Write scratch=5e-3,fno=5e-3",
        )
    return rates


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


def base_shape(base: nn.Module, processor: PDEProcessor) -> dict[str, Any]:
    """All of a base but its weights: what contenders without a base are made from."""
    config = cast(DPOTModel, base).config.to_dict()
    for key in ("_name_or_path", "transformers_version"):
        config.pop(key, None)
    return {"config": config, "processor": processor.to_dict()}


def run_study(
    recipe: FinetuneRecipe,
    base_folder: Path,
    out: Path,
    *,
    shots: Sequence[int] | None = None,
    num_seeds: int = 2,
    tuners: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train every contender on so many trajectories with several seeds, at equal steps.

    A study that was killed goes on: finished trainings lie beside ``out`` until it is written.

    Args:
        recipe: Data, task, tuner and steps; ``train.learning_rate`` is everybody's but of those in
            ``rates``.
        base_folder: Where the base lies.
        out: Folder for ``results.json`` and ``study.png``.
        shots: Numbers of training trajectories of each source.
        num_seeds: Seeds: they draw the trajectories, their order, and new weights.
        tuners: Several tuners to compare, each a contender of its name; by default the recipe's.
        rates: Learning rates of single contenders: what suits new weights need not suit old ones.
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
    contenders = _contenders(recipe, tuners, rates or {})
    own_rates = {label: own.train.learning_rate for label, (_, own) in contenders.items()}
    seeds = range(recipe.seed, recipe.seed + num_seeds)
    base, processor = load_model(base_folder)
    base_sha256 = weights_sha256(base)
    finished = FinishedTrainings(out, recipe, base_sha256, base_shape(base, processor), own_rates)
    _, task = make_finetuned(recipe, base_folder, sources)
    baselines = baseline_errors(task, validation_batches(sources, recipe.data, task))
    with progress("study", len(ks) * num_seeds * len(contenders), unit="trainings") as advance:
        for k, seed, label in product(ks, seeds, contenders):
            if finished.error(label, k, seed) is None:
                error = _trained_error(*contenders[label], base_folder, sources, k, seed, label)
                finished.add(label, k, seed, error)
            advance(1)
    found = {
        label: [[finished.known[label, k, seed] for seed in seeds] for k in ks]
        for label in contenders
    }
    results = study_results(recipe, ks, found, baselines, num_seeds, base_sha256, own_rates)
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_json_atomic(folder / "results.json", results)
        (folder / "study.png").write_bytes(draw_study(results))
    finished.remove()
    return results


def _trained_error(
    make: Maker,
    recipe: FinetuneRecipe,
    base_folder: Path,
    sources: list[OpenedSource],
    shots: int,
    seed: int,
    label: str,
) -> float:
    """Held-out error of one contender after its training, mean over the sources."""
    seeded = recipe.model_copy(update={"seed": seed})
    few = [_subset(source, shots, seed) for source in sources]
    torch.manual_seed(seed)
    model, task = make(seeded, base_folder, few)
    plain = label in UNTRAINED
    loss = task_loss if plain else tuner_loss(recipe.tuner, recipe.tuner_options)
    train_steps(seeded, model, task, few, loss)
    values = validation_errors(model, task, validation_batches(sources, recipe.data, task))
    return sum(values.values()) / len(values)


def _contenders(
    recipe: FinetuneRecipe, tuners: Sequence[str], rates: Mapping[str, float]
) -> dict[str, tuple[Maker, FinetuneRecipe]]:
    """How each contender is made, and its recipe, by label.

    Raises:
        RecipeError: No such tuner, or one twice, or a rate of nobody.
    """
    for tuner in tuners:
        TUNERS[tuner]  # raises with the nearest name
    if len(set(tuners)) != len(tuners):
        raise RecipeError("--tuners names one twice", got=",".join(tuners))
    tuned = {FINETUNED: recipe}
    if tuners:
        other = {"tuner_options": {}}  # those of the recipe are for its own tuner
        tuned = {
            tuner: recipe.model_copy(
                update={"tuner": tuner} | ({} if tuner == recipe.tuner else other)
            )
            for tuner in tuners
        }
    found: dict[str, tuple[Maker, FinetuneRecipe]] = {
        label: (make_finetuned, own) for label, own in tuned.items()
    }
    found |= {SCRATCH: (_from_scratch, recipe), FNO: (_fno, recipe)}
    for label, rate in rates.items():
        if label not in found:
            raise RecipeError(
                f"--rates names {label}",
                got=f"a study of {', '.join(found)}",
                do="Give rates of these only",
            )
        make, own = found[label]
        train = own.train.model_copy(update={"learning_rate": rate})
        found[label] = make, own.model_copy(update={"train": train})
    return found


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
