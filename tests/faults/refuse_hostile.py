"""Opens files in a fresh process, under the eyes of the kernel and of Python; prints JSON.

Arguments: a folder of secrets, then the files. An audit hook sees what Python opens, writes and
connects to in this process; inotify sees every opening of the secrets by any process and any
library. The answer has a line a file: message, seconds, and what was seen.
"""

import ctypes
import json
import os
import struct
import sys
import time
from pathlib import Path

IN_OPEN, IN_ACCESS, IN_CREATE, IN_MODIFY = 0x20, 0x1, 0x100, 0x2
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = ("socket.connect", "socket.bind", "os.system", "os.exec", "os.remove", "os.rename")

seen: list[str] = []
allowed: set[str] = set()


def hook(event, arguments):
    """Note what opening data has no need of."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        # The pipes of the child are opened by number; the null device takes its complaints.
        if (arguments[2] or 0) & WRITING and path != os.devnull:
            seen.append(f"writes {path}")
        elif "/hostile/" in path and not any(path.startswith(place) for place in allowed):
            seen.append(f"opens {path}")
    elif event.startswith(FORBIDDEN):
        seen.append(f"{event} {arguments}")


def main(secrets, files):
    """Open each file and tell."""
    from pdefm.data.formats import FORMATS
    from pdefm.data.open import open_trajectories
    from pdefm.errors import PdefmError

    for name in FORMATS:  # imports happen before anybody watches
        FORMATS[name]
    kernel = ctypes.CDLL(None)
    watch = kernel.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    number = kernel.inotify_add_watch(
        watch, os.fsencode(secrets), IN_OPEN | IN_ACCESS | IN_CREATE | IN_MODIFY
    )
    assert number >= 0
    sys.addaudithook(hook)
    for name in files:
        seen.clear()
        allowed.clear()
        allowed.add(str(Path(name).absolute()))
        start = time.monotonic()
        line = {"file": name, "status": None, "message": None}
        try:
            open_trajectories(name, axes="T X")
        except PdefmError as error:
            line |= {"status": error.exit_status, "message": str(error)}
        except Exception as error:
            line |= {"message": f"{type(error).__name__}: {error}"}
        line["seconds"] = time.monotonic() - start
        line["seen"] = seen + [f"secret: {event}" for event in events(watch)]
        sys.stdout.write(json.dumps(line) + "\n")


def events(watch):
    """Names of the secrets that something has touched."""
    try:
        content = os.read(watch, 65_536)
    except BlockingIOError:
        return
    while content:
        _, mask, _, length = struct.unpack("iIII", content[:16])
        yield f"{content[16 : 16 + length].rstrip(bytes(1)).decode()} mask {mask:#x}"
        content = content[16 + length :]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
