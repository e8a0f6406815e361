"""Zip archives: NumPy's ``.npz``, PyTorch's ``.pt``, Zarr stores; nothing is unpacked to disk."""

import struct
import zipfile
import zlib
from pathlib import Path

from pdefm.data.formats.probes import (
    DAMAGED,
    IF_TRUSTED,
    LARGE,
    Refused,
    in_words,
    numpy_file,
    printable,
    torch_file,
    zarr_store,
)

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
MAX_MEMBERS = 50_000
MAX_DIRECTORY = 2**25
MAX_INFLATION = 1032
"""Deflate cannot do more; an archive that claims more lies."""

LOCAL_HEADER = 30
END = struct.Struct("<4s4H2LH")


def check(path: Path) -> None:
    """Members, sizes and names; then what they hold.

    Raises:
        Refused: Bombs, names that leave the archive, encryption, objects, pickles with code.
    """
    try:
        _check_end(path)
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        struct.error,
        RuntimeError,
    ) as error:
        raise Refused(
            "cannot be read as a zip archive (.npz, .pt), the file is damaged or incomplete",
            printable(str(error)),
            DAMAGED,
        ) from error


def _check_end(path: Path) -> None:
    """The number of members, from the end of the file, before the list of them is read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65_536 - END.size))
        tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + END.size > len(tail):
        raise zipfile.BadZipFile("its list of members is missing")
    _, _, _, _, num_members, directory_size, _, _ = END.unpack_from(tail, found)
    # 2**32 - 1 stands for a larger number kept elsewhere, which no file of arrays needs.
    if num_members > MAX_MEMBERS or directory_size > MAX_DIRECTORY:
        raise Refused("the archive has too many members", f"{num_members:,}", IF_TRUSTED)


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise Refused("the archive has too many members", f"{len(members):,}", IF_TRUSTED)
    _check_names(members)
    _check_sizes(members, path.stat().st_size)
    names = [member.filename for member in members]
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        torch_file.check_archive(archive)
        return
    if any(name in zarr_store.METADATA for name in names):
        sizes = [(m.filename, m.file_size) for m in members if not m.is_dir()]
        zarr_store.check_store(sizes, archive.read)
        return
    if not any(name.endswith(".npy") for name in names) and path.suffix.lower() != ".npz":
        return  # another kind of archive, which no reader knows
    for member in members:
        if not member.filename.endswith(".npy"):
            raise Refused(
                f"member '{printable(member.filename)}' is not a NumPy array",
                do="Save the arrays again with numpy.savez",
            )
        with archive.open(member) as file:
            where = f"member '{printable(member.filename)}'"
            numpy_file.check_stream(file, member.file_size, where)


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        # What zipfile shows is already made harmless; the original tells the intention.
        for name in (member.filename, member.orig_filename):
            parts = name.replace("\\", "/").split("/")
            if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0] or "\0" in name:
                raise Refused("a member's name leads out of the archive", f"'{printable(name)}'")
        if member.filename in seen:
            raise Refused("two members have one name", f"'{printable(member.filename)}'")
        seen.add(member.filename)


def _check_sizes(members: list[zipfile.ZipInfo], file_size: int) -> None:
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        name = printable(member.filename)
        if member.flag_bits & 1:
            raise Refused(f"member '{name}' is encrypted", do="Unpack it and save it again")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(
                f"member '{name}' is compressed in an unusual way",
                f"method {member.compress_type}",
                "Save it again with numpy.savez_compressed",
            )
        if member.header_offset < end:
            raise Refused(f"member '{name}' overlaps another one", do="A zip bomb or damage")
        end = member.header_offset + LOCAL_HEADER + member.compress_size
        stored = member.compress_size
        is_stored = member.compress_type == zipfile.ZIP_STORED
        if member.file_size > (stored if is_stored else MAX_INFLATION * stored + 64):
            raise Refused(
                f"member '{name}' claims a size that its compression cannot reach",
                f"{in_words(member.file_size)} out of {in_words(stored)}",
                DAMAGED,
            )
        if member.file_size > LARGE and member.file_size > 1000 * stored:
            raise Refused(
                f"member '{name}' is a zip bomb",
                f"{in_words(member.file_size)} out of {in_words(stored)}",
                IF_TRUSTED,
            )
    if end > file_size:
        raise Refused(
            "the archive is cut off", f"{in_words(file_size)} of at least {in_words(end)}", DAMAGED
        )
