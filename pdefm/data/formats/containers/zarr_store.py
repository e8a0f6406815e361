"""Zarr stores of version 2 and 3: folders of chunks, or the same inside a zip archive."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import (
    ArrayFacts,
    Container,
    Packing,
    Sliceable,
    facts_of,
    text_attribute,
)
from pdefm.data.formats.containers.npz import member_names
from pdefm.errors import DataError

if TYPE_CHECKING:
    import zarr

MARKS = {"zarr.json": 3, ".zgroup": 2, ".zarray": 2}
DIMENSIONS = "_ARRAY_DIMENSIONS"  # how version 2 names axes, as xarray writes it
CODECS = {
    *("BytesCodec", "TransposeCodec", "ShardingCodec", "Crc32cCodec"),
    *("BloscCodec", "GzipCodec", "ZstdCodec", "Blosc", "GZip", "Zlib", "Zstd", "LZ4", "LZMA"),
    *("BZ2", "Shuffle", "Delta", "FixedScaleOffset", "BitRound", "Quantize", "AsType"),
    *("CRC32", "CRC32C", "Adler32", "Fletcher32", "JenkinsLookup3", "PackBits"),
}
"""Codecs that only move numbers; others, such as pickles, could run code and are refused."""


class ZarrStore(Container):
    """A Zarr group or array; keys are paths such as ``group/array``."""

    kind = "Zarr store"
    suffixes = (".zarr",)
    folders = True

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """The metadata of a group or array at the top."""
        if path.is_dir():
            marks = [mark for mark in MARKS if (path / mark).is_file()]
        else:
            names = member_names(path, start)
            marks = [mark for mark in MARKS if mark in names]
        return f"Zarr store of version {MARKS[marks[0]]} ({marks[0]})" if marks else None

    def open_file(self) -> "dict[str, zarr.Array[Any]]":
        """All arrays of the store by key."""
        import zarr
        from zarr.storage import LocalStore, ZipStore

        store = (
            LocalStore(self.path, read_only=True)
            if self.path.is_dir()
            else ZipStore(self.path, mode="r")
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # foreign files beside the arrays are named one by one
            top = zarr.open(store, mode="r")
            if isinstance(top, zarr.Array):
                return {"": top}
            members = top.members(max_depth=None)
        # A folder has no order of its own.
        ordered = sorted(members, key=lambda member: member[0])
        return {key: node for key, node in ordered if isinstance(node, zarr.Array)}

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes, types, dimension names and units of all arrays."""
        return {key: _facts(array) for key, array in self.file.items()}

    def open_array(self, key: str) -> Sliceable:
        """The array; a codec that could run code is refused."""
        array = self.file[key]
        for codec in _codecs(array):
            if type(codec).__name__ not in CODECS:
                raise DataError(
                    f"{self.path}: {key or 'the array'} is stored with a codec that is not "
                    "known to be safe",
                    got=type(codec).__name__,
                    do="Store it again with blosc, zstd, gzip or without compression",
                )
        return array

    def array_storage(self, key: str) -> StorageLayout:
        """Chunks (shards where there are any) and compression."""
        array = self.file[key]
        packers = [type(codec).__name__ for codec in array.compressors]
        name = packers[0].removesuffix("Codec").lower() if packers else None
        return StorageLayout(array.shape, str(array.dtype), array.shards or array.chunks, name)


def _codecs(array: "zarr.Array[Any]") -> list[Any]:
    metadata: Any = array.metadata
    if metadata.zarr_format == 3:
        found: list[Any] = []
        pending = list(metadata.codecs)
        while pending:
            codec = pending.pop()
            found.append(codec)
            # A shard has codecs inside.
            pending += [*getattr(codec, "codecs", ()), *getattr(codec, "index_codecs", ())]
        return found
    return [*(metadata.filters or ()), *([metadata.compressor] if metadata.compressor else [])]


def _facts(array: "zarr.Array[Any]") -> ArrayFacts:
    attributes = dict(array.attrs)
    names: Any = getattr(array.metadata, "dimension_names", None) or attributes.get(DIMENSIONS)
    known = isinstance(names, list | tuple) and len(names) == array.ndim and all(names)
    return facts_of(
        array.shape,
        array.dtype,
        dims=tuple(str(name) for name in names) if known else None,
        units=text_attribute(attributes, "units"),
        axis=text_attribute(attributes, "axis"),
        packing=Packing.from_attributes(attributes),
    )
