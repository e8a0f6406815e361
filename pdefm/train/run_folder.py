"""The folder of a run: made once, entered again to resume.

::

    runs/NAME/
      recipe.yaml        resolved; reproduces the run alone
      environment.json   commit, package versions, world size, hardware
      metrics.jsonl      a line a logging step
      checkpoints/       see train/checkpoint.py
"""

import json
import shutil
from pathlib import Path
from typing import Any

from pdefm.config import Section, dump_recipe
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.files import write_json_atomic, write_text_atomic
from pdefm.provenance import provenance
from pdefm.yaml_text import parse_yaml

RECIPE_NAME = "recipe.yaml"
# Keys that change neither the weights nor the order of the data.
HARMLESS = {
    "train.logging_steps",
    "train.eval_steps",
    "train.save_steps",
    "train.save_total_limit",
    "train.report_to",
    "data.num_workers",
}


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as dotted paths."""
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list):
        items = ((str(i), value) for i, value in enumerate(values))
    else:
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _check_same_recipe(folder: Path, recipe: Section) -> None:
    old = flat(parse_yaml((folder / RECIPE_NAME).read_text(), str(folder / RECIPE_NAME)))
    new = flat(json.loads(recipe.model_dump_json()))
    for key in sorted(old.keys() | new.keys()):
        if key not in HARMLESS and old.get(key) != new.get(key):
            raise RecipeError(
                f"{folder} holds a run of another recipe: {key} is {old.get(key)!r} there",
                got=f"{new.get(key)!r}",
                do="Use the same recipe to resume, another --out, or --overwrite to start anew",
            )


def is_run_folder(folder: Path) -> bool:
    """True if a run lives there."""
    return (folder / RECIPE_NAME).is_file()


def check_run_folder(folder: Path, recipe: Section, *, overwrite: bool) -> None:
    """Refuse, before any work, a folder that this run may not use. Changes nothing.

    Raises:
        EnvironmentFault: The folder holds something that is no run.
        RecipeError: It holds a run of another recipe; names the first key that differs.
    """
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and not is_run_folder(folder):
        raise EnvironmentFault(f"{folder} exists and is no run folder", do="Choose another --out")
    if occupied and not overwrite:
        _check_same_recipe(folder, recipe)


def make_run_folder(
    folder: Path, recipe: Section, *, overwrite: bool, is_main: bool, world_size: int
) -> None:
    """Make the folder of a new run; an existing run is entered again, or removed by ``overwrite``.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    if not is_main:
        return
    if is_run_folder(folder):
        if not overwrite:
            return
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot make {folder}", got=error.strerror, do="Choose another --out"
        ) from error
    environment = provenance(getattr(recipe, "seed", 0)) | {"world_size": world_size}
    write_json_atomic(folder / "environment.json", environment)
    write_text_atomic(folder / RECIPE_NAME, dump_recipe(recipe))
