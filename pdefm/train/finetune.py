"""From a base, some data, a task and a tuner to a run folder with an adapter."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pdefm.adapters import WEIGHTS_NAME, Adapter, BaseReference, save_adapter
from pdefm.config import section_from_dict
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model, weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks import TASKS
from pdefm.train.accelerator import Engine
from pdefm.train.assemble import assemble_and_run
from pdefm.train.data import (
    OpenedSource,
    check_grids,
    make_processor,
    open_sources,
)
from pdefm.train.ranks import explained_loss
from pdefm.train.recipe import FinetuneRecipe
from pdefm.train.run_folder import check_run_folder
from pdefm.train.session import Trainee
from pdefm.train.signals import handled_signals
from pdefm.tuners.base import trainable_share


def check_fields(model: DPOTModel, sources: list[OpenedSource], added: dict[str, Any]) -> None:
    """Refuse fields that neither the base nor ``add_fields`` knows.

    Raises:
        ModelError: Names the field and both ways to add it.
    """
    known = model.config.field_names or []
    for source in sources:
        for name in source.first.names:
            if name not in known and name not in added:
                raise ModelError(
                    f"{source.name}: the base does not know field '{name}'",
                    got=f"a base with {', '.join(known)}",
                    do=f"Add it with --add-field {name} (starts from zero) or"
                    f" --add-field {name}={known[0]} (starts from that field's weights)",
                )


def adapted_processor(base: PDEProcessor, sources: list[OpenedSource]) -> PDEProcessor:
    """The base's fields, with the statistics of the new data where the data have them."""
    own = make_processor(
        sources, history=base.history, horizon=base.horizon, normalization=base.normalization
    )
    own.fields = base.fields | own.fields
    own.conditions, own.min_history = base.conditions, base.min_history
    return own


@handled_signals()
@explained_loss()
def finetune(
    recipe: FinetuneRecipe, base_folder: Path, out: str | Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Adapt a base, or continue the run that ``out`` holds.

    Args:
        recipe: Resolved recipe; ``recipe.base`` is only recorded.
        base_folder: Where the base lies.
        out: Run folder; its checkpoints' ``model/`` is the adapter folder.
        overwrite: Remove a run that is there and start anew.

    Returns:
        As :func:`~pdefm.train.pretrain.pretrain`, with ``num_trainable``.

    Raises:
        PdefmError: As the parts say.
    """
    out = Path(out)
    check_run_folder(out, recipe, overwrite=overwrite)
    task_class = TASKS[recipe.task]
    task_options = section_from_dict(task_class.options_class, recipe.task_options, "task_options")
    base, base_processor = load_model(base_folder)
    adapter = Adapter(
        base=BaseReference(recipe.base, weights_sha256(base)),
        task=recipe.task,
        tuner=recipe.tuner,
        tuner_options=recipe.tuner_options,
        added_fields=recipe.add_fields,
        recipe=recipe.model_dump(mode="json"),
    )
    tuner = adapter.make_tuner()
    engine = Engine(recipe.train, out, recipe.seed)
    with engine.main_first():
        sources = open_sources(recipe.data, str(engine.device))
    check_fields(base, sources, recipe.add_fields)
    check_grids(sources, base.config.patch_size, base.config.num_dims)
    processor = adapted_processor(base_processor, sources)
    torch.manual_seed(recipe.seed)
    model = adapter.attach(base)
    num_trainable, num_parameters = trainable_share(model)
    trainee = Trainee(
        model=model,
        task=task_class(processor, task_options),
        write=lambda folder, module: save_adapter(folder, adapter, module, processor),
        read=lambda folder: tuner.load_state(model, load_file(folder / WEIGHTS_NAME)),
        title=f"finetune {recipe.name} ({recipe.tuner}, {num_trainable:,} weights)",
    )
    summary = assemble_and_run(
        recipe, out, engine, sources, processor, trainee, overwrite=overwrite
    )
    return summary | {"num_parameters": num_parameters, "num_trainable": num_trainable}
