"""A dataset on the Hub: how it is named, one commit of it, and its files once they are here."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from pdefm.data.formats.probes import printable
from pdefm.errors import DataError, RecipeError
from pdefm.files import MANIFEST, file_sha256
from pdefm.registry import nearest_name_hint
from pdefm.repositories import REPOSITORY, download_file, download_matching, list_files
from pdefm.yaml_text import parse_yaml

URI = re.compile(
    r"hf:/{1,2}datasets/(?P<owner>[^/@?#]+)/(?P<name>[^/@?#]+)"
    r"(?:@(?P<revision>refs/[^/?#]+/[^/?#]+|[^/?#]+))?"
    r"(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
"""A path object makes one slash of two."""
OPTIONS = ("split", "stream")
YES_OR_NO = {"true": True, "false": False}
EXAMPLE = "Write it like hf://datasets/owner/name@revision/folder?split=train"
CARD = "README.md"
RECORDS = ("conversion.json", "generation.json")
MAX_RECORD = 64 * 2**20
"""Bytes of a text that is read as a whole."""
SHA256 = re.compile(r"[0-9a-f]{64}")

_checked: set[tuple[object, ...]] = set()


@dataclass(frozen=True)
class HubPlace:
    """What a URI asks for.

    Args:
        repository: ``owner/name``.
        revision: Branch, tag or commit; ``None`` means the main branch.
        path: File or folder in the repository; empty means all of it.
        split: Which one, if one was asked for.
        stream: Read parts of the files over the network instead of downloading them.
    """

    repository: str
    revision: str | None = None
    path: str = ""
    split: str | None = None
    stream: bool = False

    @classmethod
    def from_uri(cls, uri: str) -> "HubPlace":
        """Read ``hf://datasets/owner/name[@revision][/path][?split=...&stream=true]``.

        Raises:
            RecipeError: Not of this kind, an unknown option, or a value that cannot be read.
        """
        found = URI.fullmatch(uri)
        if not found:
            raise RecipeError("not the URI of a dataset", got=f"'{printable(uri)}'", do=EXAMPLE)
        parts = {key: unquote(text) for key, text in found.groupdict().items() if text}
        repository, path = f"{parts['owner']}/{parts['name']}", parts.get("path", "").strip("/")
        try:
            pairs = parse_qsl(
                found["query"] or "",
                keep_blank_values=True,
                strict_parsing=bool(found["query"]),
                max_num_fields=20,
            )
        except ValueError as error:
            raise RecipeError(f"{uri}: cannot be read", got=error, do=EXAMPLE) from error
        options = dict(pairs)
        if len(options) < len(pairs):
            raise RecipeError(f"{uri}: an option is there twice", do="Leave one out")
        for key in options:
            if key not in OPTIONS:
                hint = nearest_name_hint(key, [*OPTIONS])
                raise RecipeError(f"{uri}: unknown option", got=f"'{key}'", do=hint)
        stream = options.get("stream", "false")
        if stream not in YES_OR_NO:
            raise RecipeError(
                f"{uri}: stream is true or false", got=f"'{stream}'", do="Write stream=true"
            )
        if not REPOSITORY.fullmatch(repository) or (path and not is_safe(path)):
            raise RecipeError("not the URI of a dataset", got=f"'{printable(uri)}'", do=EXAMPLE)
        return cls(repository, parts.get("revision"), path, options.get("split"), YES_OR_NO[stream])

    def check(self, split: str | None, trust: bool) -> None:
        """Whether the options around the URI go with it.

        Raises:
            RecipeError: Two splits, or a stream of files that are not trusted.
        """
        if split and self.split and split != self.split:
            raise RecipeError(
                f"two splits of '{self.repository}'",
                got=f"'{split}' and '{self.split}'",
                do="Leave one out",
            )
        if self.stream and not trust:
            raise RecipeError(
                f"'{self.repository}': streamed files cannot be looked into first",
                do="Pass --trust if you know who made them, or leave out stream=true",
            )

    def uri_of(self, name: str) -> str:
        """URI of one file of the same revision."""
        at = f"@{self.revision}" if self.revision else ""
        return f"hf://datasets/{self.repository}{at}/{name}"


def is_safe(name: str) -> bool:
    """Whether a file's name in a repository stays inside any folder, on any system."""
    parts = name.split("/")
    return (
        all(part not in ("", ".", "..") for part in parts)
        and "\\" not in name
        and not re.match(r"[A-Za-z]:", name)
        and name.isprintable()
    )


