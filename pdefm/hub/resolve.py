"""From the name of a model to a folder: given, published here, shipped, cached or on the Hub."""

from pathlib import Path

import pdefm
from pdefm.data.cache import cache_folder
from pdefm.errors import ModelError
from pdefm.hub.folder import (
    ADAPTER_CONFIG,
    CONFIG,
    CONTRACT_PATTERNS,
    ModelFolder,
    find_model_folder,
)
from pdefm.registry import nearest_name_hint
from pdefm.repositories import REPOSITORY, download_matching


def models_folder() -> Path:
    """Where ``publish`` keeps models that have a local name: ``PDEFM_HOME/models``."""
    return cache_folder() / "models"


def embedded_folders() -> list[Path]:
    """Places that may hold shipped models: beside the package and, when installed, inside it."""
    package = Path(pdefm.__file__).parent
    return [package.parent / "model_cards", package / "model_cards"]


def local_models() -> dict[str, Path]:
    """Name to folder of every published or shipped model; a published one hides a shipped one.

    A shipped card without weights is no model.
    """
    found = _folders_with_config(models_folder())
    for parent in embedded_folders():
        for name, folder in _folders_with_config(parent).items():
            if any(path.is_file() for path in ModelFolder(folder).weight_files):
                found.setdefault(name, folder)
    return found


def _folders_with_config(parent: Path) -> dict[str, Path]:
    configs = [*parent.glob(f"*/{CONFIG}"), *parent.glob(f"*/{ADAPTER_CONFIG}")]
    return {config.parent.name: config.parent for config in sorted(configs)}


def _is_path(name: str) -> bool:
    """True for what can only be meant as a path."""
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _download(repository: str, revision: str | None) -> Path:
    """Snapshot of the contract's files, from the cache where the revision allows."""

    def unknown() -> ModelError:
        return ModelError(
            f"no model '{repository}'",
            got="no such folder, nothing published or shipped under that name, not on the Hub",
            do=_local_hint(repository) + ". A private repository needs a login",
        )

    return download_matching(repository, "model", revision, CONTRACT_PATTERNS, unknown)


def _local_hint(name: str) -> str:
    known = list(local_models())
    if not known:
        return f"No model is published in {models_folder()}"
    return nearest_name_hint(name.rpartition("/")[2], known)


def resolve(name_or_repo: str | Path, revision: str | None = None) -> Path:
    """Folder of a model or adapter, complete and with its bytes checked against its manifest.

    Tried in this order: an existing folder (a run folder means its newest committed
    checkpoint), a name published in ``PDEFM_HOME/models``, a model shipped with pdefm, the Hub's
    cache and the Hub.

    Args:
        name_or_repo: Folder, local name, or Hub id ``owner/name``, also ``owner/name@revision``.
        revision: Branch, tag or commit on the Hub.

    Raises:
        ModelError: Unknown, incomplete or changed; it says what was tried and what is missing.
        EnvironmentFault: The Hub cannot be reached and the cache has no copy.
    """
    name = str(name_or_repo)
    folder = Path(name).expanduser()
    if not folder.is_dir() and revision is None and "@" in name and not _is_path(name):
        name, _, revision = name.rpartition("@")
        folder = Path(name)
    local = folder if folder.is_dir() else local_models().get(name)
    if local is not None:
        if revision is not None:
            raise ModelError(
                f"'{name}' is a local folder and has no revisions",
                got=f"revision '{revision}'",
                do="Drop the revision, or give a Hub id that is not also a folder here",
            )
        return find_model_folder(local).path
    if _is_path(name):
        raise ModelError(f"no folder {folder}", do="Check the path")
    if REPOSITORY.fullmatch(name):
        return find_model_folder(_download(name, revision)).path
    raise ModelError(
        f"no model '{name}'",
        got="no such folder, nothing published or shipped under that name, not a Hub id owner/name",
        do=_local_hint(name),
    )
