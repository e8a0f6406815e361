"""Where a number came from: commit, versions, hardware, command."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "pdefm",
    "torch",
    "transformers",
    "accelerate",
    "deepspeed",
    "peft",
    "safetensors",
    "numpy",
    "h5py",
)


def package_versions() -> dict[str, str]:
    """Installed versions of what a result can depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Commit of the source tree that pdefm runs from, ``None`` for an installed wheel.

    ``+changes`` is appended when tracked files differ from the commit.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True
        )
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
        )
    except OSError:  # no git on this machine
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def hardware() -> dict[str, Any]:
    """Processor, cores, threads and accelerators."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def command_line() -> str:
    """The command as typed, without the path of the interpreter."""
    return shlex.join(["pdefm", *sys.argv[1:]])


def provenance(seed: int) -> dict[str, Any]:
    """Everything a reader needs to run it again."""
    return {
        "command": command_line(),
        "seed": seed,
        "commit": commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "hardware": hardware(),
    }