class HubRepository:
    """One commit of a dataset, which stays the same however the branch moves.

    Args:
        place: What the user asked for.

    Raises:
        DataError: No such dataset or revision, or a file's name that leads elsewhere.
        EnvironmentFault: No access; no network and no copy in the cache.
    """

    def __init__(self, place: HubPlace) -> None:
        self.place = place
        texts = (CARD, MANIFEST, *RECORDS)
        self._folder = download_matching(place.repository, "dataset", place.revision, texts)
        self.commit = self._folder.name
        self.files = list_files(place.repository, "dataset", self._folder)
        for name in self.files:
            if not is_safe(name):
                raise DataError(
                    f"'{place.repository}' holds a file whose name leads elsewhere",
                    got=repr(printable(name)),
                    do="Do not use this dataset; tell its publisher",
                )

    @cached_property
    def hashes(self) -> dict[str, str] | None:
        """SHA-256 of every file by its name, from a manifest of ours; ``None`` without one."""
        found = self._json(MANIFEST).get("files")
        is_ours = isinstance(found, dict) and all(
            isinstance(digest, str) and SHA256.fullmatch(digest) for digest in found.values()
        )
        return found if is_ours else None

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The YAML at the top of the dataset's card."""
        match = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", self._text(CARD), re.DOTALL)
        try:
            return parse_yaml(match[1], self.place.uri_of(CARD)) if match else {}
        except RecipeError:
            return {}  # a broken card is no reason to refuse the data

    @property
    def licence(self) -> str:
        """As its publisher states it; empty if nowhere."""
        stated = self.metadata.get("license") or self._json(RECORDS[0]).get("licence") or ""
        return printable(", ".join(map(str, stated)) if isinstance(stated, list) else str(stated))

    def num_trajectories(self, name: str) -> int | None:
        """Of a file that we converted, from the record beside it."""
        files = self._json(RECORDS[0]).get("files")
        note = files.get(name) if isinstance(files, dict) else None
        count = note.get("num_trajectories") if isinstance(note, dict) else None
        return count if isinstance(count, int) and count > 0 else None

    def below(self, folder: str) -> Iterator[str]:
        """Names of the files in a folder (empty means all), or of the one file."""
        prefix = f"{folder}/" if folder else ""
        return (name for name in self.files if name == folder or name.startswith(prefix))

    def download(self, name: str) -> Path:
        """Where a file lies here, its bytes checked against the manifest or the Hub's own hash.

        Raises:
            DataError: Other bytes than those that were published, or not in the manifest.
            EnvironmentFault: No network and no copy in the cache.
        """
        path = download_file(self.place.repository, "dataset", self.commit, name)
        expected = path.resolve().name  # the cache names a large file by its hash
        if self.hashes is not None and name not in (CARD, MANIFEST):
            if name not in self.hashes:
                raise DataError(
                    f"{self.place.uri_of(name)} is not in the manifest of its repository",
                    do="Ask its publisher, or publish the folder again",
                )
            expected = self.hashes[name]
        if SHA256.fullmatch(expected):
            _check_bytes(path, expected, self.place.uri_of(name))
        return path

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads(self._text(name) or "{}")
        except ValueError as error:
            raise DataError(
                f"{self.place.uri_of(name)} is damaged", got=error, do="Publish it again"
            ) from error
        return content if isinstance(content, dict) else {}

    def _text(self, name: str) -> str:
        path = self._folder / name
        if name not in self.files or not path.is_file():
            return ""
        if path.stat().st_size > MAX_RECORD:
            raise DataError(f"{self.place.uri_of(name)} is too large", got=path.stat().st_size)
        return path.read_text(encoding="utf-8", errors="replace")


def _check_bytes(path: Path, expected: str, uri: str) -> None:
    """Compare with the published hash, once a process as long as the file stays the same."""
    info = path.stat()
    identity = (str(path), info.st_size, info.st_mtime_ns, info.st_ino, expected)
    if identity in _checked:
        return
    if (found := file_sha256(path)) != expected:
        raise DataError(
            f"{uri} has other bytes than were published",
            got=f"sha256 {found[:12]}..., expected {expected[:12]}...",
            do=f"Remove {path.resolve()} and try again",
        )
    _checked.add(identity)
