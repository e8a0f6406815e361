"""What a published folder holds, and where the newest one of a run lies."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdefm.errors import ModelError
from pdefm.files import MANIFEST, verify_manifest
from pdefm.models.shards import shard_files

CONFIG, WEIGHTS = "config.json", "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROCESSOR, RESULTS, CARD = "processor_config.json", "results.json", "README.md"
TRAINING = "training.json"
STUDY = "study.json"
"""What a run has as ``study/results.json``."""

LOCAL_NAME = re.compile(r"\w[\w.-]*")

# All that is ever published or downloaded; optimizer state and logs match none of these.
CONTRACT_PATTERNS = (
    CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
    "model-?????-of-?????.safetensors",
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    PROCESSOR,
    RESULTS,
    "results-*.json",
    STUDY,
    "study-*.json",
    TRAINING,
    CARD,
    MANIFEST,
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ModelError: Missing, unreadable or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}", got=error, do="Save the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold a JSON object", got=type(content).__name__)
    return content


@dataclass(frozen=True)
class ModelFolder:
    """A folder that holds a complete model or adapter."""

    path: Path

    @property
    def kind(self) -> str:
        """``adapter`` or ``model``."""
        return "adapter" if (self.path / ADAPTER_CONFIG).is_file() else "model"

    @property
    def weight_files(self) -> list[Path]:
        """The safetensors files, one or many shards.

        Raises:
            ModelError: The index of the shards cannot be read, or leads out of the folder.
        """
        if self.kind == "adapter":
            return [self.path / ADAPTER_WEIGHTS]
        if (self.path / WEIGHTS_INDEX).is_file():
            return shard_files(self.path, read_json(self.path / WEIGHTS_INDEX))
        return [self.path / WEIGHTS]

    def weights_sha256(self) -> str:
        """Hash of the tensors in all weight files; adapters and results are tied to it."""
        from safetensors.torch import load_file

        from pdefm.models.loading import tensors_sha256

        tensors = {name: t for path in self.weight_files for name, t in load_file(path).items()}
        return tensors_sha256(tensors)

    def missing_files(self) -> list[str]:
        """Names of required files that are not there."""
        required = [self.path / PROCESSOR, *self.weight_files]
        return [path.name for path in required if not path.is_file()]

    def contract_files(self) -> list[Path]:
        """Files that are published, those of the contract and no others."""
        return sorted(
            path
            for pattern in CONTRACT_PATTERNS
            for path in self.path.glob(pattern)
            if path.is_file()
        )

    def check_complete(self) -> None:
        """Refuse a folder that lacks a required file.

        Raises:
            ModelError: Names what is missing.
        """
        if missing := self.missing_files():
            raise ModelError(
                f"{self.path} is not a complete {self.kind}",
                do=f"Missing: {', '.join(missing)}. Save the model and its processor there",
            )


def _has_config(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or (folder / ADAPTER_CONFIG).is_file()


def _step_number(folder: Path) -> int:
    digits = folder.name.removeprefix("step-")
    return int(digits) if digits.isdigit() else -1


def _committed_model(step: Path) -> Path:
    """``model/`` of a checkpoint after checking its bytes."""
    if not (step / MANIFEST).is_file():
        raise ModelError(
            f"{step} was never committed",
            got=f"no {MANIFEST}",
            do="Use another checkpoint, or start the training again to finish one",
        )
    verify_manifest(step, under="model")
    return step / "model"


def find_model_folder(folder: Path) -> ModelFolder:
    """The model in a folder: the folder itself, or the newest committed checkpoint of a run.

    Args:
        folder: Model or adapter folder, run folder, ``checkpoints`` or ``checkpoints/step-*``.

    Raises:
        ModelError: Nothing complete is there (it says what is missing), or a committed file
            was changed.
    """
    if _has_config(folder):
        if (folder / MANIFEST).is_file():
            verify_manifest(folder)
        found = ModelFolder(folder)
    elif (folder / "model").is_dir():
        found = ModelFolder(_committed_model(folder))
    else:
        steps = [*folder.glob("checkpoints/step-*"), *folder.glob("step-*")]
        committed = [step for step in steps if (step / MANIFEST).is_file()]
        if steps and not committed:
            raise ModelError(
                f"{folder} has no committed checkpoint",
                got=f"{len(steps)} without {MANIFEST}",
                do="Start the training again to finish one",
            )
        if not committed:
            raise ModelError(
                f"{folder} holds no model",
                do=f"Missing: {CONFIG} or {ADAPTER_CONFIG}, or checkpoints/step-*/{MANIFEST}",
            )
        found = ModelFolder(_committed_model(max(committed, key=_step_number)))
    if not _has_config(found.path):
        raise ModelError(
            f"{found.path} holds no model", do=f"Missing: {CONFIG} or {ADAPTER_CONFIG}"
        )
    found.check_complete()
    return found


def run_folder_of(folder: Path) -> Path | None:
    """The run that a ``checkpoints/step-*/model`` folder belongs to, if it does."""
    parents = folder.resolve().parents
    inside = len(parents) > 2 and folder.name == "model" and parents[1].name == "checkpoints"
    return parents[2] if inside else None
