"""What pretraining and fine-tuning share: from opened sources to the last step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdefm.files import write_json_atomic
from pdefm.models.processing_pde import PDEProcessor
from pdefm.train.accelerator import Engine
from pdefm.train.data import OpenedSource, make_mixture, validation_batches
from pdefm.train.loop import run_session
from pdefm.train.recipe import TrainingRecipe
from pdefm.train.run_folder import make_run_folder
from pdefm.train.session import Session, Trainee


def assemble_and_run(
    recipe: TrainingRecipe,
    run_folder: Path,
    engine: Engine,
    sources: Sequence[OpenedSource],
    processor: PDEProcessor,
    trainee: Trainee,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Make the mixture and the run folder, then train or resume.

    The folder is made last, so that wrong data leave nothing behind. Trajectories that the recipe's
    policy left out are listed in its ``dropped.json``.

    Raises:
        DataError: Too few frames.
        EnvironmentFault: The folder cannot be written.
        NumericalError: Loss or gradient left the finite numbers.
    """
    mixture = make_mixture(
        sources,
        recipe,
        processor,
        num_slots=engine.num_slots,
        num_target_frames=trainee.task.num_target_frames,
    )
    validation = validation_batches(sources, recipe.data, processor)
    make_run_folder(
        run_folder,
        recipe,
        overwrite=overwrite,
        is_main=engine.is_main,
        world_size=engine.world_size,
    )
    dropped = {source.name: list(source.dropped) for source in sources if source.dropped}
    if dropped and engine.is_main:
        write_json_atomic(run_folder / "dropped.json", dropped)
    engine.wait()
    summary = run_session(Session(recipe, run_folder, engine, trainee, mixture, validation))
    return summary | {
        "out": str(run_folder),
        "dropped": {name: len(listed) for name, listed in dropped.items()},
    }
