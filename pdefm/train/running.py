"""A whole run: step, log, validate, save, until the recipe's last step or a signal."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pdefm.errors import EnvironmentFault
from pdefm.progress import progress
from pdefm.train import ranks
from pdefm.train.best import best_step
from pdefm.train.journal import read_metrics
from pdefm.train.loop import _Loop
from pdefm.train.session import Session
from pdefm.train.signals import deferred_signals, received, stopped
from pdefm.train.validation import Interrupted, validation_errors


def run_session(session: Session) -> dict[str, Any]:
    """Train to the last step, from the last committed checkpoint if there is one.

    Returns:
        ``step``, ``validation`` of the end, ``seconds`` of this call, ``resumed_from``.

    Raises:
        NumericalError: Loss or gradient left the finite numbers.
        EnvironmentFault: A checkpoint or the journal cannot be written, or memory ran out.
        Preempted: A signal asked the run to stop; its checkpoint is saved.
    """
    section, engine = session.recipe.train, session.engine
    start = time.perf_counter()
    session.trainee.model.train()
    with deferred_signals():
        loop = _Loop(session)
        resumed_from = loop.step
        try:
            with (
                progress(
                    session.trainee.title, section.max_steps, done=loop.step, show=engine.is_main
                ) as advance,
                _explained(session),
            ):
                signal_number = _train(loop, advance)
        finally:
            loop.close()
        if signal_number:
            loop.journal.event(loop.step, "stopped", signal=signal_number)
            engine.close()
            raise stopped(signal_number, loop.step)
        errors = loop.errors or _final_errors(loop)
        lines = read_metrics(session.run_folder) if engine.is_main else []
        best = best_step(lines, section.save_steps, section.max_steps)
    engine.close()
    return {
        "step": loop.step,
        **({"best_step": best[0]} if best else {}),
        "validation": errors,
        "seconds": time.perf_counter() - start,
        "resumed_from": resumed_from,
    }


def _train(loop: _Loop, advance: Callable[..., None]) -> int:
    """All steps; returns the number of the signal that ended them early, or 0."""
    section, device = loop.session.recipe.train, loop.session.engine.device
    shown: dict[str, float] = {}

    def signal_number() -> int:
        return ranks.largest(received(), device)

    if loop.validation_due():  # a signal came in its place
        _validate(loop, signal_number)
    loop.keep_best()  # a kill may have come before
    stop = loop.is_stale()
    while loop.step < section.max_steps and not stop:
        before = loop.step
        totals, norm = loop.train_step()
        if loop.step <= before:  # rewound
            advance(loop.step - before)
            continue
        last = loop.step == section.max_steps
        if (loop.step % section.logging_steps == 0 or last) and math.isfinite(norm):
            shown |= loop.log(totals, norm)
        asked = signal_number()
        if not asked and (loop.step % section.eval_steps == 0 or last):
            asked = _validate(loop, signal_number)
            stop = loop.is_stale()
            if loop.errors:
                shown["validation"] = sum(loop.errors.values()) / len(loop.errors)
        if asked or loop.step % section.save_steps == 0 or last or stop:
            loop.save()
            loop.keep_best()
            asked = asked or (0 if last else signal_number())  # it may come during the save
        if asked:
            return asked
        if stop:
            loop.journal.event(loop.step, "stopped early")
        advance(1, **shown)
    return 0


def _validate(loop: _Loop, signal_number: Callable[[], int]) -> int:
    """Validate unless a signal comes; returns its number, or 0."""
    asked = 0

    def is_asked() -> bool:
        nonlocal asked
        asked = signal_number()
        return bool(asked)

    try:
        loop.validate(is_asked)
    except Interrupted:
        loop.errors = {}
    return asked


def _final_errors(loop: _Loop) -> dict[str, float]:
    session = loop.session
    with loop.averaged():
        return validation_errors(
            session.engine.unwrap(loop.model),
            session.trainee.task,
            session.validation,
            session.engine.device,
        )


@contextmanager
def _explained(session: Session) -> Iterator[None]:
    """No memory, or a run folder that is gone, in a user's words."""
    try:
        yield
    except EnvironmentFault:
        if session.lock is not None:
            session.lock.check()
        raise
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error).partition("\n")[0]
        if type(error) is RuntimeError and "allocate memory" not in text:
            raise
        raise EnvironmentFault(
            f"out of memory with train.micro_batch_size {session.recipe.train.micro_batch_size}",
            got=text or type(error).__name__,
            do="Halve train.micro_batch_size (the global batch stays; checkpoints are intact), or"
            " set train.gradient_checkpointing",
        ) from error
