"""The child process of the probe: it looks into files under limits and says what it found.

It is started by ``pdefm.data.formats.probe`` and speaks through its pipes: one JSON object with the
files comes in, one JSON line a file goes out. This is containment, not a sandbox: a fault of a C
library that lets a file run code would run it as the user. Strangers' files belong in a container.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pdefm.data.formats.probes import (
    DAMAGED,
    IF_TRUSTED,
    Refused,
    hdf5,
    in_words,
    mat,
    netcdf_classic,
    numpy_file,
    printable,
    torch_file,
    zarr_store,
    zip_archive,
)

CPU_SECONDS = 10
"""Time that one file may take."""

MEMORY = 2 * 2**30
"""Address space of the process."""

MAX_SIDECAR = 2**24
"""Bytes of a JSON or YAML file beside the data."""

SIDECARS = (".json", ".yaml", ".yml")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
WEB_PAGE = (b"<!doctype", b"<html", b"<?xml")
GIT_LFS = b"version https://git-lfs"

Check = Callable[[Path], None]

LIBRARIES: dict[Check, str] = {
    hdf5.check: "h5py",
    numpy_file.check: "numpy",
    zip_archive.check: "numpy",
}
"""What a check imports. Imports load native code, so they happen while no file is looked into."""


def limit_process() -> None:
    """Memory, no written files, no core dump. Systems without limits have only the clock."""
    try:
        import resource
    except ImportError:
        return
    for name, value in (("RLIMIT_AS", MEMORY), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (allowed, allowed))
        except (ValueError, OSError):  # macOS has no limit of the address space
            continue


def limit_time() -> None:
    """Let the process use ``CPU_SECONDS`` more; then the system ends it."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(time.process_time()) + CPU_SECONDS
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


class EscapeError(Exception):
    """A file made its reader do something that reading needs not."""


class Guard:
    """Audit hook: the probed file and the installed libraries may be read, nothing else happens.

    Args:
        libraries: Folders that modules come from.
    """

    FORBIDDEN = (
        *("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
        *("os.system", "ctypes.", "pty.", "os.remove", "os.rename", "os.mkdir", "os.rmdir"),
        *("os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime"),
        *("shutil.", "tempfile.", "pickle.find_class", "webbrowser.", "urllib.", "ftplib."),
        *("mmap.", "sqlite3.", "os.kill", "signal."),
    )
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self, libraries: list[str]) -> None:
        self.libraries = tuple(os.path.join(os.path.realpath(folder), "") for folder in libraries)
        self.probed = ""
        self.is_importing = False

    def load(self, library: str) -> None:
        """Import a library, which may do what a file may not make it do."""
        self.is_importing = True
        try:
            import_module(library)
        finally:
            self.is_importing = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise on anything that a probe has no need of."""
        if self.is_importing:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            if (flags or 0) & self.WRITING or not self._may_read(os.fsdecode(path)):
                raise EscapeError(f"the probe does not open {printable(os.fsdecode(path))}")
        elif event.startswith(self.FORBIDDEN):
            raise EscapeError(f"the probe does not do {event}")

    def _may_read(self, path: str) -> bool:
        if path == self.probed or path.startswith(os.path.join(self.probed, "")):
            return True
        return os.path.realpath(path).startswith(self.libraries)


def checks_for(path: Path) -> list[Check]:
    """What the content may be taken for; several kinds if the file pretends to be several."""
    if path.is_dir():
        return [zarr_store.check]
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(GIT_LFS):
        return []
    kinds: list[Check] = []
    if hdf5.has_signature(path):
        kinds.append(hdf5.check)
    if start.startswith(zip_archive.SIGNATURES):
        kinds.append(zip_archive.check)
    if start.startswith(numpy_file.SIGNATURE):
        kinds.append(numpy_file.check)
    if start.startswith(netcdf_classic.SIGNATURE):
        kinds.append(netcdf_classic.check)
    if mat.is_mat(start):
        kinds.append(mat.check)
    is_pickle = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if is_pickle or (not kinds and start and path.suffix.lower() in PICKLES):
        kinds.append(torch_file.check)
    if not kinds:
        _check_unknown(path, start)
    return kinds


def _check_unknown(path: Path, start: bytes) -> None:
    """Texts and archives in place of data; what is really unknown is left to the formats."""
    if start.lstrip().lower().startswith(WEB_PAGE):
        raise Refused(
            "holds a web page, not data",
            f"first bytes {printable(start.lstrip()[:24])!r}",
            "The download gave a page: sign in where the data lie, or take the direct address",
        )
    if start[257:262] == b"ustar":
        raise Refused("is a tar archive", do="Unpack it and give the folder")
    if path.suffix.lower() in SIDECARS and path.stat().st_size > MAX_SIDECAR:
        size = in_words(path.stat().st_size)
        raise Refused(f"is too large for a {path.suffix} file", size, IF_TRUSTED)


def examine(path: Path, load: Callable[[str], None]) -> Refused | None:
    """The verdict on one file.

    Args:
        path: The file.
        load: Imports a library.
    """
    try:
        for check in checks_for(path):
            if library := LIBRARIES.get(check):
                load(library)
            check(path)
    except Refused as refused:
        return refused
    except PermissionError as error:
        return Refused("may not be read", error.strerror or str(error), "Check who owns it")
    except MemoryError:
        return Refused("needs too much memory to be looked at", f"over {in_words(MEMORY)}")
    except OSError as error:
        return Refused("cannot be read", printable(str(error)), "Check the disk")
    except Exception as error:  # whatever a hostile file does to a reader is its verdict
        kind = type(error).__name__
        return Refused("breaks the reader", printable(f"{kind}: {error}", 160), DAMAGED)
    return None


def main(request: dict[str, Any]) -> None:
    """Examine the files of a request and write one line for each.

    Args:
        request: ``files``, and ``libraries``, the folders that modules may come from.
    """
    limit_process()
    guard = Guard(request["libraries"])
    sys.addaudithook(guard)
    for number, name in enumerate(request["files"]):
        limit_time()
        guard.probed = name
        verdict = examine(Path(name), guard.load)
        line: dict[str, Any] = {"number": number}
        if verdict is not None:
            line["refused"] = {"what": verdict.what, "got": verdict.got, "do": verdict.do}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
