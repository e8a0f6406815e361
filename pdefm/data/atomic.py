"""A large file, written piece by piece, that is there completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pdefm.errors import EnvironmentFault


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` if the block succeeds.

    Missing folders are made. If the block fails, nothing stays.

    Raises:
        EnvironmentFault: The disk is full, the folder may not be written, and the like.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except EnvironmentFault:
        raise
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write {path}",
            got=error.strerror or error,
            do="Check free disk space and permissions",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
