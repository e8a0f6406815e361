"""NetCDF-3: its header says every size, so it is checked whole.

Source: The NetCDF Classic Format Specification (CDF-1, CDF-2 and CDF-5), Unidata.
"""

import math
import struct
from pathlib import Path
from typing import IO

from pdefm.data.formats.probes import (
    DAMAGED,
    IF_TRUSTED,
    MAX_TEXT,
    Refused,
    check_declared,
    in_words,
    printable,
)

SIGNATURE = b"CDF"
VERSIONS = (1, 2, 5)
DIMENSION, VARIABLE, ATTRIBUTE = 10, 11, 12
MAX_ITEMS = 10_000
MAX_NAME = 1024
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


def check(path: Path) -> None:
    """Every size of the header against the size of the file.

    Raises:
        Refused: A damaged header, too many items, or variables that do not fit into the file.
    """
    with path.open("rb") as file:
        try:
            _Header(file, path.stat().st_size).check()
        except (struct.error, ValueError, OverflowError) as error:
            raise Refused(
                "cannot be read as NetCDF, its header is damaged", printable(str(error)), DAMAGED
            ) from error


class _Header:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size
        self.version = file.read(4)[3]
        if self.version not in VERSIONS:
            raise ValueError(f"version {self.version}")

    def _number(self, code: str = "") -> int:
        """One big-endian number; sizes have eight bytes in CDF-5."""
        code = code or ("q" if self.version == 5 else "i")
        (value,) = struct.unpack(f">{code}", self.file.read(struct.calcsize(code)))
        if value < 0:
            raise ValueError(f"a negative size, {value}, at byte {self.file.tell()}")
        return value

    def _bytes(self, count: int, limit: int) -> bytes:
        if count > limit:
            raise ValueError(f"{count} bytes in the header where at most {limit} make sense")
        content = self.file.read(count + -count % 4)
        if len(content) < count:
            raise ValueError("the header is cut off")
        return content[:count]

    def _count(self, wanted: int) -> int:
        """Length of a list, which may be absent."""
        tag, count = self._number("i"), self._number()
        if tag != wanted and (tag, count) != (0, 0):
            raise ValueError(f"tag {tag} where {wanted} is expected")
        if count > MAX_ITEMS:
            raise Refused("the header lists too many items", f"{count:,}", IF_TRUSTED)
        return count

    def _name(self) -> str:
        return self._bytes(self._number(), MAX_NAME).decode("utf-8", "backslashreplace")

    def _kind(self) -> int:
        kind = self._number("i")
        if kind not in SIZES or (kind > 6 and self.version != 5):
            raise ValueError(f"unknown type {kind}")
        return SIZES[kind]

    def _attributes(self) -> None:
        for _ in range(self._count(ATTRIBUTE)):
            self._name()
            itemsize = self._kind()
            self._bytes(self._number() * itemsize, MAX_TEXT)

    def check(self) -> None:
        streaming = b"\xff" * (8 if self.version == 5 else 4)
        num_records = struct.unpack(">Q", self.file.read(len(streaming)).rjust(8, b"\0"))[0]
        if num_records == int.from_bytes(streaming, "big"):
            raise ValueError("the number of records was never written")
        lengths = []
        for _ in range(self._count(DIMENSION)):
            self._name()
            lengths.append(self._number())
        self._attributes()
        found = [self._variable(lengths) for _ in range(self._count(VARIABLE))]
        records = [(name, size, begin) for name, size, begin, is_record in found if is_record]
        step = sum(size + (-size % 4 if len(records) > 1 else 0) for _, size, _ in records)
        for name, size, begin, is_record in found:
            count = num_records if is_record else 1
            end = begin + (count - 1) * step + size if count else begin
            where = f"variable '{printable(name)}'"
            check_declared(where, (count, size), 1, max(self.size - begin, 0))
            if end > self.size:
                raise Refused(
                    f"{where} is cut off",
                    f"a file of {in_words(self.size)}, it ends at byte {end:,}",
                    DAMAGED,
                )

    def _variable(self, lengths: list[int]) -> tuple[str, int, int, bool]:
        """Name, bytes (of a record, if there are any), first byte, and whether it has records."""
        name = self._name()
        rank = self._number()
        if rank > len(lengths) * 4 + 32:
            raise ValueError(f"variable with {rank} axes")
        axes = [self._number() for _ in range(rank)]
        if any(axis >= len(lengths) for axis in axes):
            raise ValueError(f"variable '{printable(name)}' has an axis that does not exist")
        self._attributes()
        itemsize = self._kind()
        # The stored size is redundant and wrong for large variables, so it is not used.
        self.file.read(8 if self.version == 5 else 4)
        begin = self._number("i" if self.version == 1 else "q")
        shape = [lengths[axis] for axis in axes]
        is_record = bool(shape) and shape[0] == 0
        return name, math.prod(shape[is_record:]) * itemsize, begin, is_record
