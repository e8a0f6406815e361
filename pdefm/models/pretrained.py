"""Loading that fits exactly or not at all, and saving that leaves whole files.

transformers re-draws what a file lacks, skips what it has too much, and loads NaN. For a forecast
those are silent errors, so here each of them stops with the reason.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import atomic_files, make_readable
from pdefm.models.shards import SUFFIX, shard_files

CONFIG_NAME, INDEX_NAME = "config.json", "model.safetensors.index.json"
WEIGHT_FILES = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
# What would let something else than these weights in: value that is fine, and why others are not.
REFUSED_OPTIONS = {
    "ignore_mismatched_sizes": (False, "weights of another shape would be drawn at random"),
    "use_safetensors": (True, "a pickle can run code"),
    "weights_only": (True, "a pickle can run code"),
}


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Refuse weights with NaN or infinity.

    Raises:
        ModelError: Names the first tensor that has one.
    """
    for name, tensor in tensors.items():
        # What is offloaded to disk has no values here.
        if not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"weights {where} are not finite", got=name, do="Use an earlier checkpoint"
            )


@contextmanager
def readable_errors(source: object) -> Iterator[None]:
    """What a damaged folder raises in the libraries below, as a ModelError.

    A Hub id that cannot be reached stays the ``OSError`` that transformers explains.
    """
    try:
        yield
    except (ModelError, EnvironmentFault, torch.OutOfMemoryError):
        raise
    except (OSError, SafetensorError, ValueError, RuntimeError, LookupError, TypeError) as error:
        if isinstance(error, OSError) and not Path(str(source)).is_dir():
            raise
        text = (str(error).splitlines() or [""])[0]
        is_message = bool(text) and not isinstance(error, LookupError)
        is_option = isinstance(error, TypeError) and "unexpected keyword" in text
        raise ModelError(
            f"cannot load {source}",
            got=text if is_message else f"{type(error).__name__} {text}",
            do="Leave that option out" if is_option else "Publish or copy it again",
        ) from error


@contextmanager
def _explained_shards(
    source: object,
    revision: str | None = None,
    cache_dir: Any = None,
    subfolder: str = "",
    **_: object,
) -> Iterator[None]:
    """A shard that a Hub id lacks may be one that its index seeks elsewhere; then that is said."""
    try:
        yield
    except OSError:
        name = f"{subfolder}/{INDEX_NAME}" if subfolder else INDEX_NAME
        if not Path(str(source)).exists():
            index = try_to_load_from_cache(str(source), name, cache_dir, revision)
            if isinstance(index, str):
                shard_files(Path(index).parent, json.loads(Path(index).read_text()))
        raise


def _check_keys(info: Mapping[str, Any], source: object) -> None:
    """Refuse weights that are not exactly those of the configuration."""
    for kind in ("missing", "unexpected", "mismatched"):
        found = info[f"{kind}_keys"]
        if kind == "mismatched":
            found = {f"{name}, {list(has)} for {list(needs)}" for name, has, needs in found}
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise ModelError(
                f"weights in {source} do not fit their {CONFIG_NAME}",
                got=f"{kind} {min(found)}{more}",
                do="The folder is damaged or of another pdefm; publish or copy it again",
            )


class StrictPreTrainedModel(PreTrainedModel):
    """A pretrained model whose files are loaded exactly, or refused in one line."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *model_args: Any,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load from a folder or a Hub id, with transformers' own options.

        Args:
            pretrained_model_name_or_path: Folder, or Hub id.
            *model_args: Passed on.
            output_loading_info: Also return transformers' report on the keys.
            **kwargs: ``revision``, ``dtype``, ``device_map`` and the like.

        Raises:
            ModelError: Missing, unknown, wrongly shaped or non-finite weights, unknown keys of the
                configuration, a shard index that leads out of its folder, pickled weights.
        """
        source = pretrained_model_name_or_path
        for option, (fine, reason) in REFUSED_OPTIONS.items():
            if kwargs.pop(option, None) not in (None, fine):
                raise ModelError(f"{option}={not fine} is refused", got=reason, do="Leave it out")
        with readable_errors(source), _explained_shards(source, **kwargs):
            # Mismatches are let through so that they are reported like the other two.
            loaded: Any = super().from_pretrained(
                source,
                *model_args,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                **kwargs,
            )
        model, info = loaded
        _check_keys(info, source)
        check_finite(model.state_dict(), f"in {source}")
        return (model, info) if output_loading_info else model

    @staticmethod
    def _load_pretrained_model(
        model: Any,
        state_dict: dict[str, Tensor] | None,
        checkpoint_files: list[str] | None,
        load_config: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """The step of transformers between finding the files and reading them."""
        files = [Path(file) for file in checkpoint_files or ()]
        if load_config.sharded_metadata is not None:
            shard_files(files[0].parent, load_config.sharded_metadata)
        for file in files:
            if file.suffix != SUFFIX or not file.is_file():
                raise ModelError(
                    f"no weights {file}",
                    got="a format that is not safetensors" if file.exists() else "no such file",
                    do="Publish or copy the folder again",
                )
            if "disk" in (load_config.device_map or {}).values():
                check_finite(load_file(file), f"in {file}")
        return PreTrainedModel._load_pretrained_model(
            model, state_dict, checkpoint_files, load_config, *args, **kwargs
        )

    def save_pretrained(
        self,
        save_directory: Any,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        push_to_hub: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Save as safetensors, with transformers' own options; every file appears whole.

        ``config.json`` comes last, and the weights of an earlier save in shards, or in one file, do
        not stay: they would be loaded instead.

        Args:
            save_directory: Folder; made if it is missing.
            is_main_process: Only this one writes.
            state_dict: Weights to save, if not the model's own.
            push_to_hub: Also upload.
            *args: Passed on.
            **kwargs: ``max_shard_size`` and the like.

        Raises:
            ModelError: Weights that are not finite.
            EnvironmentFault: No permission, no space.
        """
        check_finite(self.state_dict() if state_dict is None else state_dict, "to be saved")
        folder = Path(save_directory)
        if push_to_hub:
            kwargs.setdefault("repo_id", folder.name)
        with atomic_files(folder, last=CONFIG_NAME) as partial:
            try:
                super().save_pretrained(
                    partial, is_main_process, state_dict, push_to_hub, *args, **kwargs
                )
            except SafetensorError as error:
                do = "Check the permissions and the free space"
                raise EnvironmentFault(f"cannot write {folder}", got=error, do=do) from error
            make_readable(partial)
            written = {path.name for path in partial.iterdir() if WEIGHT_FILES.fullmatch(path.name)}
            # Interrupted from here on, the folder lacks weights, and never mixes two saves.
            for path in folder.iterdir() if written else ():
                if WEIGHT_FILES.fullmatch(path.name) and path.name not in written - {INDEX_NAME}:
                    path.unlink()
