"""From a pretraining recipe to a run folder."""

from pathlib import Path
from typing import Any

import torch

from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model, save_model
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.accelerator import Engine
from pdefm.train.assemble import assemble_and_run
from pdefm.train.data import (
    OpenedSource,
    check_grids,
    make_processor,
    open_sources,
)
from pdefm.train.ranks import explained_loss
from pdefm.train.recipe import ModelSection, PretrainRecipe
from pdefm.train.run_folder import check_run_folder
from pdefm.train.session import Trainee
from pdefm.train.signals import handled_signals


def make_config(
    section: ModelSection, processor: PDEProcessor, grid: tuple[int, ...]
) -> DPOTConfig:
    """Configuration of a new model whose vocabulary is the processor's.

    Args:
        section: Shape.
        processor: Field names, history and horizon.
        grid: Points per axis; the position table gets its latent size.
    """
    values = section.model_dump(exclude={"learned_positions", "normalization"})
    latent = [size // section.patch_size for size in grid]
    return DPOTConfig(
        **values,
        num_dims=len(grid),
        field_names=list(processor.fields),
        position_size=latent if section.learned_positions else None,
    )


def design_model(
    recipe: PretrainRecipe, sources: list[OpenedSource]
) -> tuple[DPOTConfig, PDEProcessor]:
    """Configuration of the model that the data ask for, and its processor.

    Raises:
        DataError: Data that do not fit the model or are not finite.
    """
    check_grids(sources, recipe.model.patch_size)
    processor = make_processor(
        sources,
        history=recipe.model.history,
        horizon=recipe.model.horizon,
        normalization=recipe.model.normalization,
        conditions=recipe.model.conditions,
        min_history=recipe.task.min_history,
    )
    return make_config(recipe.model, processor, sources[0].first.grid.shape), processor


def build_model(
    recipe: PretrainRecipe, sources: list[OpenedSource]
) -> tuple[DPOTModel, PDEProcessor]:
    """Untrained model, decided by the recipe's seed, and its processor.

    Raises:
        DataError: Data that do not fit the model or are not finite.
    """
    config, processor = design_model(recipe, sources)
    torch.manual_seed(recipe.seed)
    return DPOTModel(config), processor


@handled_signals()
@explained_loss()
def pretrain(recipe: PretrainRecipe, out: str | Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Train from scratch, or continue the run that ``out`` holds.

    Args:
        recipe: Resolved recipe.
        out: Run folder.
        overwrite: Remove a run that is there and start anew.

    Returns:
        Steps, validation errors, seconds, the step resumed from, ``out`` and ``num_parameters``.

    Raises:
        PdefmError: As the parts say.
    """
    out = Path(out)
    check_run_folder(out, recipe, overwrite=overwrite)
    engine = Engine(recipe.train, out, recipe.seed)
    with engine.main_first():
        sources = open_sources(recipe.data, str(engine.device))
    model, processor = build_model(recipe, sources)
    num_parameters = model.num_parameters()  # later it may hold a shard only

    def read_model(folder: Path) -> None:
        loaded, _ = load_model(folder)
        model.load_state_dict(loaded.state_dict())

    trainee = Trainee(
        model=model,
        task=ForecastingTask(processor, recipe.task),
        write=lambda folder, module: save_model(folder, module, processor),
        read=read_model,
        title=f"pretrain {recipe.name}",
    )
    summary = assemble_and_run(recipe, out, engine, sources, trainee, overwrite=overwrite)
    return summary | {"num_parameters": num_parameters}
