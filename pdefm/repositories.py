"""Repositories of the Hub: downloading and uploading, and what their faults mean to a user.

The Hub's address, its cache and whether it may be asked at all are read from the environment at
every call, as ``HF_ENDPOINT``, ``HF_HUB_CACHE`` (or ``HF_HOME``) and ``HF_HUB_OFFLINE``.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdefm.errors import DataError, EnvironmentFault, ModelError, PdefmError

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # Hub id: owner/name
FAULTS: dict[str, type[PdefmError]] = {"model": ModelError, "dataset": DataError}
"""What is wrong if a repository of this kind is not there or not what it should be."""
YES = frozenset({"1", "ON", "YES", "TRUE"})
NO_ACCESS = (401, 403)


def endpoint() -> str | None:
    """Address of the Hub, or ``None`` for the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def cache_dir() -> str | None:
    """Folder of the Hub's cache, or ``None`` for its usual place."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return folder
    home = os.environ.get("HF_HOME")
    return str(Path(home).expanduser() / "hub") if home else None


def is_offline() -> bool:
    """Whether the user allows no connection at all."""
    words = [os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")]
    return any(word.upper() in YES for word in words)


def _download_settings() -> dict[str, Any]:
    return {
        "endpoint": endpoint(),
        "cache_dir": cache_dir(),
        "local_files_only": is_offline(),
    }


def _not_there(repository: str, kind: str) -> PdefmError:
    return FAULTS[kind](
        f"no {kind} '{repository}'",
        got="not on the Hub",
        do="Check the name. A private repository needs a login",
    )


def _no_access(repository: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"no access to '{repository}'", do="Accept its terms on the Hub and log in"
    )


@contextmanager
def hub_errors(
    repository: str,
    kind: str,
    revision: str | None = None,
    unknown: Callable[[], PdefmError] | None = None,
) -> Iterator[None]:
    """Turn what the Hub's client raises into one line for the user.

    Args:
        repository: Hub id.
        kind: ``model`` or ``dataset``.
        revision: As the user gave it.
        unknown: Makes the error of a repository that is not there.

    Raises:
        ModelError: No such model or revision.
        DataError: No such dataset, revision or file.
        EnvironmentFault: No access, no network and no copy in the cache.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # whichever client it uses
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except PdefmError:
        raise
    except GatedRepoError as error:
        raise _no_access(repository) from error
    except RevisionNotFoundError as error:
        raise FAULTS[kind](
            f"'{repository}' has no such revision",
            got=f"'{revision}'",
            do="Give a branch, tag or commit that exists",
        ) from error
    except RepositoryNotFoundError as error:
        raise (unknown() if unknown else _not_there(repository, kind)) from error
    except HFValidationError as error:
        raise FAULTS[kind](f"'{repository}' is not a Hub id", do="Use owner/name") from error
    except (LocalEntryNotFoundError, HTTPError, OSError, EntryNotFoundError) as error:
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise FAULTS[kind](
                f"'{repository}' lacks a file that it lists", do="Try another revision"
            ) from error
        if isinstance(error, HfHubHTTPError) and error.response.status_code in NO_ACCESS:
            raise _no_access(repository) from error
        raise EnvironmentFault(
            f"cannot reach the Hub for '{repository}'",
            got=f"{type(error).__name__}, and no copy in the cache",
            do="Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give a local folder",
        ) from error


def download_matching(
    repository: str,
    kind: str,
    revision: str | None,
    patterns: Sequence[str],
    unknown: Callable[[], PdefmError] | None = None,
) -> Path:
    """Folder with some files of one commit, from the cache where the revision allows.

    Args:
        repository: Hub id.
        kind: ``model`` or ``dataset``.
        revision: Branch, tag or commit; ``None`` means the main branch.
        patterns: Files that are wanted.
        unknown: Makes the error of a repository that is not there.

    Returns:
        The folder; its name is the commit. It need not exist if no file matches.

    Raises:
        PdefmError: As ``hub_errors``.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(repository, kind, revision, unknown):
        folder = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns),
            **_download_settings(),
        )
    return Path(folder)


@dataclass(frozen=True)
class Found:
    """A repository that a search found.

    Args:
        name: Hub id.
        revision: Newest commit.
        changed: Day of that commit.
        downloads: Of the last month.
        tags: As its card says.
    """

    name: str
    revision: str
    changed: str
    downloads: int
    tags: tuple[str, ...]


def search_models(tag: str, author: str | None = None, limit: int = 100) -> list[Found]:
    """Public models on the Hub whose card has a tag, the newest first.

    Args:
        tag: Such as the name of a library.
        author: User or organisation; ``None`` is everybody.
        limit: At most so many.

    Raises:
        EnvironmentFault: The Hub cannot be reached, or must not be.
    """
    from huggingface_hub import HfApi

    if is_offline():
        raise EnvironmentFault(
            "the Hub cannot be searched offline", do="Unset HF_HUB_OFFLINE, or list without --hub"
        )
    with hub_errors("the list of models", "model"):
        found = HfApi(endpoint=endpoint()).list_models(
            filter=tag, author=author, sort="last_modified", limit=limit, full=True
        )
        return [
            Found(
                name=each.id,
                revision=each.sha or "",
                changed=each.last_modified.date().isoformat() if each.last_modified else "",
                downloads=each.downloads or 0,
                tags=tuple(each.tags or ()),
            )
            for each in found
        ]


def list_files(repository: str, kind: str, folder: Path) -> list[str]:
    """Files of the commit that :func:`download_matching` gave a folder of, without asking again.

    A cache that was filled by other means may know only the files that it holds.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(
            repository, repo_type=kind, revision=folder.name, cache_dir=cache_dir()
        )
        return [file.path for file in tree]
    except CachedRepoTreeNotFoundError:
        return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]


def download_file(repository: str, kind: str, commit: str, name: str) -> Path:
    """One file of a commit, from the cache if it is there.

    Raises:
        PdefmError: As ``hub_errors``.
    """
    from huggingface_hub import hf_hub_download

    with hub_errors(repository, kind, commit):
        found = hf_hub_download(
            repository, name, repo_type=kind, revision=commit, **_download_settings()
        )
    return Path(found)


def upload(
    folder: Path,
    repository: str,
    kind: str,
    *,
    patterns: Sequence[str],
    private: bool = False,
    revision: str | None = None,
) -> tuple[str, str]:
    """Upload a folder as one commit; matching files of an earlier version that are gone go there.

    Args:
        folder: What is uploaded, as far as it matches.
        repository: Hub id; the repository is made if needed.
        kind: ``model`` or ``dataset``.
        patterns: Files that are published, and that may be deleted there.
        private: Make a new repository private.
        revision: Branch, made if needed.

    Returns:
        Address of the repository, and the commit.

    Raises:
        ModelError: Of a model, a Hub id that is none.
        DataError: Of a dataset, a Hub id that is none.
        EnvironmentFault: No permission, no network, no login.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # whichever client it uses
        LocalTokenNotFoundError,
    )

    api = HfApi(endpoint=endpoint())
    try:
        address = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(address.repo_id, repo_type=kind, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=address.repo_id,
            repo_type=kind,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(patterns),
            delete_patterns=list(patterns),
            commit_message="Publish with pdefm",
        )
    except HFValidationError as error:
        raise FAULTS[kind](f"'{repository}' is not a Hub id", do="Use owner/name") from error
    except (HTTPError, LocalTokenNotFoundError, OSError) as error:
        raise EnvironmentFault(
            f"cannot publish to '{repository}'",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            do="Check the network, the name and that you are logged in with write access",
        ) from error
    return str(address), commit.oid
