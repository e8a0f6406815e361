"""Zarr stores, version 2 and 3: JSON and chunks, in a folder or in a zip archive.

Source: the Zarr specifications 2 and 3.0.
"""

import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pdefm.data.formats.probes import (
    DAMAGED,
    IF_TRUSTED,
    MAX_CHUNK,
    Refused,
    check_declared,
    in_words,
    printable,
)

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
MAX_JSON = 2**24
MAX_FILES = 500_000
MAX_ARRAYS = 10_000
MAX_DEPTH = 16
MAX_CHUNKS = 10**8
COMPRESSORS = {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma"}
FILTERS = {
    *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"),
    *("fletcher32", "crc32", "crc32c", "adler32", "vlen-utf8", "vlen-bytes"),
}
CODECS = {"bytes", "transpose", "crc32c", *COMPRESSORS, "vlen-utf8", "vlen-bytes"}
SHARDING = "sharding_indexed"
TEXT = {"string", "bytes", "vlen-utf8", "vlen-bytes"}
WIDTHS = re.compile(r"(?:bool|r(\d+)|(?:u?int|float|bfloat|complex)(\d+))")
OLD_DTYPE = re.compile(r"[<>|][biufcSUV](\d+)|[<>|][mM]8(?:\[\w+\])?")


def is_store(folder: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def check(folder: Path) -> None:
    """Files, then what each array of the store declares.

    Raises:
        Refused: Links, pipes, keys that leave the store, pickles, unknown codecs, absurd sizes.
    """
    check_store(list(_files(folder)), lambda name: (folder / name).read_bytes())


def check_store(files: list[tuple[str, int]], read: Callable[[str], bytes]) -> None:
    """What the arrays of a store declare, whether it is a folder or an archive.

    Args:
        files: Name, with ``/`` between the parts, and size of each file.
        read: Gives the content of one of them.

    Raises:
        Refused: As :func:`check`.
    """
    try:
        _Store(files, read).check()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Refused(
            "its Zarr metadata are damaged", printable(f"{error!r}", 160), DAMAGED
        ) from error


def _files(top: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes; only plain files and folders may be there."""
    count, stack = 0, [("", 0)]
    while stack:
        place, depth = stack.pop()
        for entry in os.scandir(top / place):
            count += 1
            name = f"{place}/{entry.name}" if place else entry.name
            info = entry.stat(follow_symlinks=False)
            if count > MAX_FILES or depth > MAX_DEPTH:
                raise Refused("the store has too many files or levels", do=IF_TRUSTED)
            if stat.S_ISDIR(info.st_mode):
                stack.append((name, depth + 1))
            elif not stat.S_ISREG(info.st_mode):
                raise Refused(
                    f"'{printable(name)}' in the store is not a plain file",
                    "a link" if stat.S_ISLNK(info.st_mode) else "a pipe, socket or device",
                    "Copy the store with its files",
                )
            else:
                yield name, info.st_size


class _Store:
    def __init__(self, files: list[tuple[str, int]], read: Callable[[str], bytes]) -> None:
        self.read = read
        self.stored: dict[str, int] = {}
        self.metadata: list[str] = []
        for name, size in files:
            place, _, last = name.rpartition("/")
            if last not in METADATA:
                self._add(place, size)
                continue
            if size > MAX_JSON:
                raise Refused(f"'{printable(name)}' is too large", in_words(size), IF_TRUSTED)
            self.metadata.append(name)

    def check(self) -> None:
        arrays = 0
        for name in self.metadata:
            place, _, last = name.rpartition("/")
            for key, document in self._documents(last, place, json.loads(self.read(name))):
                arrays += 1
                if arrays > MAX_ARRAYS:
                    raise Refused("the store has too many arrays", f"over {MAX_ARRAYS:,}")
                self._array(key, document)

    def _add(self, place: str, size: int) -> None:
        """Count a chunk for its folder and all above it."""
        while place:
            self.stored[place] = self.stored.get(place, 0) + size
            place = place.rpartition("/")[0]
        self.stored[""] = self.stored.get("", 0) + size

    def _documents(self, name: str, place: str, content: Any) -> list[tuple[str, dict[str, Any]]]:
        """Arrays that one metadata file describes: itself, or a list of all below it."""
        if not isinstance(content, dict):
            raise ValueError(f"{name} is not an object")
        if name == ".zattrs":
            return []
        found = {place: content} if name in (".zarray", "zarr.json") else {}
        listed = content.get("metadata", {}) if name == ".zmetadata" else {}
        if name == "zarr.json" and content.get("consolidated_metadata"):
            listed = content["consolidated_metadata"].get("metadata", {})
        for key, document in listed.items():
            if name == ".zmetadata":
                folder, _, kind = key.rpartition("/")
                if kind != ".zarray":
                    self._check_key(folder)
                    continue
            else:
                folder = key
            self._check_key(folder)
            found["/".join(part for part in (place, folder) if part)] = document
        return [
            (key, document)
            for key, document in found.items()
            if name == ".zarray" or "shape" in document
        ]

    def _check_key(self, key: str) -> None:
        parts = key.replace("\\", "/").split("/")
        if ".." in parts or key.startswith(("/", "\\")) or ":" in key or "\0" in key:
            raise Refused("a key leads out of the store", f"'{printable(key)}'")

    def _array(self, key: str, document: dict[str, Any]) -> None:
        where = f"array '{printable(key)}'" if key else "the array"
        read = _read_version_2 if document.get("zarr_format") == 2 else _read_version_3
        shape, chunk, itemsize = read(document, where)
        if len(shape) > 32 or len(chunk) != len(shape) or min((*shape, 0)) < 0:
            raise ValueError(f"{where} has shape {shape} and chunks {chunk}")
        if min(chunk, default=1) < 1:
            raise ValueError(f"{where} has chunks of shape {chunk}")
        size = math.prod(chunk) * itemsize
        if size > MAX_CHUNK:
            raise Refused(
                f"{where} has chunks that do not fit into memory",
                f"chunks of {chunk}, {in_words(size)}",
                f"Store it again with smaller chunks. {IF_TRUSTED}",
            )
        count = math.prod(-(-length // step) for length, step in zip(shape, chunk, strict=True))
        if count > MAX_CHUNKS:
            raise Refused(f"{where} has too many chunks", f"{count:,}", IF_TRUSTED)
        check_declared(where, shape, itemsize, self.stored.get(key, 0))


Layout = tuple[tuple[int, ...], tuple[int, ...], int]


def _lengths(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError(f"lengths {values!r}")
    return tuple(values)


def _refuse_codec(where: str, name: object) -> None:
    if str(name).rpartition(".")[2] in ("pickle", "json2", "msgpack2"):
        raise Refused(
            f"{where} holds Python objects, which run code when they are loaded",
            f"codec '{printable(str(name))}'",
            "Store it again as plain numbers",
        )
    raise Refused(
        f"{where} needs an unknown codec",
        f"'{printable(str(name))}'",
        "Store it again with zstd or gzip",
    )


def _read_version_2(document: dict[str, Any], where: str) -> Layout:
    compressor, filters = document.get("compressor"), document.get("filters") or []
    for name in [f["id"] for f in filters]:
        if name not in FILTERS:
            _refuse_codec(where, name)
    if compressor is not None and compressor["id"] not in COMPRESSORS:
        _refuse_codec(where, compressor["id"])
    if document.get("dimension_separator", ".") not in (".", "/"):
        raise ValueError(f"separator {document['dimension_separator']!r}")
    dtype = document["dtype"]
    found = OLD_DTYPE.fullmatch(dtype) if isinstance(dtype, str) else None
    is_text = dtype == "|O" and any(f["id"] in TEXT for f in filters)
    if found is None and not is_text:
        raise Refused(
            f"{where} holds objects or records, not numbers",
            f"dtype {printable(str(dtype))}",
            f"Fields must be plain numbers. {IF_TRUSTED}",
        )
    width = 4 if found is not None and dtype[1] == "U" else 1
    itemsize = width * int((found and found[1]) or 8)
    return _lengths(document["shape"]), _lengths(document["chunks"]), itemsize


def _read_version_3(document: dict[str, Any], where: str) -> Layout:
    _check_codecs(document["codecs"], where, 0)
    if document.get("storage_transformers"):
        raise Refused(f"{where} needs a storage transformer", do="Store it again without")
    grid = document["chunk_grid"]
    if grid["name"] != "regular" or document["chunk_key_encoding"]["name"] not in ("default", "v2"):
        raise Refused(f"{where} has an unknown layout of chunks", printable(str(grid["name"])))
    separator = document["chunk_key_encoding"].get("configuration", {}).get("separator", "/")
    if separator not in (".", "/"):
        raise ValueError(f"separator {separator!r}")
    dtype = document["data_type"]
    found = WIDTHS.fullmatch(dtype) if isinstance(dtype, str) else None
    if found is None and dtype not in TEXT and _text_size(dtype) is None:
        raise Refused(
            f"{where} holds an unknown type of data",
            f"{printable(str(dtype))}",
            f"Fields must be plain numbers. {IF_TRUSTED}",
        )
    bits = int(found[1] or found[2] or 8) if found else 8 * (_text_size(dtype) or 8)
    chunk = _lengths(grid["configuration"]["chunk_shape"])
    for codec in document["codecs"]:
        if isinstance(codec, dict) and codec["name"] == SHARDING:
            # A shard is a file of many chunks, which are read one by one.
            chunk = _lengths(codec["configuration"]["chunk_shape"])
    return _lengths(document["shape"]), chunk, max(bits // 8, 1)


def _text_size(dtype: Any) -> int | None:
    """Bytes of a type of text or time that is written as an object."""
    if isinstance(dtype, dict) and dtype.get("name") in (
        *("fixed_length_utf32", "null_terminated_bytes", "numpy.datetime64", "numpy.timedelta64"),
    ):
        return int(dtype.get("configuration", {}).get("length_bytes", 8))
    return None


def _check_codecs(codecs: Any, where: str, depth: int) -> None:
    if depth > 4 or not isinstance(codecs, list) or len(codecs) > 16:
        raise ValueError(f"{where} has codecs nested too deeply")
    for codec in codecs:
        described: dict[str, Any] = {"name": codec} if isinstance(codec, str) else codec
        name = described["name"]
        own = name.removeprefix("numcodecs.")
        if name == SHARDING:
            inner = described["configuration"]
            _check_codecs(inner["codecs"], where, depth + 1)
            _check_codecs(inner.get("index_codecs", []), where, depth + 1)
        elif own not in CODECS | FILTERS:
            _refuse_codec(where, name)
