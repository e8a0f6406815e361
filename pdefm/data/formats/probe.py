"""Files of unknown origin are looked into by a child process before anything else opens them.

HDF5 files may name other files to read, pickles run code, and native readers hang or crash on
damaged bytes. So this process only asks the system what kind of file it is; a child with limits on
memory and time, without network and without the right to write, looks inside
(``pdefm.data.formats.probe_child``).
"""

import json
import os
import queue
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdefm.data.formats.probe_child import CPU_SECONDS, SIDECARS
from pdefm.data.formats.probes import IF_TRUSTED, zarr_store
from pdefm.errors import DataError, EnvironmentFault

WALL_SECONDS = 30.0
"""Time without an answer after which the child is ended."""

MAX_LOST = 3
"""Children that may crash or hang before the rest of the files is given up."""

MAX_FILES = 100_000
MAX_DEPTH = 6

DATA_SUFFIXES = frozenset(
    {
        *(".npy", ".npz", ".pt", ".pth", ".h5", ".hdf5", ".he5", ".nc", ".nc4", ".cdf", ".mat"),
        *(".arrow", ".parquet", ".zarr", *SIDECARS),
    }
)

START = (
    "import sys, json; request = json.loads(sys.stdin.buffer.readline()); sys.stdin.close();"
    " sys.path += request['libraries'];"
    " from pdefm.data.formats.probe_child import main; main(request)"
)

Identity = tuple[object, ...]

_passed: set[Identity] = set()


@dataclass(frozen=True)
class Verdict:
    """Why a file is refused.

    Args:
        path: The file.
        what: What is wrong, to be read after the file's name.
        got: What was found.
        do: What the user can do.
    """

    path: Path
    what: str
    got: str | None = None
    do: str = ""


def probe(paths: Sequence[Path]) -> None:
    """Look into files, and stores, which are folders; what passed is remembered by this process.

    Args:
        paths: Files, or folders that are one store each.

    Raises:
        DataError: A file that must not be opened; the first one is named.
        EnvironmentFault: No child process can be started.
    """
    refused = examine(paths)
    if not refused:
        return
    first, others = refused[0], len(refused) - 1
    more = f" ({others} more of {len(paths)} files are refused, too)" if others else ""
    raise DataError(f"{first.path}: {first.what}{more}", got=first.got, do=first.do)


def examine(paths: Sequence[Path]) -> list[Verdict]:
    """Look into files and say which ones are refused, in the order given."""
    found: dict[int, Verdict] = {}
    waiting: list[tuple[int, Path, Identity]] = []
    for number, path in enumerate(paths):
        outcome = _look_from_outside(path)
        if isinstance(outcome, Verdict):
            found[number] = outcome
        elif outcome not in _passed:
            waiting.append((number, path, outcome))
    lost = 0
    while waiting:
        verdicts, is_lost = _ask_child([path for _, path, _ in waiting])
        for (number, _, identity), verdict in zip(waiting, verdicts, strict=False):
            if verdict is None:
                _passed.add(identity)
            else:
                found[number] = verdict
        waiting = waiting[len(verdicts) :]
        lost += is_lost
        if lost >= MAX_LOST and waiting:
            number, path, _ = waiting[0]
            found[number] = Verdict(path, "was not looked at, too many files before it broke")
            break
    return [found[number] for number in sorted(found)]


def data_files(path: Path, suffixes: Collection[str] = ()) -> list[Path]:
    """What of a file or folder the formats may open: files by their suffix, stores as a whole.

    Args:
        path: File or folder.
        suffixes: Of data, beside the usual ones.

    Raises:
        DataError: Too many files or levels.
    """
    if not path.is_dir() or zarr_store.is_store(path):
        return [path]
    return list(_walk(path, DATA_SUFFIXES | set(suffixes)))


def _walk(top: Path, suffixes: Collection[str]) -> Iterator[Path]:
    count, stack, seen = 0, [(top, 0)], {os.path.realpath(top)}
    while stack:
        folder, depth = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except PermissionError:
            continue
        for entry in entries:
            path = Path(entry.path)
            count += 1
            if count > MAX_FILES or depth > MAX_DEPTH:
                raise DataError(
                    f"{top} holds too many files or levels to be looked into",
                    got=f"over {MAX_FILES:,}" if count > MAX_FILES else f"over {MAX_DEPTH} levels",
                    do=f"Give the folder of the data. {IF_TRUSTED}",
                )
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                if path.suffix.lower() in suffixes or not path.suffix:
                    yield path
            elif zarr_store.is_store(path):
                yield path
            elif (real := os.path.realpath(path)) not in seen:
                seen.add(real)
                stack.append((path, depth + 1))


