"""Checkpoints of a run: written beside, then renamed; without a manifest they do not exist.

::

    runs/NAME/checkpoints/step-000500/
      model/           what the Hub gets
      state/           optimizer, position, random numbers; private to the run, never published
      manifest.json    sha256 of every file, written last

All processes write into one temporary folder. Every file is on the disk before the manifest is
written, the manifest before the folder gets its name, and the name before an older checkpoint goes.
So a process may be killed and a machine may lose its power anywhere: what was committed stays, and
what was not is removed at the next start.
"""

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import torch

from pdefm.errors import ModelError
from pdefm.files import (
    MANIFEST,
    atomic_folder,
    file_sha256,
    listed_files,
    make_readable,
    sync_path,
    sync_tree,
    verify_manifest,
    write_manifest,
)
from pdefm.train import ranks
from pdefm.train.full_disk import check_free_space, explained_write_errors

STATE_NAME = "state.pt"
STEP_NAME = re.compile(r"step-(\d+)")
DEBRIS = re.compile(r"\.(.+?)(?:\.[0-9a-f]{8})?\.(partial|deleted|universal)")


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay.

    Args:
        newest: How many of the newest ones.
        every: Those of every so manieth step, too; ``None`` keeps no others.
    """

    newest: int = 2
    every: int | None = None

    def dropped(self, steps: list[int]) -> list[int]:
        """Of committed steps in ascending order, those that go."""
        return [s for s in steps[: -self.newest] if self.every is None or s % self.every]


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Place of the checkpoint after ``step`` optimizer steps."""
    return run_folder / "checkpoints" / f"step-{step:06d}"


def _step_folders(run_folder: Path) -> list[tuple[int, Path]]:
    found = [
        (int(match[1]), folder)
        for folder in (run_folder / "checkpoints").glob("step-*")
        if (match := STEP_NAME.fullmatch(folder.name)) and folder.is_dir()
    ]
    return sorted(found)


