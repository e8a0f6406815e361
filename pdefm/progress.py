"""Visible progress of long work: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_SECONDS = 10.0


class Advance(Protocol):
    """Reports ``count`` finished units and the numbers to show beside the bar."""

    def __call__(self, count: int = 1, **numbers: float) -> None:
        """Count further units."""


def _format(numbers: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())


@contextmanager
def _bar(title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, numbers="")

        def advance(count: int = 1, **numbers: float) -> None:
            bar.advance(task, count)
            if numbers:
                bar.update(task, numbers=_format(numbers))

        yield advance


@contextmanager
def _lines(title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    count_done, first = done, done

    def advance(count: int = 1, **numbers: float) -> None:
        nonlocal count_done, last
        count_done += count
        now = time.monotonic()
        if now - last < LINE_SECONDS and count_done < total:
            return
        last = now
        rate = (count_done - first) / max(now - start, 1e-9)
        left = (total - count_done) / max(rate, 1e-9)
        text = f"{title}: {count_done}/{total} {unit}, {rate:.3g}/s, {left:.0f} s left"
        sys.stderr.write(f"{text}  {_format(numbers)}".rstrip() + "\n")
        sys.stderr.flush()

    yield advance


@contextmanager
def progress(
    title: str, total: int, *, unit: str = "steps", done: int = 0, show: bool = True
) -> Iterator[Advance]:
    """Show how far a loop is, on stderr.

    Args:
        title: What is being done.
        total: Units in all.
        unit: What is counted.
        done: Units that an earlier run finished.
        show: False makes it silent (ranks other than the first).

    Yields:
        A function to call after each unit.
    """
    if not show:
        yield lambda count=1, **numbers: None
    elif sys.stderr.isatty():
        with _bar(title, total, unit, done) as advance:
            yield advance
    else:
        with _lines(title, total, unit, done) as advance:
            yield advance


def duration(seconds: float) -> str:
    """``90 s``, ``12 min`` or ``3.1 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
