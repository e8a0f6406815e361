"""What goes wrong when a checkpoint is written, in a user's words."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdefm.errors import EnvironmentFault

FULL = {errno.ENOSPC, errno.EDQUOT}
# What PyTorch's and safetensors' writers say instead of an errno.
WRITER_WORDS = ("PytorchStreamWriter", "unexpected pos", "No space left", "I/O error", "os error")
MEBIBYTE = 2**20


def folder_size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_free_space(out: Path, previous: Path | None) -> None:
    """Refuse to begin a checkpoint that will not fit; the last one tells its size.

    Raises:
        EnvironmentFault: Says how much is needed and how much is free.
    """
    if previous is None:
        return
    needed, free = folder_size(previous), _free(out)
    if free < needed:
        raise _full(out, previous, f"{free / MEBIBYTE:.1f} MiB free of {needed / MEBIBYTE:.1f} MiB")


@contextmanager
def explained_write_errors(out: Path, previous: Path | None) -> Iterator[None]:
    """Turn errors of writing ``out`` into one line that says that ``previous`` is intact.

    Raises:
        EnvironmentFault: The disk is full, or refuses the write.
    """
    try:
        yield
    except EnvironmentFault as error:
        cause = error.__cause__
        if isinstance(cause, OSError):
            raise _explained(out, previous, cause) from error
        raise
    except OSError as error:
        raise _explained(out, previous, error) from error
    except Exception as error:
        if any(word in str(error) for word in WRITER_WORDS):
            raise _explained(out, previous, error) from error
        raise


def _explained(out: Path, previous: Path | None, error: Exception) -> EnvironmentFault:
    full = isinstance(error, OSError) and error.errno in FULL
    if full or "No space left" in str(error) or _free(out) < MEBIBYTE:
        return _full(out, previous, f"{_free(out) / MEBIBYTE:.1f} MiB free")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    named = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    return EnvironmentFault(
        f"cannot write checkpoint {out.name} in {out.parent}",
        got=f"{reason}{named}",
        do=f"{_intact(previous)} Mend the disk and start again",
    )


def _full(out: Path, previous: Path | None, got: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the disk is full: checkpoint {out.name} does not fit in {out.parent}",
        got=got,
        do=f"{_intact(previous)} Free some space and start again",
    )


def _intact(previous: Path | None) -> str:
    return "There is no older one." if previous is None else f"{previous.name} is intact."


def _free(out: Path) -> int:
    """Free bytes on the disk that ``out`` is on, or would be."""
    place = next(folder for folder in out.parents if folder.exists())
    return shutil.disk_usage(place).free
