"""MATLAB v5: a walk over the tags that never unpacks more than it must.

SciPy's reader trusts the tags and crashes on wrong ones, so each tag that it would read is checked
here: its type, its size against the declared shape, and that it lies inside its parent.

Source: MATLAB MAT-File Format (MathWorks), chapter "Level 5 MAT-File Format".
"""

import math
import struct
import zlib
from pathlib import Path
from typing import IO

from pdefm.data.formats.probes import DAMAGED, IF_TRUSTED, MAX_TEXT, Refused, in_words, printable

HEADER = 128
ENDIAN = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED, INT8, INT32, UINT32 = 14, 15, 1, 5, 6
ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
TEXT_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 16: 1, 17: 2, 18: 4}
CELL, STRUCT, CHAR = 1, 2, 4
REFUSED_CLASSES = {3: "an object", 5: "a sparse matrix", 16: "a function", 17: "an opaque object"}
NUMERIC_CLASSES = range(6, 16)
COMPLEX_FLAG = 0x800
MAX_INFLATION = 1032
MAX_UNPACKED = 2**28
MAX_MATRICES = 20_000
MAX_DEPTH = 16
MAX_RANK = 32
PIECE = 2**16


def is_mat(start: bytes) -> bool:
    """Whether the first 128 bytes are a v5 header."""
    return (
        len(start) >= HEADER
        and start[126:128] in ENDIAN
        and start[124:126]
        in (
            b"\x00\x01",
            b"\x01\x00",
        )
    )


def check(path: Path) -> None:
    """Walk through all variables.

    Raises:
        Refused: Objects, functions, sizes that do not add up, bombs, damage.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(HEADER)
        try:
            _Walk(ENDIAN[start[126:128]]).run(file, size)
        except (struct.error, ValueError, zlib.error, EOFError, OverflowError) as error:
            raise Refused(
                "cannot be read as a MATLAB v5 file, it is damaged", printable(str(error)), DAMAGED
            ) from error


class _Bytes:
    """Bytes of a file or of a packed variable, in order, each at most once."""

    def __init__(self, file: IO[bytes], size: int, packed: bool) -> None:
        self.file, self.left, self.packed = file, size, packed
        self.machine = zlib.decompressobj()
        self.position = 0
        self.waiting = b""

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        found = self._unpack(count) if self.packed else self._take(count)
        if len(found) < count:
            raise EOFError(f"cut off at byte {self.position + len(found)} of a variable")
        self.position += count
        return found

    def _take(self, count: int) -> bytes:
        found = self.file.read(min(count, self.left))
        self.left -= len(found)
        return found

    def _unpack(self, count: int) -> bytes:
        pieces, missing = [], count
        while missing and not self.machine.eof:
            self.waiting = self.waiting or self._take(PIECE)
            piece = self.machine.decompress(self.waiting, missing)
            if not piece and not self.waiting:
                break
            self.waiting = self.machine.unconsumed_tail
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes; packed ones must be unpacked, so there is a limit."""
        if not self.packed:
            if count > self.left:
                raise EOFError(f"{count - self.left} bytes are missing at the end")
            self.file.seek(count, 1)
            self.left -= count
            self.position += count
            return
        if self.position + count > MAX_UNPACKED:
            raise Refused(
                "a packed variable of several parts is too large to be looked through",
                in_words(count),
                f"Save it with -v7.3. {IF_TRUSTED}",
            )
        while count:
            count -= len(self.read(min(count, PIECE)))


