"""What pretraining and fine-tuning share: from opened sources to the last step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdefm.data.batch import Batch
from pdefm.files import write_json_atomic
from pdefm.tasks.base import Task
from pdefm.train import ranks
from pdefm.train.accelerator import Engine
from pdefm.train.data import OpenedSource, make_mixture, validation_batches
from pdefm.train.identity import identity
from pdefm.train.lock import RunLock
from pdefm.train.recipe import TrainingRecipe
from pdefm.train.run_folder import check_run_folder, make_run_folder
from pdefm.train.running import run_session
from pdefm.train.session import Session, Trainee

AUTO_PREDICTIONS = 8


def assemble_and_run(
    recipe: TrainingRecipe,
    run_folder: Path,
    engine: Engine,
    sources: Sequence[OpenedSource],
    trainee: Trainee,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Make the mixture and the run folder, then train or resume.

    The folder is made last, so that wrong data leave nothing behind. Trajectories that the recipe's
    policy left out are listed in its ``dropped.json``.

    Raises:
        DataError: Too few frames.
        EnvironmentFault: The folder cannot be written, or another run is writing to it.
        NumericalError: Loss or gradient left the finite numbers.
    """
    mixture = make_mixture(
        sources,
        recipe,
        trainee.task,
        num_slots=engine.num_slots,
    )
    validation = validation_batches(sources, recipe.data, trainee.task)
    rollouts: dict[str, list[Batch]] = {}
    if num_predictions := _num_predictions(recipe, trainee.task, sources):
        rollouts = validation_batches(sources, recipe.data, trainee.task, num_predictions)
    lock = None
    try:
        with ranks.together("enter the run folder"):
            if engine.is_main:
                lock = RunLock(run_folder)
                check_run_folder(run_folder, recipe, overwrite=overwrite)
                make_run_folder(
                    run_folder, recipe, overwrite=overwrite, world_size=engine.world_size
                )
                dropped = {source.name: list(source.dropped) for source in sources}
                if any(dropped.values()):
                    listed = {name: texts for name, texts in dropped.items() if texts}
                    write_json_atomic(run_folder / "dropped.json", listed)
            made_with = identity(recipe, recipe.data.sources, sources) if engine.is_main else {}
        session = Session(
            recipe, run_folder, engine, trainee, mixture, validation, rollouts, made_with, lock
        )
        summary = run_session(session)
    finally:
        if lock is not None:
            lock.release()
    return summary | {
        "out": str(run_folder),
        "dropped": {source.name: len(source.dropped) for source in sources if source.dropped},
    }


def _num_predictions(recipe: TrainingRecipe, task: Task, sources: Sequence[OpenedSource]) -> int:
    """Predictions in a row of a validation's rollouts."""
    given = recipe.train.eval_rollout_steps
    if given != "auto":
        return given
    if not task.forecasts:
        return 0
    shortest = min(
        source.valid.num_frames(group[0])
        for source in sources
        for group in source.valid.groups()
        if len(group)
    )
    fitting = (shortest - task.num_history_frames) // task.processor.horizon
    return min(fitting, AUTO_PREDICTIONS) if fitting > 1 else 0
