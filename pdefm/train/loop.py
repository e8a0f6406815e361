"""The training loop: one optimizer step after another, until the recipe's last."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pdefm.data.batch import Batch
from pdefm.data.mixture import MixtureDataset, StepSampler
from pdefm.progress import progress
from pdefm.train.checkpoint import (
    committed_checkpoints,
    latest_checkpoint,
    load_state,
    save_checkpoint,
)
from pdefm.train.data import noise_generator
from pdefm.train.ema import ExponentialAverage
from pdefm.train.guards import Guard
from pdefm.train.journal import Journal
from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.session import Session
from pdefm.train.validation import mean_loss, validation_errors


class _Loop:
    """State of a running session.

    ``step`` counts optimizer steps. ``offset`` is how many steps' worth of batches rewinds have
    left out, so that step ``n`` trains on the batches and the noise of position ``n + offset``.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.step = self.offset = 0
        self.guard = Guard(session.recipe.train.guard)
        found = latest_checkpoint(session.run_folder)
        if found is not None:
            session.trainee.read(found[1] / "model")
        optimizer = make_optimizer(session.trainee.model, session.recipe.train)
        decay = session.recipe.train.ema_decay
        self.average = None if decay is None else ExponentialAverage(session.trainee.model, decay)
        self.model, self.optimizer = session.engine.prepare(session.trainee.model, optimizer)
        if found is not None:
            self._restore(found[1])
        self.journal = Journal(session.run_folder, session.engine, self.step)
        self.batches = self._open_batches()
        self.waited = 0.0
        self.logged_at = time.perf_counter()
        self.logged_step = self.step

    def _restore(self, folder: Path) -> None:
        """Take over the private state of a checkpoint whose model has been read."""
        state = load_state(folder)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.offset = state["step"], state["offset"]
        self.guard.restore(state["guard"])
        if self.average is not None:
            self.average.restore(self.session.trainee.model, state["average"])

    def _open_batches(self) -> Iterator[Batch]:
        session = self.session
        dataset = MixtureDataset(
            session.mixture, rank=session.engine.rank, world_size=session.engine.world_size
        )
        first, last = self.step + self.offset, session.recipe.train.max_steps + self.offset
        loader = DataLoader(
            dataset,
            batch_size=None,
            sampler=StepSampler(dataset, first, last),
            num_workers=session.recipe.data.num_workers,
        )
        return iter(loader)

    def _next_batch(self) -> Batch:
        before = time.perf_counter()
        batch = next(self.batches).to(self.session.engine.device)
        self.waited += time.perf_counter() - before
        return batch

    def train_step(self) -> tuple[Tensor, float]:
        """One optimizer step, or what the guard decides instead.

        Returns:
            Loss sum and count per source over all ranks ``[source, 2]``, and the gradient norm.
        """
        session, engine = self.session, self.session.engine
        rate = learning_rate(session.recipe.train, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        totals = engine.gather(self._accumulate()[None]).sum(0).cpu().double()
        norm = engine.clip(self.model)
        verdict, reason = self.guard.judge(self.step + 1, mean_loss(totals), norm)
        if reason:
            self._note(verdict, reason)
        if verdict == "rewind" and self._rewind():
            return totals, norm
        if verdict == "apply":
            self.optimizer.step()
            if self.average is not None:
                self.average.update(session.trainee.model)
        self.step += 1
        return totals, norm

    def _accumulate(self) -> Tensor:
        """Gradients of this rank's micro-batches; returns loss sum and count per source."""
        session, engine, task = self.session, self.session.engine, self.session.trainee.task
        names = [source.name for source in session.mixture.sources]
        losses = torch.zeros(len(names), 2, device=engine.device)
        turns = engine.num_slots // engine.world_size
        task.progress = self.step / session.recipe.train.max_steps
        for turn in range(turns):
            batch = self._next_batch()
            slot = engine.rank + turn * engine.world_size
            generator = noise_generator(session.recipe.seed, self.step + self.offset, slot)
            prepared = task.prepare(batch, generator)
            with engine.accumulate(self.model, last=turn == turns - 1):
                prediction = task.predict(self.model, prepared)
                loss = task.loss(prediction, prepared)
                engine.backward(loss / turns)
            losses[names.index(batch.source)] += torch.stack(
                [loss.detach().float(), torch.ones((), device=engine.device)]
            )
        return losses

    def _note(self, verdict: str, reason: str) -> None:
        """Write down what was decided and which windows the step was made of."""
        mixture, position = self.session.mixture, self.step + self.offset
        slots = [mixture.address(position, slot) for slot in range(mixture.num_slots)]
        self.journal.event(
            self.step + 1,
            verdict if verdict != "apply" else "spike",
            reason=reason,
            position=position,
            batches=[[mixture.sources[source].name, windows] for source, windows in slots],
        )

    def _rewind(self) -> bool:
        """Go back to a checkpoint and leave out the batches from the spike on.

        Returns:
            False if no checkpoint lies so far back; the step is skipped then.
        """
        section, session = self.session.recipe.train.guard, self.session
        last = self.step - section.rewind_steps
        older = [pair for pair in committed_checkpoints(session.run_folder) if pair[0] <= last]
        if not older:
            self.journal.event(self.step + 1, "skip", reason="no checkpoint lies far enough back")
            return False
        position = self.step + self.offset + section.rewind_skip
        rewinds = self.guard.rewinds
        session.trainee.read(older[-1][1] / "model")
        self._restore(older[-1][1])
        self.guard.rewinds = rewinds
        self.offset = position - self.step
        self.journal.event(self.step, "rewound", offset=self.offset)
        self.batches = self._open_batches()
        self.logged_step = min(self.logged_step, self.step)
        return True

    def log(self, totals: Tensor, norm: float) -> float:
        """Write a training line; returns the loss of this step over all ranks."""
        session = self.session
        loss = mean_loss(totals)
        now = time.perf_counter()
        elapsed, steps = now - self.logged_at, self.step - self.logged_step
        batch = session.recipe.train.global_batch_size
        self.journal.write(
            {
                "step": self.step,
                "loss": loss,
                "loss_hex": loss.hex(),
                "learning_rate": learning_rate(session.recipe.train, self.step - 1),
                "grad_norm": norm,
                "samples_seen": self.step * batch,
                "samples_per_second": steps * batch / elapsed,
                "data_wait_fraction": min(self.waited / elapsed, 1.0),
                "shares": session.mixture.shares(self.step),
                "source_losses": {
                    source.name: float(total / count)
                    for source, (total, count) in zip(
                        session.mixture.sources, totals.tolist(), strict=True
                    )
                    if count
                },
            }
        )
        self.logged_at, self.logged_step, self.waited = now, self.step, 0.0
        return loss

    def validate(self) -> dict[str, float]:
        """One-step relative L2 of every source, without noise; changes nothing in training."""
        before = time.perf_counter()
        session = self.session
        model = session.engine.unwrap(self.model)
        model.eval()
        with self._averaged():
            errors = validation_errors(
                model, session.trainee.task, session.validation, session.engine.device
            )
        model.train()
        self.journal.write({"step": self.step, "validation": errors})
        self.logged_at += time.perf_counter() - before
        return errors

    def _averaged(self) -> AbstractContextManager[Any]:
        """Inside the block the model has the weights that are published."""
        average = self.average
        return nullcontext() if average is None else average.applied(self.session.trainee.model)

    def save(self) -> None:
        """Commit a checkpoint; all ranks wait for it."""
        session = self.session
        before = time.perf_counter()
        session.engine.wait()
        if session.engine.is_main:
            average, model = self.average, session.trainee.model
            state = {
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "offset": self.offset,
                "guard": self.guard.state(),
                "average": None if average is None else average.state(model),
            }
            with self._averaged():
                save_checkpoint(
                    session.run_folder,
                    self.step,
                    session.trainee.write,
                    state,
                    session.recipe.train.save_total_limit,
                )
        session.engine.wait()
        self.logged_at += time.perf_counter() - before


def run_session(session: Session) -> dict[str, Any]:
    """Train to the last step, from the last committed checkpoint if there is one.

    Returns:
        ``step``, ``validation`` of the end, ``seconds`` of this call, ``resumed_from``.

    Raises:
        NumericalError: Loss or gradient left the finite numbers.
    """
    section, engine = session.recipe.train, session.engine
    start = time.perf_counter()
    session.trainee.model.train()
    loop = _Loop(session)
    resumed_from = loop.step
    errors: dict[str, float] = {}
    shown: dict[str, float] = {}
    with progress(
        session.trainee.title, section.max_steps, done=loop.step, show=engine.is_main
    ) as advance:
        while loop.step < section.max_steps:
            before = loop.step
            totals, norm = loop.train_step()
            if loop.step <= before:  # rewound
                advance(loop.step - before)
                continue
            last = loop.step == section.max_steps
            if (loop.step % section.logging_steps == 0 or last) and math.isfinite(norm):
                shown["loss"] = loop.log(totals, norm)
            if loop.step % section.eval_steps == 0 or last:
                errors = loop.validate()
                shown["validation"] = sum(errors.values()) / len(errors)
            if loop.step % section.save_steps == 0 or last:
                loop.save()
            advance(1, **shown)
    if not errors:
        errors = validation_errors(
            session.trainee.model, session.trainee.task, session.validation, engine.device
        )
    engine.close()
    return {
        "step": loop.step,
        "validation": errors,
        "seconds": time.perf_counter() - start,
        "resumed_from": resumed_from,
    }
