"""NumPy's archive of arrays: members stored plainly are mapped, compressed ones unpacked whole."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import ArrayFacts, Container, facts_of

ZIP_SIGNATURE = b"PK\x03\x04"
SUFFIX = ".npy"
LOCAL_HEADER_LENGTH = 30  # bytes before the name of a member, in front of its data


def member_names(path: Path, start: bytes) -> list[str]:
    """Names inside a zip archive; none if it is no readable archive."""
    if not start.startswith(ZIP_SIGNATURE):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    # A damaged directory raises whatever its bytes lead to.
    except Exception:
        return []


class NpzFile(Container):
    """An ``.npz`` archive.

    ``numpy.savez`` stores members plainly, so that only the asked frames are read.
    ``numpy.savez_compressed`` does not: a member is unpacked whole on first use, the last one used
    stays in memory.
    """

    kind = "NumPy archive"
    advice = "Save it again with numpy.savez, as plain numbers"
    suffixes = (".npz",)

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """A zip archive with ``.npy`` members."""
        arrays = [name for name in member_names(path, start) if name.endswith(SUFFIX)]
        return f"NumPy archive of {len(arrays)} arrays" if arrays else None

    def open_file(self) -> dict[str, Any]:
        """Arrays of this process by key; filled as they are asked for."""
        return {}

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes and types from the head of each member."""
        found: dict[str, ArrayFacts] = {}
        with zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                if name.endswith(SUFFIX):
                    with archive.open(name) as member:
                        shape, _, dtype = _read_head(member)
                    found[name.removesuffix(SUFFIX)] = facts_of(shape, dtype)
        return found

    def open_array(self, key: str) -> np.ndarray:
        """A map of the member, or the member unpacked."""
        arrays = self.file
        if key in arrays:
            return arrays[key]
        with zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(key + SUFFIX)
            with archive.open(info) as member:
                if info.compress_type == zipfile.ZIP_STORED:
                    array = _mapped(self.path, info, member)
                else:
                    array = np.lib.format.read_array(member, allow_pickle=False)
        for other in [k for k, kept in arrays.items() if not isinstance(kept, np.memmap)]:
            del arrays[other]
        arrays[key] = array
        return array

    def array_storage(self, key: str) -> StorageLayout:
        """In one piece, plainly or deflated."""
        facts = self.arrays[key]
        with zipfile.ZipFile(self.path) as archive:
            packed = archive.getinfo(key + SUFFIX).compress_type != zipfile.ZIP_STORED
        return StorageLayout(
            facts.shape, facts.dtype, *([facts.shape, "deflate"] if packed else [])
        )


def _read_head(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first axis runs fastest, and type."""
    major, minor = np.lib.format.read_magic(member)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if (major, minor) not in readers:
        raise ValueError(f"array format version {major}.{minor}")
    return readers[major, minor](member)


def _mapped(path: Path, info: zipfile.ZipInfo, member: Any) -> np.ndarray:
    shape, fortran, dtype = _read_head(member)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        head = file.read(LOCAL_HEADER_LENGTH)
    lengths = np.frombuffer(head[26:30], "<u2").astype(int)  # of name and extra field
    offset = info.header_offset + LOCAL_HEADER_LENGTH + int(lengths.sum()) + member.tell()
    num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if num_bytes != info.file_size - member.tell():
        raise ValueError(f"{num_bytes} bytes expected, {info.file_size - member.tell()} stored")
    if not num_bytes:
        return np.empty(shape, dtype)
    order = "F" if fortran else "C"
    return np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)
