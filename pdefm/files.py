"""Files that are whole or absent: atomic writes, hashes and manifests."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pdefm.errors import EnvironmentFault, ModelError, PdefmError

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1
# A card may be edited on the Hub's page, or rendered again from its prose; nothing of it is loaded.
UNCHECKED = frozenset({MANIFEST, "README.md", "prose.md"})
_NUMBER = r"(?:-?[\d.eE+-]+|null|NaN|-?Infinity)"
NUMBERS = re.compile(rf"\[\n\s+{_NUMBER}(?:,\n\s+{_NUMBER})*\n\s+\]")


def temporary_sibling(path: Path) -> Path:
    """Unused hidden name in the same folder, so that a rename never crosses a disk."""
    return path.parent / f".{path.name}.{uuid4().hex[:8]}.partial"


def _cannot_write(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot write {path}",
        got=error.strerror or error,
        do="Check the permissions and the free space",
    )


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` if the block succeeds.

    Missing folders are made. If the block fails, nothing stays and the old file is untouched.

    Raises:
        EnvironmentFault: The disk is full, the folder may not be written, and the like.
    """
    path = Path(path)
    partial = temporary_sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except EnvironmentFault:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # gone after the rename; must not hide the error above
            partial.unlink()


def write_bytes_atomic(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        EnvironmentFault: No permission, no space.
    """
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text_atomic(path: str | Path, content: str) -> None:
    """:func:`write_bytes_atomic` for UTF-8 text."""
    write_bytes_atomic(path, content.encode())


def write_json_atomic(path: str | Path, content: Any) -> None:
    """:func:`write_bytes_atomic` for indented JSON."""
    write_text_atomic(path, _json_text(content))


def _json_text(content: Any) -> str:
    """Indented, with lists of numbers on one line each: they are most of a file of results."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return NUMBERS.sub(lambda found: "[" + re.sub(r"\s+", " ", found[0][1:-1]).strip() + "]", text)


def _check_replaceable(out: Path, overwrite: bool) -> None:
    """Refuse an output that holds something, unless told to replace it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise EnvironmentFault(
            f"{out} exists", do="Choose another folder or pass --overwrite to replace it"
        )
    kept = [place for place in (Path.cwd(), Path.home()) if place.is_relative_to(out.resolve())]
    if kept or not out.is_dir():
        raise EnvironmentFault(
            f"{out} cannot be replaced",
            got=f"it holds {kept[0]}" if kept else "not a folder",
            do="Choose another folder",
        )


def _rename_into_place(folder: Path, out: Path) -> None:
    """Rename a finished folder; what was there before comes back if that fails."""
    if not out.exists():
        folder.rename(out)
        return
    previous = temporary_sibling(out)
    out.rename(previous)
    try:
        folder.rename(out)
    except OSError:
        previous.rename(out)
        raise
    shutil.rmtree(previous, ignore_errors=True)


@contextmanager
def atomic_folder(out: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Folder that appears under its name only when the block succeeds.

    Args:
        out: Final place; parents are made.
        overwrite: Replace what is there, once the new folder is complete.

    Yields:
        A temporary sibling folder to write into.

    Raises:
        EnvironmentFault: ``out`` exists, or its parent cannot be written.
    """
    out = Path(out)
    _check_replaceable(out, overwrite)
    partial = temporary_sibling(out)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise _cannot_write(out, error) from error
    try:
        yield partial
        try:
            _rename_into_place(partial, out)
        except OSError as error:
            raise _cannot_write(out, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_files(folder: str | Path, last: str) -> Iterator[Path]:
    """Temporary folder whose files replace those of ``folder`` one by one if the block succeeds.

    Args:
        folder: Where the files go; made if it is missing.
        last: Name of the file that moves after all others, because it makes the folder valid.

    Raises:
        EnvironmentFault: No permission, no space, or ``folder`` is a file.
    """
    folder = Path(folder)
    partial = folder / temporary_sibling(folder).name  # inside: the folder may be a mount point
    try:
        partial.mkdir(parents=True)
        yield partial
        for path in sorted(partial.iterdir(), key=lambda path: (path.name == last, path.name)):
            os.replace(path, folder / path.name)
    except EnvironmentFault:
        raise
    except OSError as error:
        if error.errno is None:  # not of a file, such as an answer of the Hub
            raise
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make_readable(folder: str | Path) -> None:
    """Give every file the mode that the umask grants; safetensors writes for the owner only."""
    mask = os.umask(0)
    os.umask(mask)
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o666 & ~mask)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_path(path: str | Path) -> None:
    """Wait until a file or the names in a folder are on the disk, so that they survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: str | Path) -> None:
    """:func:`sync_path` for every file and folder below, and the folder itself last."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_path(Path(place) / name)
        sync_path(place)


def append_text(path: str | Path, text: str) -> None:
    """Add lines to a text file that is kept over a run.

    Raises:
        EnvironmentFault: No permission, no space, or the folder is gone.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(Path(path), error) from error


def listed_files(folder: Path) -> list[str]:
    """Files that a manifest speaks for: all but hidden ones, the card and the manifest itself."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return sorted(
        name
        for name in names
        if name not in UNCHECKED and not any(part.startswith(".") for part in name.split("/"))
    )