def _look_from_outside(path: Path) -> Verdict | Identity:
    """Ask the system, never the file: kind and size, without opening it."""
    try:
        info = os.stat(path) if path.is_symlink() else os.lstat(path)
    except OSError as error:
        return Verdict(path, "cannot be reached", error.strerror, "Check the link or the path")
    if stat.S_ISDIR(info.st_mode):
        if not zarr_store.is_store(path):
            return Verdict(path, "is a folder where a file is expected")
        return (os.path.realpath(path), *_size_of_store(path))
    if not stat.S_ISREG(info.st_mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
        return Verdict(
            path,
            "is not a file of data",
            kinds.get(stat.S_IFMT(info.st_mode), "a device"),
            "Give a plain file",
        )
    if not os.access(path, os.R_OK):
        return Verdict(path, "may not be read", "Permission denied", "Check who owns it")
    return (os.path.realpath(path), info.st_size, info.st_mtime_ns, info.st_ino, info.st_dev)


def _size_of_store(folder: Path) -> tuple[int, int, int]:
    """Number of files, bytes and newest time of change, which tell a changed store."""
    count = size = newest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            info = os.lstat(os.path.join(place, name))
            count, size = count + 1, size + info.st_size
            newest = max(newest, info.st_mtime_ns)
    return count, size, newest


def _libraries() -> list[str]:
    """Folders that the child imports from: those of this process, but not its working folder."""
    root = str(Path(__file__).parents[3])
    here = os.getcwd()
    return [root, *(p for p in sys.path if os.path.isabs(p) and p not in (root, here))]


def _environment(folder: str) -> dict[str, str]:
    """Nothing of the user's environment but what the system needs to start a process."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **kept,
        **dict.fromkeys(threads, "1"),
        "HOME": folder,
        "TMPDIR": folder,
        "HDF5_PLUGIN_PATH": folder,
        "HDF5_PLUGIN_PRELOAD": "::",
        "HDF5_USE_FILE_LOCKING": "FALSE",
    }


def _ask_child(paths: Sequence[Path]) -> tuple[list[Verdict | None], bool]:
    """Verdicts of one child, up to the file that it broke at, and whether it broke."""
    request = {"files": [os.path.abspath(path) for path in paths], "libraries": _libraries()}
    answers: queue.Queue[str] = queue.Queue()
    verdicts: list[Verdict | None] = []
    with tempfile.TemporaryDirectory(prefix="pdefm-probe-") as empty:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(empty),
            cwd=empty,
            text=True,
            start_new_session=True,
        )
        listener = threading.Thread(target=_exchange, args=(child, request, answers), daemon=True)
        listener.start()
        try:
            for path in paths:
                line = _next(answers)
                if not line:
                    verdicts.append(_lost(path, child, line))
                    return verdicts, True
                refused = json.loads(line).get("refused")
                verdicts.append(Verdict(path, **refused) if refused else None)
        finally:
            child.kill()
            child.wait()
            listener.join()
    return verdicts, False


def _exchange(
    child: "subprocess.Popen[str]", request: dict[str, object], answers: "queue.Queue[str]"
) -> None:
    """Send the request and collect the lines; an empty one says that the child has ended."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child.stdin as stdin:
            stdin.write(json.dumps(request) + "\n")
    except OSError:
        answers.put("")
    with child.stdout as stdout:
        for line in stdout:
            answers.put(line)
    answers.put("")


def _next(answers: "queue.Queue[str]") -> str | None:
    """The next line, empty at the child's end, ``None`` if it does not come in time."""
    try:
        return answers.get(timeout=WALL_SECONDS)
    except queue.Empty:
        return None


def _lost(path: Path, child: "subprocess.Popen[str]", line: str | None) -> Verdict:
    """The verdict on the file at which the child broke."""
    advice = "The file is damaged or made to harm; download or copy it again"
    if line is None:
        return Verdict(
            path, "cannot be looked into, the reader hangs", f"{WALL_SECONDS:g} s", advice
        )
    child.wait()
    if child.returncode > 0:
        raise EnvironmentFault(
            "the process that looks into files of unknown origin does not start",
            got=f"status {child.returncode} of {sys.executable}",
            do="Check the installation of pdefm, or pass --trust if you know who made the files",
        )
    if -child.returncode == getattr(signal, "SIGXCPU", None):
        return Verdict(
            path, "cannot be looked into, the reader hangs", f"{CPU_SECONDS} s of work", advice
        )
    return Verdict(
        path, "cannot be looked into, the reader crashed", f"status {child.returncode}", advice
    )
