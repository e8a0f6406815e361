"""A run becomes a model that others can load: checked, described, hashed, copied or uploaded."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pdefm.errors import ModelError
from pdefm.files import (
    MANIFEST,
    atomic_folder,
    make_readable,
    write_json_atomic,
    write_manifest,
    write_text_atomic,
)
from pdefm.hub.card import CardParts, is_rendered, render_card
from pdefm.hub.evidence import run_evidence
from pdefm.hub.folder import (
    ADAPTER_CONFIG,
    CARD,
    CONFIG,
    CONTRACT_PATTERNS,
    LOCAL_NAME,
    PROCESSOR,
    TRAINING,
    ModelFolder,
    find_model_folder,
    read_json,
    run_folder_of,
)
from pdefm.hub.resolve import models_folder
from pdefm.hub.training_record import training_record, without_paths
from pdefm.repositories import upload


@dataclass(frozen=True)
class PublishResult:
    """Where a model went.

    Args:
        url_or_path: Address on the Hub, or the folder.
        revision: Commit on the Hub; None for a folder.
        files: Names of what was published.
    """

    url_or_path: str
    revision: str | None
    files: tuple[str, ...]


def check_tensors(weights: Path) -> None:
    """Read every tensor of a safetensors file and refuse what is not finite.

    Raises:
        ModelError: Unreadable header, or a tensor with NaN or infinity, which it names.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                if not bool(torch.isfinite(file.get_tensor(name)).all()):
                    raise ModelError(
                        f"{weights}: tensor '{name}' is not finite",
                        do="Publish an earlier checkpoint",
                    )
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{weights} is not a readable safetensors file", got=error, do="Save the model again"
        ) from error


def _check_loadable(folder: ModelFolder) -> None:
    """Parse what a user's ``from_pretrained`` will parse."""
    read_json(folder.path / (ADAPTER_CONFIG if folder.kind == "adapter" else CONFIG))
    read_json(folder.path / PROCESSOR)
    for weights in folder.weight_files:
        check_tensors(weights)


def _check_results(path: Path, source: ModelFolder) -> None:
    """Refuse numbers that were measured on other weights, such as an earlier checkpoint's."""
    model = read_json(path)["model"]
    measured = str((model["adapter"] if source.kind == "adapter" else model)["sha256"])
    if measured != (found := source.weights_sha256()):
        raise ModelError(
            f"{path} was measured on other weights ({measured[:12]})",
            got=f"weights {found[:12]} in {source.path}",
            do="Run pdefm evaluate again, or remove that results.json",
        )


def _check_study(path: Path, source: ModelFolder) -> None:
    """Refuse a study that started from other weights than those of the model beside it."""
    started = read_json(path).get("base_sha256")
    if source.kind == "model" and started != (found := source.weights_sha256()):
        raise ModelError(
            f"{path} started from other weights ({str(started)[:12]})",
            got=f"weights {found[:12]} in {source.path}",
            do="Run the study again, or remove it",
        )


def _stage(source: ModelFolder, stage: Path, name: str) -> None:
    """Fill a fresh folder with exactly what will be published."""
    for path in source.contract_files():
        if path.name != MANIFEST:
            shutil.copyfile(path, stage / path.name)
    run = run_folder_of(source.path)
    if run is not None:
        for published, path in run_evidence(run).items():
            shutil.copyfile(path, stage / published)
        write_json_atomic(stage / TRAINING, training_record(run))
    for path in stage.glob("results*.json"):
        _check_results(path, source)
    for path in stage.glob("study*.json"):
        _check_study(path, source)
    for path in stage.glob("*.json"):
        content = read_json(path)
        if (clean := without_paths(content)) != content:
            write_json_atomic(path, clean)
    card = stage / CARD
    if not card.is_file() or is_rendered(card.read_text(encoding="utf-8")):
        parts = CardParts.from_folder(stage, name=name, prose_from=source.path)
        write_text_atomic(card, render_card(parts))
    make_readable(stage)
    write_manifest(stage)


def _names(stage: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in stage.iterdir()))


def _to_folder(stage: Path, out: Path, overwrite: bool) -> PublishResult:
    files = _names(stage)
    with atomic_folder(out, overwrite) as partial:
        for name in files:
            shutil.copyfile(stage / name, partial / name)
    return PublishResult(str(out), None, files)


def _to_repo(stage: Path, repo: str, private: bool, revision: str | None) -> PublishResult:
    address, commit = upload(
        stage, repo, "model", patterns=CONTRACT_PATTERNS, private=private, revision=revision
    )
    return PublishResult(address, commit, _names(stage))


def _local_name(name: str) -> str:
    """A name that is one folder, and no Hub id."""
    if not LOCAL_NAME.fullmatch(name):
        raise ModelError(
            f"'{name}' is not a local name", do="Use letters, digits, dots, dashes and underscores"
        )
    return name


def publish(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    repo: str | None = None,
    name: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    revision: str | None = None,
) -> PublishResult:
    """Publish the model or adapter of a folder to another folder or to the Hub.

    The same files go to both: configuration, weights, processor, ``results.json`` of the run,
    a card and a manifest. Never optimizer state. A ``README.md`` that pdefm did not render is kept.

    Args:
        folder: Model, adapter or run folder (its newest committed checkpoint is taken).
        out: Folder to write.
        repo: Hub id ``owner/name`` to upload to.
        name: Local name, kept in ``PDEFM_HOME/models`` and found by ``resolve``. Exactly one of
            ``out``, ``repo`` and ``name`` is given.
        private: Make a new Hub repository private.
        overwrite: Replace an existing ``out``. On the Hub every publication is a new commit.
        revision: Branch on the Hub, made if needed.

    Raises:
        ModelError: Incomplete, unreadable or non-finite model, ``results.json`` of other weights,
            or not exactly one target.
        EnvironmentFault: ``out`` exists, no permission, no network, no login.
    """
    if sum(target is not None for target in (out, repo, name)) != 1:
        raise ModelError(
            "publish needs exactly one target", do="Give a folder, a Hub id or a local name"
        )
    if name is not None:
        out = models_folder() / _local_name(name)
    source = find_model_folder(Path(folder).expanduser())
    _check_loadable(source)
    target = Path(str(out)).expanduser()
    with TemporaryDirectory() as temporary:
        stage = Path(temporary)
        _stage(source, stage, repo or target.resolve().name)
        if repo is not None:
            return _to_repo(stage, repo, private, revision)
        return _to_folder(stage, target, overwrite)
