"""Strict loading of a model folder, and the hash that ties adapters to it."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.pretrained import readable_errors
from pdefm.models.processing_pde import PDEProcessor


@contextmanager
def quiet_upstream() -> Iterator[None]:
    """Our own bars and errors speak; those of the libraries below would be a second voice."""
    from transformers.utils import logging

    if not torch.accelerator.is_available():
        # Saving and PEFT import DeepSpeed where it is installed; it then wonders about the CPU.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_model(folder: str | Path) -> tuple[DPOTModel, PDEProcessor]:
    """Model (in evaluation mode) and processor of a folder.

    Raises:
        ModelError: Missing or damaged file; missing, unknown, wrongly shaped or non-finite weights;
            a processor of another model.
    """
    from transformers import AutoModel

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is no model folder", got="no config.json", do="Check the path")
    with quiet_upstream(), readable_errors(folder):
        model = AutoModel.from_pretrained(folder)
    processor = load_processor(folder)
    _check_pair(folder, model.config, processor)
    return model, processor


def _check_pair(folder: Path, config: DPOTConfig, processor: PDEProcessor) -> None:
    """Refuse a processor that belongs to another model."""
    for key in ("history", "horizon"):
        if getattr(config, key) != getattr(processor, key):
            raise ModelError(
                f"{folder}: config.json and processor_config.json differ in {key}",
                got=f"{getattr(config, key)} and {getattr(processor, key)}",
                do="Publish or copy the folder again",
            )
    if unknown := [name for name in config.field_names or () if name not in processor.fields]:
        raise ModelError(
            f"{folder}: processor_config.json has no statistics of a field",
            got=unknown[0],
            do="Publish or copy the folder again",
        )


def load_processor(folder: str | Path) -> PDEProcessor:
    """Processor of a model or adapter folder.

    Raises:
        ModelError: Missing or damaged ``processor_config.json``.
    """
    path = Path(folder) / "processor_config.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        content.pop("processor_class", None)
        return PDEProcessor(**content)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ModelError(
            f"cannot load {path}", got=str(error).splitlines()[0], do="Publish the model again"
        ) from error


def save_model(folder: str | Path, model: nn.Module, processor: PDEProcessor) -> None:
    """Write config, safetensors and processor: exactly what the Hub gets."""
    with quiet_upstream():
        cast(DPOTModel, model).save_pretrained(folder)
    processor.save_pretrained(folder)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the sorted names, shapes, dtypes and bytes of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()


def weights_sha256(model: nn.Module) -> str:
    """:func:`tensors_sha256` of a model: the same in memory, in one file or in shards."""
    return tensors_sha256(model.state_dict())
