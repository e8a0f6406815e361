"""SIGTERM, SIGUSR1 and SIGINT end a run in order: step, checkpoint, exit status.

Before the first step nothing is worth saving, and the run ends at once. From then on a signal is a
request that the loop looks at between steps. A second signal ends the process where it stands.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pdefm.errors import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
SAME_SECONDS = 2.0
"""A launcher and the scheduler often pass on one and the same signal: so close together they count
as one."""


class _Received:
    """What came so far; of the process, as signals are."""

    number = 0
    at = 0.0
    deferred = False

    def reset(self) -> None:
        """Forget."""
        self.number, self.deferred = 0, False

    def handle(self, number: int, _: FrameType | None) -> None:
        """The handler of all three signals."""
        now = time.monotonic()
        if self.number:
            if now - self.at > SAME_SECONDS:
                os._exit(128 + number)
            return
        self.number, self.at = number, now
        if not self.deferred:
            raise stopped(number)
        name = signal.Signals(number).name
        text = f"pdefm: {name}: saving after this step; once more to stop at once\n"
        os.write(2, text.encode())  # in a handler, the buffers of sys.stderr may be in use


_received = _Received()


def stopped(number: int, step: int | None = None) -> BaseException:
    """The exception that ends a run after a signal: status 75, and 130 for an interrupt.

    Args:
        number: Signal.
        step: Of the checkpoint that was saved for it; ``None`` if there was nothing to save.
    """
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    saved = "before the first step" if step is None else f"checkpoint of step {step} is saved"
    return Preempted(
        f"stopped by {signal.Signals(number).name}: {saved}", do="The same command goes on"
    )


def received() -> int:
    """Number of the signal that asked this process to stop, or 0."""
    return _received.number


@contextmanager
def handled_signals() -> Iterator[None]:
    """Handle the signals inside the block; outside the main thread, Python allows no handlers."""
    try:
        before = {number: signal.signal(number, _received.handle) for number in SIGNALS}
    except ValueError:
        yield
        return
    _received.reset()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.reset()


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Inside the block a signal only asks; see :func:`received`."""
    _received.deferred = True
    try:
        yield
    finally:
        _received.deferred = False


def ignore_signals(*_: Any) -> None:
    """For processes that read data ahead: the run needs them until it has ended its step."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
