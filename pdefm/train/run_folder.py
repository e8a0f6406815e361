"""The folder of a run: made once, entered again to resume.

::

    runs/NAME/
      recipe.yaml        resolved; reproduces the run alone
      environment.json   commit, package versions, world size, hardware
      metrics.jsonl      a line a logging step
      events.jsonl       what was done out of the ordinary: resumes, skipped steps, signals
      checkpoints/       see train/checkpoint.py
      run.lock           whose run it is; held while one is writing
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pdefm.config import Section, dump_recipe, section_from_dict
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.files import write_json_atomic, write_text_atomic
from pdefm.provenance import provenance
from pdefm.train.lock import LOCK_NAME
from pdefm.yaml_text import parse_yaml

RECIPE_NAME = "recipe.yaml"
# Keys that change neither the weights nor the order of the data.
HARMLESS = {
    "train.logging_steps",
    "train.eval_steps",
    "train.save_steps",
    "train.save_total_limit",
    "train.keep_every_steps",
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
    path = folder / RECIPE_NAME
    old = parse_yaml(path.read_text(), str(path))
    check_same_recipe(old, recipe, f"{folder} holds a run of another recipe")


def check_same_recipe(old: Mapping[str, Any], recipe: Section, what: str) -> None:
    """Refuse a recipe that would change the weights or the order of the data.

    Args:
        old: Values of the recipe of before; keys that a newer pdefm has added take their defaults.
        recipe: That of now.
        what: Opens the message.

    Raises:
        RecipeError: Names the first key that differs.
    """
    before = flat(section_from_dict(type(recipe), old, what).model_dump(mode="json"))
    new = flat(recipe.model_dump(mode="json"))
    for key in sorted(before.keys() | new.keys()):
        if key not in HARMLESS and before.get(key) != new.get(key):
            raise RecipeError(
                f"{what}: {key} is {before.get(key)!r} there",
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
    occupied = folder.exists() and (not folder.is_dir() or bool(_content(folder)))
    if occupied and not is_run_folder(folder):
        raise EnvironmentFault(f"{folder} exists and is no run folder", do="Choose another --out")
    if occupied and not overwrite:
        _check_same_recipe(folder, recipe)


def _content(folder: Path) -> list[Path]:
    """All but the lock, which is there before the run is."""
    return [path for path in folder.iterdir() if path.name != LOCK_NAME]


def _empty(folder: Path) -> None:
    """Remove a run: its checkpoints at a stroke, its recipe last, so that it stays a run folder."""
    checkpoints = folder / "checkpoints"
    if checkpoints.exists():
        checkpoints.rename(folder / f".checkpoints.{uuid4().hex[:8]}.deleted")
    for path in sorted(_content(folder), key=lambda path: path.name == RECIPE_NAME):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_run_folder(folder: Path, recipe: Section, *, overwrite: bool, world_size: int) -> None:
    """Make the folder of a new run; an existing run is entered again, or removed by ``overwrite``.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    if is_run_folder(folder):
        if not overwrite:
            return
        _empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot make {folder}", got=error.strerror, do="Choose another --out"
        ) from error
    environment = provenance(getattr(recipe, "seed", 0)) | {"world_size": world_size}
    write_json_atomic(folder / "environment.json", environment)
    write_text_atomic(folder / RECIPE_NAME, dump_recipe(recipe))