def write_manifest(folder: str | Path, hashes: Mapping[str, str] | None = None) -> Path:
    """Write ``manifest.json`` with the SHA-256 of every other file; call it last.

    Hidden files and ``README.md`` are left out.

    Args:
        folder: What the manifest speaks for.
        hashes: SHA-256 of each of :func:`listed_files`, where they are known already.
    """
    folder = Path(folder)
    if hashes is None:
        hashes = {name: file_sha256(folder / name) for name in listed_files(folder)}
    write_json_atomic(folder / MANIFEST, {"schema": MANIFEST_SCHEMA, "files": dict(hashes)})
    return folder / MANIFEST


def read_manifest(folder: Path, fault: type[PdefmError] = ModelError) -> dict[str, str]:
    """SHA-256 of every file, from a manifest that is byte for byte as it was written.

    Raises:
        PdefmError: Of the kind ``fault``: it is missing, unreadable or changed.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        hashes: dict[str, str] = json.loads(text)["files"]
        if text != _json_text({"schema": MANIFEST_SCHEMA, "files": hashes}):
            raise ValueError("it is not as it was written")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise fault(
            f"{path} is not a manifest", got=reason, do="Publish or download again"
        ) from error
    return hashes


def verify_manifest(
    folder: str | Path, under: str = "", fault: type[PdefmError] = ModelError
) -> None:
    """Check that a folder holds exactly the files of its manifest, byte by byte.

    Args:
        folder: Where ``manifest.json`` lies.
        under: Check only this subfolder, such as ``model`` of a checkpoint.
        fault: What is raised.

    Raises:
        PdefmError: Of the kind ``fault``: no readable manifest, or a missing, changed or extra
            file, which it names.
    """
    folder = Path(folder)
    hashes = read_manifest(folder, fault)
    prefix = f"{under}/" if under else ""
    expected = {name for name in hashes if name.startswith(prefix)}
    present = {name for name in listed_files(folder) if name.startswith(prefix)}
    if missing := sorted(expected - present):
        raise fault(
            f"{folder} lacks a file of its manifest",
            do=f"Missing: {missing[0]}. Download or publish the folder again",
        )
    if extra := sorted(present - expected):
        raise fault(
            f"{folder} holds a file that is not in its manifest",
            got=extra[0],
            do="Remove the file or publish the folder again",
        )
    for name in sorted(expected):
        if (found := file_sha256(folder / name)) != hashes[name]:
            raise fault(
                f"{folder / name} was changed after its manifest was written",
                got=f"sha256 {found[:12]}..., expected {hashes[name][:12]}...",
                do="Download or publish the folder again",
            )
