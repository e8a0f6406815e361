"""Checkpoints of a run: written beside, then renamed; without a manifest they do not exist.

::

    runs/NAME/checkpoints/step-000500/
      model/           what the Hub gets
      state/           optimizer and step; private to the run, never published
      manifest.json    sha256 of every file, written last
"""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pdefm.errors import ModelError
from pdefm.files import MANIFEST, atomic_folder, make_readable, verify_manifest, write_manifest

STATE_NAME = "state.pt"


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Place of the checkpoint after ``step`` optimizer steps."""
    return run_folder / "checkpoints" / f"step-{step:06d}"


def committed_checkpoints(run_folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders that have a manifest, oldest first."""
    found = []
    for folder in (run_folder / "checkpoints").glob("step-*"):
        match = re.fullmatch(r"step-(\d+)", folder.name)
        if match and (folder / MANIFEST).is_file():
            found.append((int(match[1]), folder))
    return sorted(found)


def save_checkpoint(
    run_folder: Path,
    step: int,
    write_model: Callable[[Path], None],
    state: dict[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint, commit it by renaming, then remove the oldest ones.

    Args:
        run_folder: The run.
        step: Optimizer steps done.
        write_model: Writes the ``model/`` folder.
        state: Optimizer state and position; tensors and plain values only.
        keep: Newest checkpoints that stay.
    """
    out = checkpoint_folder(run_folder, step)
    with atomic_folder(out, overwrite=True) as folder:
        (folder / "model").mkdir()
        write_model(folder / "model")
        (folder / "state").mkdir()
        torch.save(state, folder / "state" / STATE_NAME)
        make_readable(folder)
        write_manifest(folder)
    for _, old in committed_checkpoints(run_folder)[:-keep]:
        shutil.rmtree(old)
    return out


def latest_checkpoint(run_folder: Path) -> tuple[int, Path] | None:
    """Newest checkpoint whose files are what its manifest says; names those it skips.

    Raises:
        ModelError: Checkpoints exist, but every one of them is damaged.
    """
    candidates = committed_checkpoints(run_folder)
    for step, folder in reversed(candidates):
        try:
            verify_manifest(folder)
        except ModelError as error:
            sys.stderr.write(f"skipped checkpoint {folder.name}: {error}\n")
            continue
        return step, folder
    if candidates:
        raise ModelError(
            f"every checkpoint in {run_folder} is damaged",
            got=f"{len(candidates)} checkpoints",
            do="Start again in another folder",
        )
    return None


def load_state(folder: Path) -> dict[str, Any]:
    """The private state of a checkpoint."""
    return torch.load(folder / "state" / STATE_NAME, map_location="cpu", weights_only=True)
