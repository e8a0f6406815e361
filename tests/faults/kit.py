"""Runs that can be killed a hundred times: one process imports everything once and then forks.

Each run is the command line itself, in a process of its own, with its own output; hooks change what
it does from inside. Nothing of it is known to the test process but files and an exit status.
"""

import ctypes
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from pdefm.config import dump_recipe
from pdefm.data.mixture import Mixture
from pdefm.train import loop, pretrain, running
from tests.tiny import tiny_recipe, write_sources

CONTEXT = multiprocessing.get_context("forkserver")
PRELOAD = ["tests.faults.kit", "accelerate", "pdefm.cli.app", "pdefm.models.loading"]
CONTEXT.set_forkserver_preload(PRELOAD)
assert running
assert pretrain

Hook = Callable[[], None]
_marks: Connection | None = None
_at_the_end: list[Hook] = []


@dataclass
class Run:
    """One process of a run.

    Args:
        process: To wait for and to kill.
        marks: Words that its hooks say.
        log: What it printed.
    """

    process: BaseProcess
    marks: Connection
    log: Path

    def wait_for(self, word: str, timeout: float = 60) -> str:
        """The first mark that begins with ``word``."""
        end = time.monotonic() + timeout
        while self.marks.poll(max(0.0, end - time.monotonic())):
            if (mark := self.marks.recv()).startswith(word):
                return mark
        raise AssertionError(f"no mark {word}: {self.log.read_text()}")

    def all_marks(self) -> list[str]:
        """What was said and not yet heard, after the process has ended."""
        found = []
        try:
            while self.marks.poll():
                found.append(self.marks.recv())
        except EOFError:
            pass
        return found

    def send(self, number: int) -> None:
        """A signal."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def end(self, timeout: float = 100) -> int:
        """Wait; returns the exit status, negative for a signal."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running: {self.log.read_text()}")
        return self.process.exitcode

    @property
    def message(self) -> str:
        """Its last line on stderr that is ours."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("pdefm: ")]
        return lines[-1] if lines else self.log.read_text()


def _main(
    arguments: list[str],
    environment: dict[str, str],
    log: Path,
    marks: Connection,
    hooks: Sequence[Hook],
) -> None:
    global _marks
    _marks = marks
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # as in a process that nobody forked
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    torch.set_num_threads(1)
    for hook in hooks:
        hook()
    sys.argv = ["pdefm", *arguments]
    from pdefm.cli import main

    try:
        main()
    finally:
        for call in _at_the_end:
            call()


def start(
    recipe: Path,
    out: Path,
    *hooks: Hook,
    options: Sequence[str] = (),
    log: Path | None = None,
    **env: str,
) -> Run:
    """``pdefm pretrain RECIPE --out OUT OPTIONS`` in a process of its own."""
    here, there = CONTEXT.Pipe(duplex=False)
    log = log or out.with_name(f"{out.name}-{env.get('RANK', '0')}.log")
    log.unlink(missing_ok=True)
    arguments = ["pretrain", str(recipe), "--out", str(out), *options]
    process = CONTEXT.Process(target=_main, args=(arguments, env, log, there, hooks))
    process.start()
    there.close()
    return Run(process, here, log)


def start_ranks(recipe: Path, out: Path, *hooks: Hook, world_size: int = 2) -> list[Run]:
    """The same as a launcher starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    numbers = [str(rank) for rank in range(world_size)]
    return [start(recipe, out, *hooks, RANK=n, LOCAL_RANK=n, **common) for n in numbers]


