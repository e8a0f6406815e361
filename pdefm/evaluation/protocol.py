"""What is measured: models, the protocol, and the forecasts that it asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pdefm.data.batch import Batch
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import periodic_axes
from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.rollout import NOISE_FRACTION, perturbed_histories, rollout_frames
from pdefm.models.processing_pde import PDEProcessor

BASELINES = ("persistence", "linear_extrapolation")


@dataclass(frozen=True)
class Contender:
    """A model, the processor that gives it units, and the noise that it was trained with.

    Args:
        model: Predicts the next frames.
        processor: Its processor.
        noise: Deviation over the RMS of each field; what the members of an ensemble start from.
        training: How it was trained for this comparison; recorded beside its numbers.
    """

    model: nn.Module
    processor: PDEProcessor
    noise: float = NOISE_FRACTION
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Protocol:
    """What is measured: from which frame, how far, by which metrics.

    Args:
        history: Frames given; the prediction starts after them. A model that takes fewer is given
            the last of them.
        num_steps: Frames rolled out; ``None`` takes all that every trajectory has.
        start_frame: First frame of the history.
        max_trajectories: Only the first so many; ``None`` takes all.
        metrics: Names in the table of measures; ``None`` is the usual set.
        ensemble: Members that every model is rolled out from; errors are those of their mean.
        noise: Perturbation of the members over the RMS of each field; ``None`` is that of each
            model's training.
        num_fields: Only the first so many fields count, where the last one is a stored mask; a
            model that does not know the others is not given them.
        positional: Models without named fields take those of the data in their order.
    """

    history: int
    num_steps: int | None = None
    start_frame: int = 0
    max_trajectories: int | None = None
    metrics: tuple[str, ...] | None = None
    ensemble: int = 1
    noise: float | None = None
    num_fields: int | None = None
    positional: bool = False

    def steps(self, name: str, collection: TrajectoryCollection, count: int) -> int:
        """Steps that all trajectories can serve.

        Raises:
            DataError: Too few frames for history and steps.
        """
        shortest = min(collection.num_frames(i) for i in range(count))
        available = shortest - self.start_frame - self.history
        steps = available if self.num_steps is None else self.num_steps
        if available < max(steps, 1):
            raise DataError(
                f"{name}: too few frames for history {self.history} + {max(steps, 1)} steps",
                got=f"{shortest} frames",
                do="Use longer trajectories or fewer --steps",
            )
        return steps


def rollout_members(
    contender: Contender,
    batch: Batch,
    num_steps: int,
    protocol: Protocol,
    seeds: Sequence[int],
) -> Tensor:
    """Rollouts of one model ``[member, batch, time, channel, *space]``, in physical units.

    Args:
        contender: Model, processor and noise.
        batch: Histories as long as the protocol says; a model that takes fewer frames is given the
            last of them.
        num_steps: Frames to predict.
        protocol: Members, their noise, and whether fields go by their order.
        seeds: Of the perturbations, one a sample.

    Raises:
        DataError: The model needs more frames than the protocol gives.
        RecipeError: An ensemble of a model that was trained without noise.
    """
    processor = contender.processor
    history = batch.history[:, -processor.history :]
    if history.shape[1] < processor.min_history:
        raise DataError(
            f"the model needs {processor.min_history} frames of history",
            got=f"{history.shape[1]} of the protocol",
            do="Measure it with a longer history",
        )
    names = batch.names
    if protocol.positional and processor.padding_value is not None:
        names = tuple(processor.fields)[: len(names)]
    elif any(name not in processor.fields for name in names[protocol.num_fields or len(names) :]):
        # What does not count, such as a stored mask, only goes to models that know it.
        names, history = names[: protocol.num_fields], history[:, :, : protocol.num_fields]
    starts = history[None]
    if protocol.ensemble > 1:
        starts = _perturbed(history, batch.mask, contender, protocol, seeds)
    conditions = processor.conditions_of(
        dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
    )
    members = [
        rollout_frames(
            contender.model,
            processor,
            start,
            names,
            num_steps,
            mask=batch.mask,
            periodic=periodic_axes(batch.boundary),
            conditions=conditions,
            strict=False,  # one that blows up is a result, not the end of a benchmark
        )
        for start in starts
    ]
    return torch.stack([torch.stack(list(frames), 1) for frames in members])


def _perturbed(
    history: Tensor,
    mask: Tensor | None,
    contender: Contender,
    protocol: Protocol,
    seeds: Sequence[int],
) -> Tensor:
    """Members of every history ``[member, batch, time, channel, *space]``, by its own seed."""
    noise = contender.noise if protocol.noise is None else protocol.noise
    if not noise > 0:
        raise RecipeError(
            "an ensemble needs noise, and the model was trained without",
            got=noise,
            do="Give the noise, such as --noise 0.02",
        )
    return torch.stack(
        [
            perturbed_histories(
                history[i : i + 1],
                protocol.ensemble,
                noise,
                mask=None if mask is None else mask[i : i + 1],
                seed=seed,
            )
            for i, seed in enumerate(seeds)
        ],
        1,
    )


def baseline_rollouts(batch: Batch, num_steps: int) -> dict[str, Tensor]:
    """Forecasts that need no model, by name."""
    last, before = batch.history[:, -1:], batch.history[:, -2:-1]
    still = last.expand_as(batch.target)  # the last known frame, repeated
    steps = torch.arange(1, num_steps + 1, device=last.device).view(-1, *(1,) * (last.ndim - 2))
    trend = last + steps * (last - before) if before.shape[1] else still
    return dict(zip(BASELINES, (still, trend), strict=True))


def sample_seed(seed: int, index: int) -> int:
    """Seed of one trajectory's perturbations, whatever batch it is in."""
    return int(np.random.SeedSequence([seed % 2**63, index]).generate_state(1)[0])
