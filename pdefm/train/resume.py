"""Where a run goes on, and what it says about that."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import MANIFEST, file_sha256
from pdefm.train import ranks
from pdefm.train.checkpoint import find_checkpoint, set_aside_after, sweep
from pdefm.train.identity import compare
from pdefm.train.journal import read_metrics
from pdefm.train.run_folder import check_same_recipe
from pdefm.train.session import Session

IDENTITY_NAME = "made_with.json"


@dataclass(frozen=True)
class Resume:
    """The agreement of all processes on a checkpoint.

    Args:
        step: Optimizer steps that are done.
        folder: The checkpoint; ``None`` starts from the beginning.
        written_by: Number of processes that wrote it.
        notes: What was skipped, discarded or changed, in words.
    """

    step: int
    folder: Path | None = None
    written_by: int = 0
    notes: tuple[str, ...] = ()


def find_resume(session: Session) -> Resume:
    """Tidy up, verify, compare, and agree; all processes call it.

    Raises:
        ModelError: Checkpoints exist, but not one is whole.
        RecipeError: The recipe is not that which the checkpoint was made with.
        DataError: The data are not those that the checkpoint was made with.
        EnvironmentFault: A process does not see the checkpoint.
    """
    found = Resume(0)
    with ranks.together("look for checkpoints"):
        if session.engine.is_main:
            found = _find(session)
            for note in found.notes:
                sys.stderr.write(f"{note}\n")
    found = ranks.from_main(found)
    if found.folder is not None:
        with ranks.together(f"see {found.folder.name}"):
            _check_seen(found.folder)
    return found


def _find(session: Session) -> Resume:
    unfinished = sweep(session.run_folder)
    newest, skipped = find_checkpoint(session.run_folder)
    notes = [f"discarded unfinished {name}" for name in unfinished] + skipped
    if newest is None:
        journal = session.run_folder / "metrics.jsonl"
        if journal.exists() and (lines := read_metrics(session.run_folder)):
            notes.append(f"no checkpoint: starts again, {lines[-1]['step']} steps are lost")
        return Resume(0, notes=tuple(notes))
    step, folder = newest
    set_aside_after(session.run_folder, step)
    before = _read_identity(folder)
    notes += compare(before, session.made_with, folder.name)
    what = f"{folder.name} was made with another recipe"
    check_same_recipe(before["recipe"], session.recipe, what)
    return Resume(step, folder, before["world_size"], tuple(notes))


def _read_identity(folder: Path) -> dict[str, Any]:
    path = folder / "state" / IDENTITY_NAME
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read", got=error, do="Move this checkpoint away to use an older one"
        ) from error


def _check_seen(folder: Path) -> None:
    """All processes read one and the same manifest."""
    manifest = folder / MANIFEST
    own = file_sha256(manifest) if manifest.is_file() else None
    everyone = ranks.of_all(own)
    if own != everyone[0]:
        raise EnvironmentFault(
            f"process {ranks.rank()} does not see {folder} as the main process does",
            do="Put --out on a disk that all machines share",
        )