def prepare(folder: Path, **train: Any) -> Path:
    """Two small sources and a recipe that trains on them; returns the recipe's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(dump_recipe(tiny_recipe(write_sources(folder), **train)))
    return path


def mark(word: str) -> None:
    """Tell the process that started the run."""
    if _marks is not None:
        _marks.send(word)


# Hooks: each changes the process that it is called in, which is then thrown away.


def announce() -> None:
    """Say ``step N`` before every step, ``saving N`` and ``saved N`` around every checkpoint."""
    step, save, validate = loop._Loop.train_step, loop._Loop.save, loop._Loop.validate

    def train_step(self: loop._Loop) -> Any:
        mark(f"step {self.step + 1}")
        return step(self)

    def noted_save(self: loop._Loop) -> None:
        mark(f"saving {self.step}")
        save(self)
        mark(f"saved {self.step}")

    def noted_validate(self: loop._Loop, *arguments: Any) -> None:
        mark(f"validating {self.step}")
        validate(self, *arguments)

    loop._Loop.train_step, loop._Loop.save = train_step, noted_save
    loop._Loop.validate = noted_validate


def announce_resume() -> None:
    """Say ``resumed N`` when a run begins."""
    begin = running._Loop.__init__

    def init(self: loop._Loop, *arguments: Any) -> None:
        begin(self, *arguments)
        mark(f"resumed {self.step}")

    loop._Loop.__init__ = init


def slow(seconds: float, where: str = "step") -> Hook:
    """Take longer in every step, save, validation batch or data wait."""
    return partial(_slow, seconds, where)


def _slow(seconds: float, where: str) -> None:
    owner, name = {
        "step": (loop._Loop, "train_step"),
        "save": (loop._Loop, "_write"),
        "data": (loop._Loop, "_next_batch"),
        "eval": (loop, "validation_errors"),
    }[where]
    call = getattr(owner, name)

    def slower(*arguments: Any, **named: Any) -> Any:
        if where == "eval":
            interrupted = arguments[-1]
            for _ in range(int(seconds / 0.1)):
                time.sleep(0.1)
                if interrupted():
                    break
        else:
            time.sleep(seconds)
        return call(*arguments, **named)

    setattr(owner, name, slower)


def die_at(step: int) -> Hook:
    """Die as on a lost machine in a training step."""
    return partial(_send_at, step, signal.SIGKILL)


def hang_at(step: int) -> Hook:
    """Stand still from a training step on."""
    return partial(_send_at, step, signal.SIGSTOP)


def _send_at(step: int, number: int) -> None:
    run = loop._Loop.train_step

    def train_step(self: loop._Loop) -> Any:
        if self.step + 1 == step:
            os.kill(os.getpid(), number)
        return run(self)

    loop._Loop.train_step = train_step


def note_samples(path: Path) -> Hook:
    """Append a line ``[step, slot, source, windows]`` to a file for every micro-batch."""
    return partial(_note_samples, path)


def _note_samples(path: Path) -> None:
    load = Mixture.load
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def noted(self: Mixture, step: int, slot: int) -> Any:
        source, windows = self.address(step, slot)
        os.write(file, f"{json.dumps([step, slot, source, windows])}\n".encode())
        return load(self, step, slot)

    Mixture.load = noted


def samples(path: Path) -> list[list[Any]]:
    """What :func:`note_samples` wrote, each micro-batch as it was read last, in their order."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for _, line in sorted({(line[0], line[1]): line for line in lines}.items())]


def on_rank(rank: int, hook: Hook) -> Hook:
    """A hook for one process only."""
    return partial(_on_rank, rank, hook)


def _on_rank(rank: int, hook: Hook) -> None:
    if os.environ.get("RANK") == str(rank):
        hook()


def tiny_disk(place: Path, kibibytes: int = 0, options: str = "rw") -> Hook:
    """Put a small disk of its own at ``place``; what is on it is copied to ``PLACE-copy``."""
    return partial(_tiny_disk, place, kibibytes, options)


def _tiny_disk(place: Path, kibibytes: int, options: str) -> None:
    new_mounts, new_users = 0x00020000, 0x10000000
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(new_mounts | (new_users if user else 0)):
        mark("no namespaces")
        os._exit(0)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    place.mkdir(parents=True, exist_ok=True)
    size = f",size={kibibytes}k" if kibibytes else ""
    private = subprocess.run(["mount", "--make-rprivate", "/"], check=False)
    mount = ["mount", "-t", "tmpfs", "-o", f"{options}{size}", "tmpfs", str(place)]
    if private.returncode or subprocess.run(mount, check=False).returncode:
        mark("no namespaces")
        os._exit(0)
    mark("mounted")
    copy = place.with_name(f"{place.name}-copy")
    _at_the_end.append(lambda: shutil.copytree(place, copy, dirs_exist_ok=True) and None)
