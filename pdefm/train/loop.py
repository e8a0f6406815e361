"""The training loop: one optimizer step after another, until the recipe's last."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pdefm.data.batch import Batch
from pdefm.data.mixture import Mixture, MixtureDataset, StepSampler
from pdefm.errors import NumericalError
from pdefm.progress import progress
from pdefm.tasks.base import Task
from pdefm.train.accelerator import Engine
from pdefm.train.checkpoint import latest_checkpoint, load_state, save_checkpoint
from pdefm.train.data import noise_generator
from pdefm.train.journal import Journal
from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.recipe import TrainingRecipe


@dataclass(frozen=True)
class Trainee:
    """What is trained, and how its published form is written and read.

    Args:
        model: With the right weights trainable.
        task: Inputs, target and loss.
        write: Writes what is published into a folder.
        read: Puts the weights of such a folder back into ``model``.
        title: Shown beside the progress bar.
    """

    model: nn.Module
    task: Task
    write: Callable[[Path], None]
    read: Callable[[Path], None]
    title: str


@dataclass(frozen=True)
class Session:
    """Everything that a run needs, assembled from a recipe.

    Args:
        recipe: Steps, seed and data workers.
        engine: One process or many.
        trainee: What is trained.
        mixture: Training micro-batches.
        validation: Fixed batches of each source.
    """

    recipe: TrainingRecipe
    run_folder: Path
    engine: Engine
    trainee: Trainee
    mixture: Mixture
    validation: dict[str, list[Batch]]


class _Loop:
    """State of a running session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.step = 0
        found = latest_checkpoint(session.run_folder)
        if found is not None:
            self.step = found[0]
            session.trainee.read(found[1] / "model")
        optimizer = make_optimizer(session.trainee.model, session.recipe.train)
        self.model, self.optimizer = session.engine.prepare(session.trainee.model, optimizer)
        if found is not None:
            self.optimizer.load_state_dict(load_state(found[1])["optimizer"])
        self.journal = Journal(session.run_folder, session.engine, self.step)
        self.batches = self._open_batches()
        self.waited = 0.0
        self.logged_at = time.perf_counter()
        self.logged_step = self.step

    def _open_batches(self) -> Iterator[Batch]:
        session = self.session
        dataset = MixtureDataset(
            session.mixture, rank=session.engine.rank, world_size=session.engine.world_size
        )
        sampler = StepSampler(dataset, self.step, session.recipe.train.max_steps)
        loader = DataLoader(
            dataset, batch_size=None, sampler=sampler, num_workers=session.recipe.data.num_workers
        )
        return iter(loader)

    def _next_batch(self) -> Batch:
        before = time.perf_counter()
        batch = next(self.batches).to(self.session.engine.device)
        self.waited += time.perf_counter() - before
        return batch

    def train_step(self) -> tuple[Tensor, float]:
        """One optimizer step; returns loss sum and count per source, and the gradient norm."""
        session, engine, task = self.session, self.session.engine, self.session.trainee.task
        names = [source.name for source in session.mixture.sources]
        losses = torch.zeros(len(names), 2, device=engine.device)
        turns = engine.num_slots // engine.world_size
        rate = learning_rate(session.recipe.train, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        for turn in range(turns):
            batch = self._next_batch()
            slot = engine.rank + turn * engine.world_size
            generator = noise_generator(session.recipe.seed, self.step, slot)
            prepared = task.prepare(batch, generator)
            with engine.accumulate(self.model, last=turn == turns - 1):
                prediction = task.predict(self.model, prepared)
                loss = task.loss(prediction, prepared)
                engine.backward(loss / turns)
            losses[names.index(batch.source)] += torch.stack(
                [loss.detach().float(), torch.ones((), device=engine.device)]
            )
        norm = engine.clip(self.model)
        if not norm < float("inf"):  # also true for NaN; the same on all ranks
            raise NumericalError(
                f"loss or gradient is not finite at step {self.step + 1}",
                got=f"gradient norm {norm}",
                do="Lower train.learning_rate, or look at the data with pdefm data inspect",
            )
        self.optimizer.step()
        self.step += 1
        return losses, norm

    def log(self, losses: Tensor, norm: float) -> float:
        """Write a training line; returns the loss of this step over all ranks."""
        session, engine = self.session, self.session.engine
        totals = engine.gather(losses[None]).sum(0).cpu().double()  # [source, 2]
        loss = float(totals[:, 0].sum() / totals[:, 1].sum())
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
        model = self.session.engine.unwrap(self.model)
        model.eval()
        errors = validation_errors(
            model, self.session.trainee.task, self.session.validation, self.session.engine.device
        )
        model.train()
        self.journal.write({"step": self.step, "validation": errors})
        self.logged_at += time.perf_counter() - before
        return errors

    def save(self) -> None:
        """Commit a checkpoint; all ranks wait for it."""
        session = self.session
        before = time.perf_counter()
        session.engine.wait()
        if session.engine.is_main:
            save_checkpoint(
                session.run_folder,
                self.step,
                session.trainee.write,
                {"optimizer": self.optimizer.state_dict(), "step": self.step},
                session.recipe.train.save_total_limit,
            )
        session.engine.wait()
        self.logged_at += time.perf_counter() - before


@torch.no_grad()
def validation_errors(
    model: nn.Module,
    task: Task,
    validation: dict[str, list[Batch]],
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Mean one-step relative L2 error of every source."""
    errors = {}
    for name, batches in validation.items():
        found = []
        for batch in batches:
            prepared = task.prepare(batch.to(device))
            found.append(task.metrics(task.predict(model, prepared), prepared)["relative_l2"])
        errors[name] = float(torch.cat(found).mean())
    return errors


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
            losses, norm = loop.train_step()
            last = loop.step == section.max_steps
            if loop.step % section.logging_steps == 0 or last:
                shown["loss"] = loop.log(losses, norm)
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
