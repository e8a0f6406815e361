"""What a recipe will need, before an hour is spent."""

from typing import Any

import torch

from pdefm.data.batch import to_device
from pdefm.data.windows import EndlessWindows
from pdefm.errors import RecipeError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.data import (
    make_mixture,
    open_sources,
    validation_batches,
)
from pdefm.train.pretrain import design_model
from pdefm.train.recipe import PretrainRecipe

BYTES = 4  # float32 weights, gradients and both Adam moments
STATES = 4
MEBIBYTE = 2**20


def check_recipe(recipe: PretrainRecipe) -> dict[str, Any]:
    """Open the data, build the model on the meta device, run one batch's shapes through it.

    Returns:
        Parameters, mebibytes of weights, gradients and optimizer, of a checkpoint, of saved
        activations of one micro-batch; shapes of the first micro-batch; samples and shares.

    Raises:
        PdefmError: Whatever a run of the recipe would meet in its first step.
    """
    section = recipe.train
    if section.global_batch_size % section.micro_batch_size:
        raise RecipeError(
            "train.global_batch_size must be a multiple of train.micro_batch_size",
            got=f"{section.global_batch_size} and {section.micro_batch_size}",
            do="Change one of them",
        )
    sources = open_sources(recipe.data)
    config, processor = design_model(recipe, sources)
    num_slots = section.global_batch_size // section.micro_batch_size
    mixture = make_mixture(sources, recipe, processor, num_slots=num_slots)
    validation_batches(sources, recipe.data, processor)
    batch = mixture.load(0, 0)
    prepared = ForecastingTask(processor, recipe.task).prepare(batch)
    with torch.device("meta"):
        model = DPOTModel(config)
    saved = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    inputs = to_device(prepared.inputs, "meta")
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        prediction = model(**inputs).prediction
    weights = model.num_parameters() * BYTES / MEBIBYTE
    return {
        "parameters": model.num_parameters(),
        "fields": ", ".join(processor.fields),
        "history": " x ".join(map(str, batch.history.shape)),
        "prediction": " x ".join(map(str, prediction.shape)),
        "training memory, MiB": STATES * weights + saved / MEBIBYTE,
        "activations of a micro-batch, MiB": saved / MEBIBYTE,
        "checkpoint, MiB": (STATES - 1) * weights,
        "samples a step": section.global_batch_size,
        "windows": ", ".join(
            f"{s.name} {'endless' if isinstance(s.windows[0], EndlessWindows) else s.num_windows}"
            for s in mixture.sources
        ),
        "left out, not finite": sum(len(source.dropped) for source in sources),
        "shares": ", ".join(f"{k} {v:.3f}" for k, v in mixture.shares(section.max_steps).items()),
    }
