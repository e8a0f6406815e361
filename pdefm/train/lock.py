"""One run at a time in a run folder.

The lock belongs to the process: the kernel releases it however the process ends, and processes that
read data ahead do not inherit it.
"""

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pdefm.errors import EnvironmentFault

LOCK_NAME = "run.lock"


class RunLock:
    """Held from before the first write into a run folder to the end of the run.

    Args:
        folder: Run folder; made if it is missing.

    Raises:
        EnvironmentFault: Another process holds it, which is named; or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LOCK_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write into {folder}", got=error.strerror, do="Choose another --out"
            ) from error
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = _holder(self.file)
            self.file.close()
            raise EnvironmentFault(
                f"{folder} is in use by another run",
                got=holder,
                do="Wait for it, stop it, or choose another --out",
            ) from None
        except OSError as error:
            self.file.close()
            raise EnvironmentFault(
                f"cannot lock {self.path}",
                got=error.strerror,
                do="Put --out on a file system with locks (NFS: mount it with its lock service)",
            ) from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        self.file.flush()

    def check(self) -> None:
        """Refuse to go on in a folder that was removed or replaced meanwhile.

        Raises:
            EnvironmentFault: The lock file is not where it was.
        """
        own = os.fstat(self.file.fileno())
        try:
            there = self.path.stat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
            raise EnvironmentFault(
                f"{self.folder} was removed or replaced while its run was writing to it",
                do="Put it back, or start anew; nothing was written elsewhere",
            )

    def release(self) -> None:
        """Let the next run in; the file stays, because removing it would let two in at once."""
        self.file.close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "an unknown process"
