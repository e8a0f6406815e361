"""A folder of trajectories becomes a dataset on the Hub: checked, described and uploaded."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pdefm.data.convert import RECORD as CONVERSION
from pdefm.data.inspection import few_frames
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.picture import draw_frames
from pdefm.data.shard_folder import RECORD as GENERATION
from pdefm.errors import DataError
from pdefm.files import (
    MANIFEST,
    file_sha256,
    verify_manifest,
    write_json_atomic,
    write_text_atomic,
)
from pdefm.hub.card import LICENSE
from pdefm.hub.data_card import DataFacts, render_data_card
from pdefm.hub.folder import CARD
from pdefm.hub.licences import choose_licence
from pdefm.hub.publish import PublishResult
from pdefm.repositories import REPOSITORY, upload

PICTURE = "frames.png"
STATISTICS = "stats.yaml"
CONTRACT = ("data/*.hdf5", STATISTICS, MANIFEST, CONVERSION, GENERATION, CARD, PICTURE)
"""All that is ever published; the star takes the folders of the splits along."""


def publish_data(
    folder: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    licence: str | None = None,
) -> PublishResult:
    """Publish a folder that ``pdefm data convert`` or ``pdefm data generate`` has finished.

    Args:
        folder: With ``manifest.json``, against which every byte is checked first.
        repository: Hub id ``owner/name``; the dataset is made if needed.
        private: Make a new dataset private.
        revision: Branch, made if needed.
        licence: Hub id. Needed where the source's is unknown or non-commercial; what pdefm's own
            solvers made is under ``apache-2.0`` unless another one is said.

    Returns:
        Address, commit and names of the files.

    Raises:
        DataError: No such folder, or its files are not those of its manifest, or no Hub id.
        RecipeError: The licence has to be said, or does not fit the source's.
        EnvironmentFault: No permission, no network, no login.
    """
    folder = Path(folder).expanduser()
    if not REPOSITORY.fullmatch(repository):
        raise DataError(f"'{repository}' is not a Hub id", do="Use owner/name")
    record, is_generated = _record(folder)
    source = LICENSE if is_generated else str(record.get("licence") or "")
    chosen = choose_licence(source, licence)
    verify_manifest(folder, fault=DataError)
    splits = present_splits(folder)
    opened = {
        split or "": open_trajectories(folder, "well", split=split) for split in splits or [None]
    }
    facts = DataFacts(repository, opened, chosen, record, is_generated)
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        names = _stage(folder, stage)
        draw_frames(few_frames(next(iter(opened.values()))), stage / PICTURE)
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][PICTURE] = file_sha256(stage / PICTURE)
        write_json_atomic(stage / MANIFEST, manifest)
        write_text_atomic(stage / CARD, render_data_card(facts, PICTURE))
        address, commit = upload(
            stage, repository, "dataset", patterns=CONTRACT, private=private, revision=revision
        )
    return PublishResult(address, commit, tuple(sorted([*names, PICTURE, MANIFEST, CARD])))


def _record(folder: Path) -> tuple[dict[str, Any], bool]:
    """How the data were made, and whether our own solvers made them."""
    for name in (CONVERSION, GENERATION):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder / name} cannot be read", got=error, do="Convert the data again"
            ) from error
        if not (folder / MANIFEST).is_file():
            raise DataError(
                f"{folder} is not complete",
                got=f"no {MANIFEST}",
                do="Run the same command again to finish it",
            )
        return content, name == GENERATION
    raise DataError(
        f"{folder} is not a folder that pdefm wrote",
        got=f"neither {CONVERSION} nor {GENERATION}",
        do="Convert the data first with pdefm data convert PATH --out DIR",
    )


def _stage(folder: Path, stage: Path) -> list[str]:
    """Links to the files of the contract, so that nothing large is copied."""
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    names = [name for name in listed if Path(name).match("data/*/*.hdf5") or name in CONTRACT]
    if unknown := sorted(set(listed) - set(names)):
        raise DataError(
            f"{folder} holds a file that is not published",
            got=unknown[0],
            do="Remove it and convert or generate the data again",
        )
    for name in names:
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to((folder / name).resolve())
        except OSError:  # a system without links
            shutil.copyfile(folder / name, target)
    return [name for name in names if name != PICTURE]
