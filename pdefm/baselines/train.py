"""Training of baselines: the same windows, loss, batches and wall time for each of them."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pdefm.baselines import BASELINES
from pdefm.baselines.base import Baseline, Demands, count_weights
from pdefm.baselines.channels import Bounded
from pdefm.data.mixture import Mixture, MixtureSource
from pdefm.data.trajectory import periodic_axes
from pdefm.errors import RecipeError
from pdefm.evaluation.protocol import Contender
from pdefm.evaluation.training_set import TrainingSet
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask
from pdefm.train.data import OpenedSource, make_processor, noise_generator, source_windows
from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.recipe import TrainSection

BATCH_SIZE = 8
SCHEDULE_PARTS = 1000
"""Parts that the schedule divides a training into, whatever its budget."""
WARMUP_PARTS = 50
LAST_LOSSES = 10


@dataclass(frozen=True)
class Budget:
    """How long each baseline trains: wall time, or steps, which give the same bits again.

    Args:
        seconds: Of the training loop, without what comes before it.
        steps: Optimizer steps.
    """

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.steps is None):
            raise RecipeError(
                "baselines train for a time or for a number of steps",
                do="Give one of --baseline-budget and --baseline-steps",
            )

    def share(self, step: int, elapsed: float) -> float:
        """How much of it is used up, from 0 on."""
        return step / self.steps if self.steps else elapsed / (self.seconds or 1.0)


class BaselineTrainer:
    """Trains the named baselines on a dataset, one after the other.

    Loss, noise and windows are those of one-step forecasting; the processor is fitted to the
    training data. Every baseline has as many weights as the evaluated model, as far as it can.

    Args:
        names: In ``BASELINES``.
        budget: How long each of them trains.
        seed: Of weights, noise and the order of the samples.
        learning_rate: Replaces that of each of them.

    Raises:
        RecipeError: Unknown name, one that comes twice, or a rate that is not positive.
        EnvironmentFault: A library is not installed.
    """

    def __init__(
        self,
        names: Sequence[str],
        budget: Budget,
        seed: int = 0,
        learning_rate: float | None = None,
    ) -> None:
        if not names or len(set(names)) != len(names):
            raise RecipeError(
                "--baselines takes different names", got=",".join(names), do="Write fno,unet"
            )
        if learning_rate is not None and not learning_rate > 0:
            raise RecipeError("--baseline-learning-rate must be positive", got=learning_rate)
        self.names = tuple(names)
        self.learning_rate = learning_rate
        self.budget = budget
        self.seed = seed
        self._kinds: dict[str, Baseline] = {name: BASELINES[name]() for name in names}
        for kind in self._kinds.values():
            kind.module()  # a missing library is known before anything is solved

    def __call__(self, data: TrainingSet, subject: Contender) -> dict[str, Contender]:
        """All baselines, trained.

        Args:
            data: What they train on.
            subject: Model whose history, horizon and size they have.

        Raises:
            DataError: Too few frames, or values that are not finite.
        """
        source = OpenedSource(data.name, 1.0, data.train, data.held_out, data.augmentation)
        return {
            name: self._trained(kind, source, subject, f"train {name} on {data.name}")
            for name, kind in self._kinds.items()
        }

    def _trained(
        self, kind: Baseline, source: OpenedSource, subject: Contender, title: str
    ) -> Contender:
        demands, processor = make_demands(kind, source, subject)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            built = kind.build(demands)
        windows = source_windows(source.name, source.train, demands.history, demands.horizon)
        mixture = Mixture(
            [MixtureSource(source.name, source.train, windows, 1.0, source.augmentation)],
            history=demands.history,
            micro_batch_size=BATCH_SIZE,
            seed=self.seed,
        )
        task = ForecastingTask(processor, ForecastingOptions())
        section = TrainSection(
            max_steps=SCHEDULE_PARTS,
            warmup_steps=WARMUP_PARTS,
            global_batch_size=BATCH_SIZE,
            micro_batch_size=BATCH_SIZE,
            learning_rate=self.learning_rate or kind.learning_rate,
        )
        facts = self._train(built.network, task, mixture, section, title)
        endless = source.train.num_typical is not None
        training = {
            "role": kind.role,
            **facts,
            "num_trajectories": None if endless else len(source.train),
            "num_weights": count_weights(built.network),
            "learning_rate": section.learning_rate,
            "batch_size": BATCH_SIZE,
            "noise_fraction": ForecastingOptions().noise_fraction,
            "seed": self.seed,
            "library": kind.library[0] if kind.library else "pdefm",
            "version": kind.version(),
            "settings": built.settings,
        }
        return Contender(Bounded(built.network).eval(), processor, training=training)

    def _train(
        self,
        network: nn.Module,
        task: ForecastingTask,
        mixture: Mixture,
        section: TrainSection,
        title: str,
    ) -> dict[str, Any]:
        """Spend the budget; a step whose gradient is not finite is left out."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(device).train()
        optimizer = make_optimizer(network, section)
        losses: deque[float] = deque(maxlen=LAST_LOSSES)
        step, percent, left_out = 0, 0, 0
        start = time.perf_counter()
        with progress(title, 100, unit="%") as advance:
            while (share := self.budget.share(step, time.perf_counter() - start)) < 1:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(section, int(share * SCHEDULE_PARTS))
                optimizer.zero_grad()
                batch = mixture.load(step, 0).to(device)
                prepared = task.prepare(batch, noise_generator(self.seed, step, 0))
                loss = task.loss(task.predict(network, prepared), prepared)
                loss.backward()
                value = float(loss.detach())
                norm = nn.utils.clip_grad_norm_(network.parameters(), section.max_grad_norm)
                if bool(torch.isfinite(norm)):
                    optimizer.step()
                    losses.append(value)
                else:
                    left_out += 1
                step += 1
                advance(int(100 * share) - percent, loss=value)
                percent = int(100 * share)
            advance(100 - percent)
        seconds = time.perf_counter() - start
        network.to("cpu").eval()
        return {
            "seconds": seconds,
            "steps": step,
            "samples": step * BATCH_SIZE,
            "steps_left_out": left_out,
            "last_loss": sum(losses) / len(losses) if losses else None,
            "device": device.type,
        }


def make_demands(
    kind: Baseline, source: OpenedSource, subject: Contender
) -> tuple[Demands, PDEProcessor]:
    """What a network must fit, and its processor with the statistics of the training data.

    Args:
        kind: Baseline; says whether it is told conditions.
        source: Training data.
        subject: The model that is evaluated.
    """
    model: Any = subject.model
    heads = source.heads()
    parameters = {name for head in heads for name in head.parameters}
    conditions = [
        name
        for name in subject.processor.conditions
        if kind.takes_conditions and name in {"dt", "boundary", *parameters}
    ]
    processor = make_processor(
        [source],
        history=subject.processor.history,
        horizon=subject.processor.horizon,
        normalization=subject.processor.normalization,
        conditions=conditions,
    )
    closing = [periodic_axes(head.boundary) for head in heads]
    demands = Demands(
        field_names=source.first.names,
        history=processor.history,
        horizon=processor.horizon,
        grid=tuple(min(sizes) for sizes in zip(*(h.grid.shape for h in heads), strict=True)),
        periodic=tuple(all(closes) for closes in zip(*closing, strict=True)),
        has_mask=any(h.mask is not None for h in (*heads, source.valid.read(0, 0, 1))),
        conditions=tuple(conditions),
        subject=model.config,
        num_weights=count_weights(model),
    )
    return demands, processor
