"""The training loop: one optimizer step, and what is written about it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pdefm.data.batch import Batch
from pdefm.data.mixture import MixtureDataset, StepSampler
from pdefm.errors import NumericalError
from pdefm.files import sync_path, write_json_atomic
from pdefm.train import ranks
from pdefm.train.best import is_stale, keep_best
from pdefm.train.checkpoint import (
    STATE_NAME,
    Retention,
    committed_checkpoints,
    discard_after,
    load_state,
    save_checkpoint,
)
from pdefm.train.data import noise_generator
from pdefm.train.ema import ExponentialAverage
from pdefm.train.guards import Guard
from pdefm.train.journal import Journal
from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.resume import IDENTITY_NAME, find_resume
from pdefm.train.rng import load_rng, save_rng
from pdefm.train.session import Session
from pdefm.train.signals import ignore_signals
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
        self.errors: dict[str, float] = {}
        found = find_resume(session)
        if found.folder is not None:
            session.trainee.read(found.folder / "model")
        optimizer = make_optimizer(session.trainee.model, session.recipe.train)
        decay = session.recipe.train.ema_decay
        self.average = None if decay is None else ExponentialAverage(session.trainee.model, decay)
        self.model, self.optimizer = session.engine.prepare(session.trainee.model, optimizer)
        self.journal = Journal(session.run_folder, session.engine, found.step)
        if found.folder is not None or found.notes:
            self.journal.event(found.step, "resumed", notes=found.notes)
        if found.folder is not None:
            self._restore(found.folder)
        self.batches = self._open_batches()
        if found.folder is not None:
            self._restore_rng(found.folder, found.written_by)
        self.waited = 0.0
        self.logged_at = time.perf_counter()
        self.logged_step = self.step

    def _restore(self, folder: Path) -> None:
        """Take over the private state of a checkpoint whose model has been read."""
        state = load_state(folder)
        self.step, self.offset = state["step"], state["offset"]
        self.guard.restore(state["guard"])
        if self.average is not None:
            self.average.restore(self.session.trainee.model, state["average"])
        engine = self.session.engine
        converted = engine.load_state(folder / "state", state, self.optimizer)
        if converted:
            self.journal.event(self.step, "converted", reason=converted)

    def _restore_rng(self, folder: Path, written_by: int) -> None:
        """Last of all, because opening the data draws a number.

        Of more processes than wrote it, the new ones keep what the seed decided: the resume says
        that it is not bitwise.
        """
        with ranks.together("restore the random numbers"):
            if self.session.engine.rank < written_by:
                load_rng(folder / "state", self.session.engine.rank)

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
            worker_init_fn=ignore_signals,
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
                loss = session.trainee.loss(task, prediction, prepared)
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
        if not session.engine.weights_are_sharded:
            session.trainee.read(older[-1][1] / "model")
        self._restore(older[-1][1])
        self.guard.rewinds = rewinds
        self.offset = position - self.step
        self.journal.event(self.step, "rewound", offset=self.offset)
        with ranks.together("remove later checkpoints"):
            if session.engine.is_main:
                discard_after(session.run_folder, self.step)
        self.batches = self._open_batches()
        self.logged_step = min(self.logged_step, self.step)
        return True

    def log(self, totals: Tensor, norm: float) -> dict[str, float]:
        """Write a training line; returns what of it the progress bar shows."""
        session = self.session
        loss = mean_loss(totals)
        now = time.perf_counter()
        elapsed, steps = now - self.logged_at, self.step - self.logged_step
        batch = session.recipe.train.global_batch_size
        speed, wait = steps * batch / elapsed, min(self.waited / elapsed, 1.0)
        self.journal.write(
            {
                "step": self.step,
                "loss": loss,
                "loss_hex": loss.hex(),
                "learning_rate": learning_rate(session.recipe.train, self.step - 1),
                "grad_norm": norm,
                "samples_seen": self.step * batch,
                "samples_per_second": speed,
                "data_wait_fraction": wait,
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
        return {"loss": loss, "samples/s": speed, "data wait": wait}

    def validation_due(self) -> bool:
        """True if a run that goes on still owes the validation of its step."""
        section, due = self.session.recipe.train, False
        if self.session.engine.is_main and self.step:
            last = self.step == section.max_steps
            due = last or self.step % section.eval_steps == 0
            due = due and not self.journal.has_validation(self.step)
        return ranks.from_main(due)

    def validate(self, interrupted: Callable[[], bool] | None = None) -> None:
        """Relative L2 of every source, without noise; changes nothing in training.

        Raises:
            Interrupted: ``interrupted`` said so between two batches; nothing is written.
        """
        before = time.perf_counter()
        session = self.session
        model = session.engine.unwrap(self.model)
        model.eval()
        measure = partial(validation_errors, model, session.trainee.task)
        device = session.engine.device
        try:
            with self.averaged():
                self.errors = measure(session.validation, device, interrupted)
                rolled_out = measure(session.rollouts, device, interrupted)
        finally:
            model.train()
        line: dict[str, Any] = {"step": self.step, "validation": self.errors}
        if rolled_out:
            line["validation_rollout"] = rolled_out
        self.journal.write(line)
        self.logged_at += time.perf_counter() - before

    def averaged(self) -> AbstractContextManager[Any]:
        """Inside the block the model has the weights that are published."""
        average = self.average
        return nullcontext() if average is None else average.applied(self.session.trainee.model)

    def save(self) -> None:
        """Commit a checkpoint; all ranks call it.

        Raises:
            EnvironmentFault: It cannot be written.
            NumericalError: A weight is not finite; the checkpoint is kept as ``bad-``.
        """
        before = time.perf_counter()
        session, section = self.session, self.session.recipe.train
        with ranks.together("use the run folder"):
            if session.lock is not None:
                session.lock.check()
            if session.engine.is_main and self.journal.path.exists():
                sync_path(self.journal.path)
        bad = ranks.largest(int(not self._is_finite()), session.engine.device) > 0
        name = f"bad-{self.step:06d}" if bad else None
        retention = Retention(section.save_total_limit, section.keep_every_steps)
        save_checkpoint(
            session.run_folder, self.step, partial(self._write, bad=bad), retention, name
        )
        if bad:
            raise NumericalError(
                f"the weights are not finite at step {self.step}",
                got=f"kept as checkpoints/{name}",
                do="Lower train.learning_rate; the checkpoint before is intact",
            )
        self.logged_at += time.perf_counter() - before

    def is_stale(self) -> bool:
        """True if the recipe's patience with the validations is over; all ranks call it."""
        session, stale = self.session, False
        patience = session.recipe.train.early_stopping_patience
        if session.engine.is_main:
            stale = is_stale(session.run_folder, patience)
        return False if patience is None else ranks.from_main(stale)

    def keep_best(self) -> None:
        """Keep the best checkpoint apart, if it is a new one; all ranks call it."""
        session = self.session
        with ranks.together("keep the best checkpoint"):
            if session.engine.is_main:
                keep_best(session.run_folder, session.recipe.train)

    def _write(self, folder: Path, *, bad: bool) -> None:
        """This rank's files of a checkpoint; of a bad one, nothing that could be published."""
        engine, average, model = self.session.engine, self.average, self.session.trainee.model
        state = engine.save_state(folder / "state", self.optimizer) | {
            "step": self.step,
            "offset": self.offset,
            "guard": self.guard.state(),
            "average": None if average is None else average.state(model),
        }
        save_rng(folder / "state", engine.rank)
        with self.averaged(), engine.whole() as module:
            if engine.is_main:
                if bad:
                    torch.save(module.state_dict(), folder / "state" / "weights.pt")
                else:
                    self.session.trainee.write(folder / "model", module)
                torch.save(state, folder / "state" / STATE_NAME)
                write_json_atomic(folder / "state" / IDENTITY_NAME, self.session.made_with)

    def _is_finite(self) -> bool:
        """Of the weights that this rank holds."""
        weights = (weight.detach() for weight in self.session.trainee.model.parameters())
        local = (getattr(weight, "to_local", lambda own=weight: own)() for weight in weights)
        return all(bool(torch.isfinite(weight).all()) for weight in local)

    def close(self) -> None:
        """End the processes that read ahead."""
        self.batches = iter(())