def committed_checkpoints(run_folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders that have a manifest, oldest first."""
    return [pair for pair in _step_folders(run_folder) if (pair[1] / MANIFEST).is_file()]


def save_checkpoint(
    run_folder: Path,
    step: int,
    write: Callable[[Path], None],
    retention: Retention,
    name: str | None = None,
) -> Path:
    """Write a checkpoint, commit it by renaming, then remove old ones; all processes call it.

    Args:
        run_folder: The run; the same files on every process.
        step: Optimizer steps done.
        write: Writes this process's files into ``model/`` and ``state/`` of the given folder.
        retention: Which older ones stay.
        name: Another name than that of the step, under which nothing resumes from it.

    Raises:
        EnvironmentFault: No space, no permission. What was committed before is intact.
    """
    out = checkpoint_folder(run_folder, step)
    out = out if name is None else out.with_name(name)
    partial = ranks.from_main(out.with_name(f".{out.name}.{uuid4().hex[:8]}.partial"))
    is_main = ranks.rank() == 0
    committed = committed_checkpoints(run_folder)
    previous = committed[-1][1] if committed else None
    try:
        with ranks.together(f"save {out.name}"), explained_write_errors(out, previous):
            if is_main:
                check_free_space(out, previous)
                for folder in ("model", "state"):
                    (partial / folder).mkdir(parents=True)
        with ranks.together(f"save {out.name}"), explained_write_errors(out, previous):
            write(partial)
        with ranks.together(f"save {out.name}"), explained_write_errors(out, previous):
            hashes = _flushed(partial)
        with ranks.together(f"save {out.name}"), explained_write_errors(out, previous):
            everything = {name: found for part in ranks.of_all(hashes) for name, found in part}
            if is_main:
                _commit(partial, out, dict(sorted(everything.items())))
    finally:
        if is_main:
            shutil.rmtree(partial, ignore_errors=True)
    if is_main:
        prune(run_folder, retention)
    return out


def _flushed(partial: Path) -> list[tuple[str, str]]:
    """Bring all files to the disk; returns this process's share of their hashes.

    Every machine flushes what its processes wrote: its first process does so for all of them.
    """
    if ranks.rank() == 0:
        make_readable(partial)
    names = listed_files(partial)[ranks.rank() :: ranks.num_ranks()]
    with ThreadPoolExecutor(3) as pool:  # the disk writes while the processor hashes
        flushed = os.environ.get("LOCAL_RANK", "0") == "0" and pool.submit(sync_tree, partial)
        hashes = list(pool.map(file_sha256, [partial / name for name in names]))
        if flushed:
            flushed.result()
    return list(zip(names, hashes, strict=True))


def _commit(partial: Path, out: Path, hashes: dict[str, str]) -> None:
    write_manifest(partial, hashes)
    sync_path(partial)
    if out.exists():  # damaged, or of a part of the run that was gone back over
        _delete(out)
    partial.rename(out)
    sync_path(out.parent)
    sync_path(out.parent.parent)


def _delete(folder: Path) -> None:
    """Remove a folder so that no half of it ever carries its name; nobody waits for the rest."""
    doomed = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.deleted")
    folder.rename(doomed)
    sync_path(doomed.parent)
    Thread(target=shutil.rmtree, args=(doomed,), kwargs={"ignore_errors": True}).start()


def prune(run_folder: Path, retention: Retention) -> None:
    """Remove the checkpoints that need not stay."""
    steps = [step for step, _ in committed_checkpoints(run_folder)]
    for step in retention.dropped(steps):
        _delete(checkpoint_folder(run_folder, step))


def discard_after(run_folder: Path, step: int) -> None:
    """Remove checkpoints of later steps, which the run has gone back over."""
    for later, folder in reversed(_step_folders(run_folder)):
        if later > step:
            _delete(folder)


def keep_apart(run_folder: Path, step: int, name: str = "best") -> Path:
    """Keep a committed checkpoint under another name, where it is never pruned.

    It costs no space while the checkpoint itself is there: its files are linked where the disk can.

    Args:
        run_folder: The run.
        step: Of the committed checkpoint.
        name: Folder in ``checkpoints/``; what it held before is replaced.
    """
    source = checkpoint_folder(run_folder, step)
    out = source.with_name(name)
    with atomic_folder(out, overwrite=True) as partial:
        shutil.copytree(source, partial, dirs_exist_ok=True, copy_function=_link_or_copy)
        sync_tree(partial)
    sync_path(out.parent)
    return out


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sweep(run_folder: Path) -> list[str]:
    """Remove what killed processes left half written; returns the names of unfinished saves.

    Only the process that holds the run's lock may call it.
    """
    unfinished = []
    for folder in (run_folder, run_folder / "checkpoints"):
        for path in sorted(folder.glob(".*")):
            match = DEBRIS.fullmatch(path.name)
            if match is None:
                continue
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
            if match[2] == "partial" and STEP_NAME.fullmatch(match[1]):
                unfinished.append(match[1])
    return unfinished


def latest_checkpoint(run_folder: Path) -> tuple[int, Path] | None:
    """As :func:`find_checkpoint`, without what was skipped."""
    return find_checkpoint(run_folder)[0]


def find_checkpoint(run_folder: Path) -> tuple[tuple[int, Path] | None, list[str]]:
    """Newest checkpoint whose files are what its manifest says, and why newer ones were skipped.

    Raises:
        ModelError: There are folders of checkpoints, but not one is whole.
    """
    skipped: list[str] = []
    for step, folder in reversed(_step_folders(run_folder)):
        try:
            verify_manifest(folder)
        except (ModelError, OSError) as error:
            skipped.append(f"skipped checkpoint {folder.name}: {error}")
            continue
        return (step, folder), skipped
    if skipped:
        raise ModelError(
            f"every checkpoint in {run_folder} is damaged",
            got=f"{len(skipped)} checkpoints; {skipped[0]}",
            do="Put one back, or start anew in another folder or with --overwrite",
        )
    return None, skipped


def set_aside_after(run_folder: Path, step: int) -> None:
    """Rename damaged checkpoints after ``step`` to ``damaged-...``: they no longer count."""
    for later, folder in _step_folders(run_folder):
        if later > step:
            aside = folder.with_name(f"damaged-{folder.name}")
            if aside.exists():
                _delete(aside)
            folder.rename(aside)


def load_state(folder: Path) -> dict[str, Any]:
    """The private state of a checkpoint.

    Raises:
        ModelError: It is missing or unreadable.
    """
    path = folder / "state" / STATE_NAME
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no kind of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"{path} cannot be read", got=reason, do="Move this checkpoint away to use an older one"
        ) from error
