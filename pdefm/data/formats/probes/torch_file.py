"""PyTorch's ``.pt``: the pickle is read as a list of instructions, its names are never imported.

Two passes. The first looks at every instruction and at the names it would import, against a list of
harmless ones. The second replays the pickle with inert stand-ins for those names, which gives the
declared shapes beside the stored bytes.

Source: pickletools of Python; the two file layouts of torch.save.
"""

import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

from pdefm.data.formats.probes import DAMAGED, Refused, check_declared, printable

MAX_PICKLE = 2**25
MAX_OPCODES = 2_000_000

STORAGES = {
    **{"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2},
    **{"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1},
    **{"BoolStorage": 1, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8},
    **{"UntypedStorage": 1},
}
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
ALLOWED = {
    *(("torch", name) for name in (*STORAGES, *DTYPES, "bool", "complex64", "complex128")),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "TypedStorage"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch", "Tensor"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.nn.parameter", "Parameter"),
    ("collections", "OrderedDict"),
}
FORBIDDEN_OPCODES = {
    *("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"),
    *("NEXT_BUFFER", "READONLY_BUFFER", "BYTEARRAY8", "PERSID"),
}
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""First pickle of the old layout."""

NUM_HEADERS = 3
"""Pickles ahead of the object in the old layout: magic number, protocol, sizes of the system."""

SAVE_AGAIN = "Save plain tensors: torch.save({'u': tensor}, file), or numpy.save"


def check(path: Path) -> None:
    """The old layout: several pickles, then raw numbers. Also any other bare pickle.

    Raises:
        Refused: An import that is not on the list of harmless ones, or damage.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if _load(file) != MAGIC_NUMBER:
            return
        for _ in range(NUM_HEADERS - 1):
            _load(file)
        begin = file.tell()
        check_opcodes(file)  # the object
        check_opcodes(file)  # the keys of its storages, with the raw numbers behind them
        stored = size - file.tell()
        file.seek(begin)
        _replay(file, None, stored)


def _load(file: IO[bytes]) -> Any:
    """One pickle, looked at and then replayed."""
    begin = file.tell()
    check_opcodes(file)
    end = file.tell()
    file.seek(begin)
    found = _replay(file, {})
    file.seek(end)
    return found


def check_archive(archive: zipfile.ZipFile) -> None:
    """The new layout: a zip of one pickle and one member a storage.

    Raises:
        Refused: As :func:`check`, or a program in place of tensors.
    """
    names = [member.filename for member in archive.infolist()]
    pickles = [name for name in names if name.endswith(".pkl")]
    if len(pickles) != 1 or pickles[0].rpartition("/")[2] != "data.pkl":
        raise Refused(
            "the archive is a TorchScript program, not a file of tensors",
            ", ".join(printable(name) for name in pickles[:3]),
            SAVE_AGAIN,
        )
    member = archive.getinfo(pickles[0])
    if member.file_size > MAX_PICKLE:
        raise Refused("its pickle is too large", f"{member.file_size:,} bytes", SAVE_AGAIN)
    content = archive.read(member)
    check_opcodes(io.BytesIO(content))
    folder = pickles[0].removesuffix("data.pkl") + "data/"
    sizes = {
        name.removeprefix(folder): archive.getinfo(name).file_size
        for name in names
        if name.startswith(folder)
    }
    _replay(io.BytesIO(content), sizes)


def check_opcodes(file: IO[bytes]) -> None:
    """Look at every instruction of one pickle; the file is left behind its end.

    Raises:
        Refused: An import or an instruction that is not harmless, or a damaged pickle.
    """
    count = 0
    try:
        for opcode, argument, position in pickletools.genops(file):
            count += 1
            if opcode.name == "GLOBAL":
                _check_import(*str(argument).split(" ", 1))
            elif opcode.name in FORBIDDEN_OPCODES:
                raise Refused(
                    "its pickle runs instructions that no file of tensors needs",
                    f"{opcode.name} at byte {position}",
                    SAVE_AGAIN,
                )
            if count > MAX_OPCODES:
                raise Refused("its pickle is too long", f"over {MAX_OPCODES:,} steps", SAVE_AGAIN)
    except (ValueError, EOFError, IndexError, UnicodeError, OverflowError, MemoryError) as error:
        raise Refused(
            "its pickle is damaged", printable(str(error)), f"{DAMAGED}. {SAVE_AGAIN}"
        ) from error


def _check_import(module: str, name: str) -> None:
    if (module, name) not in ALLOWED:
        raise Refused(
            "its pickle would import and run code",
            f"{printable(module)}.{printable(name)}",
            f"Ask the author for plain tensors or NumPy arrays. {SAVE_AGAIN}",
        )


class _Inert:
    """Stands in for everything that a pickle names; does nothing, keeps its arguments."""

    def __init__(self, name: str) -> None:
        self.name, self.arguments = name, ()

    def __call__(self, *arguments: Any) -> Any:
        made = _Inert(self.name)
        made.arguments = arguments
        return made

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take an item and forget it."""

    def __setstate__(self, state: Any) -> None:
        """Take a state and forget it."""


class _Replay(pickle.Unpickler):
    """A pickle machine that can import nothing."""

    def __init__(self, file: IO[bytes], sizes: dict[str, int] | None, stored: int) -> None:
        super().__init__(file)
        self.sizes, self.stored = sizes, stored

    def find_class(self, module: str, name: str) -> Any:
        _check_import(module, name)
        inert = _Inert(name)
        return self._tensor if name in ("_rebuild_tensor", "_rebuild_tensor_v2") else inert

    def persistent_load(self, saved: Any) -> int:
        """Bytes of a storage, as far as they are there."""
        if not (isinstance(saved, tuple) and len(saved) >= 5 and saved[0] == "storage"):
            raise Refused("its pickle refers to an unknown thing", printable(str(saved)[:60]))
        _, kind, key, _, count = saved[:5]
        declared = int(count) * STORAGES.get(getattr(kind, "name", ""), 1)
        found = self.stored if self.sizes is None else self.sizes.get(str(key), -1)
        if not 0 <= declared <= found:
            raise Refused(
                f"the numbers of tensor storage {printable(str(key))} are missing or cut off",
                f"{max(found, 0)} bytes, {declared} declared",
                DAMAGED,
            )
        return declared

    def _tensor(self, storage: int, offset: int, shape: Any, *_: Any) -> _Inert:
        lengths = [int(length) for length in shape]
        if min(lengths, default=0) < 0 or not isinstance(storage, int):
            raise Refused("a tensor has an impossible shape", printable(str(shape)), DAMAGED)
        check_declared("a tensor", [math.prod(lengths)], 1, storage)
        return _Inert("tensor")


def _replay(file: IO[bytes], sizes: dict[str, int] | None, stored: int = 0) -> Any:
    """The next pickle with inert stand-ins; only plain numbers come back as they are."""
    try:
        return _Replay(file, sizes, stored).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise Refused(
            "its pickle is damaged", printable(str(error)), f"{DAMAGED}. {SAVE_AGAIN}"
        ) from error