class _Walk:
    def __init__(self, endian: str) -> None:
        self.endian = endian
        self.num_matrices = 0

    def run(self, file: IO[bytes], size: int) -> None:
        position = HEADER
        while position < size:
            if size - position < 8:
                raise ValueError(f"{size - position} bytes at the end belong to nothing")
            file.seek(position)
            kind, count = struct.unpack(f"{self.endian}II", file.read(8))
            position += 8 + count
            if position > size:
                raise Refused(
                    "a variable is cut off",
                    f"{in_words(count)} declared, {in_words(size - position + count)} there",
                    DAMAGED,
                )
            if kind == COMPRESSED:
                self._packed(file, count)
            elif kind == MATRIX:
                self._matrix(_Bytes(file, count, False), count, 0)
            else:
                raise ValueError(f"data of type {kind} where a variable is expected")

    def _packed(self, file: IO[bytes], count: int) -> None:
        inside = _Bytes(file, count, True)
        kind, size = struct.unpack(f"{self.endian}II", inside.read(8))
        if kind != MATRIX:
            raise ValueError(f"packed data of type {kind} where a variable is expected")
        if size > MAX_INFLATION * count + 64:
            raise Refused(
                "a packed variable claims a size that its compression cannot reach",
                f"{in_words(size)} out of {in_words(count)}",
                DAMAGED,
            )
        self._matrix(inside, size, 0)

    def _tag(self, data: _Bytes) -> tuple[int, int, bytes | None]:
        """Type, number of bytes, and the bytes themselves where they lie in the tag."""
        head = data.read(8)
        kind, count = struct.unpack(f"{self.endian}II", head)
        if kind >> 16:
            kind, count = kind & 0xFFFF, kind >> 16
            if count > 4:
                raise ValueError(f"a short tag with {count} bytes")
            return kind, count, head[4 : 4 + count]
        return kind, count, None

    def _small(self, data: _Bytes, kinds: tuple[int, ...], limit: int) -> bytes:
        """The whole content of a small element."""
        kind, count, content = self._tag(data)
        if kind not in kinds or count > limit:
            raise ValueError(f"an element of type {kind} with {count} bytes, expected {kinds}")
        if content is None:
            content = data.read(count)
            data.skip(-count % 8)
        return content

    def _matrix(self, data: _Bytes, size: int, depth: int) -> None:
        self.num_matrices += 1
        if depth > MAX_DEPTH or self.num_matrices > MAX_MATRICES:
            raise Refused("too many or too deeply nested variables", do=IF_TRUSTED)
        start = data.position
        if size == 0:
            if depth == 0:
                raise ValueError("an empty variable")
            return
        flags = self._small(data, (UINT32,), 8)
        (word, _) = struct.unpack(f"{self.endian}II", flags)
        lengths = self._small(data, (INT32,), 4 * MAX_RANK)
        shape = struct.unpack(f"{self.endian}{len(lengths) // 4}i", lengths)
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"shape {shape}")
        name = printable(self._small(data, (INT8,), 4096))
        self._content(data, word, shape, name, depth)
        # The rest of a packed number array is not unpacked: only its size was of interest.
        if not data.packed and data.position - start != size:
            raise ValueError(f"variable '{name}' has {data.position - start} of {size} bytes")

    def _content(
        self, data: _Bytes, word: int, shape: tuple[int, ...], name: str, depth: int
    ) -> None:
        kind = word & 0xFF
        if kind in REFUSED_CLASSES:
            raise Refused(
                f"variable '{name}' is {REFUSED_CLASSES[kind]}",
                do=f"Save plain number arrays, or save with -v7.3. {IF_TRUSTED}",
            )
        if kind in NUMERIC_CLASSES:
            parts = 2 if word & COMPLEX_FLAG else 1
            for part in range(parts):
                last = part == parts - 1 and depth == 0
                self._numbers(data, ITEM_SIZES, shape, name, last)
        elif kind == CHAR:
            self._numbers(data, TEXT_SIZES, shape, name, False)
        elif kind == CELL:
            for _ in range(self._checked_count(math.prod(shape))):
                self._nested(data, depth)
        elif kind == STRUCT:
            (length,) = struct.unpack(f"{self.endian}i", self._small(data, (INT32,), 4))
            names = self._small(data, (INT8,), MAX_TEXT)
            if not 0 < length <= 4096 or len(names) % length:
                raise ValueError(f"names of {length} bytes in variable '{name}'")
            for _ in range(self._checked_count(math.prod(shape) * (len(names) // length))):
                self._nested(data, depth)
        else:
            raise ValueError(f"variable '{name}' of class {kind}")

    def _checked_count(self, count: int) -> int:
        if count > MAX_MATRICES:
            raise Refused("too many nested variables", f"{count:,}", IF_TRUSTED)
        return count

    def _nested(self, data: _Bytes, depth: int) -> None:
        kind, size, content = self._tag(data)
        if kind != MATRIX or content is not None:
            raise ValueError(f"an element of type {kind} where a variable is expected")
        self._matrix(data, size, depth + 1)

    def _numbers(
        self,
        data: _Bytes,
        sizes: dict[int, int],
        shape: tuple[int, ...],
        name: str,
        may_stop: bool,
    ) -> None:
        """One array of numbers or letters: its tag must fit to the shape."""
        kind, count, content = self._tag(data)
        if kind not in sizes:
            raise ValueError(f"variable '{name}' has numbers of type {kind}")
        # A letter of UTF-8 has one to four bytes.
        exact = kind != 16
        if exact and count != math.prod(shape) * sizes[kind]:
            raise ValueError(f"variable '{name}' has {count} bytes for shape {shape}")
        if sizes is TEXT_SIZES and count > MAX_TEXT:
            raise Refused(f"variable '{name}' is too long a text", in_words(count), IF_TRUSTED)
        if content is not None or (may_stop and data.packed):
            return
        data.skip(count + -count % 8)
