"""Auto-regressive rollout in physical units."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pdefm.data.batch import to_device
from pdefm.data.shift import jitter_offsets, roll
from pdefm.data.trajectory import Source, Trajectory, periodic_axes
from pdefm.errors import DataError, NumericalError
from pdefm.models.processing_pde import PDEProcessor, sample_mean

NOISE_FRACTION = 0.02  # what trainings add unless told otherwise
CONDITIONS = ("dt", "boundary", "parameters")


def rollout_frames(
    model: nn.Module,
    processor: PDEProcessor,
    history: Float[Tensor, "batch history channel *space"],
    names: tuple[str, ...],
    num_steps: int,
    *,
    mask: Bool[Tensor, "batch *space"] | None = None,
    periodic: tuple[bool, ...] = (),
    conditions: Mapping[str, Any] | None = None,
    strict: bool = True,
) -> Iterator[Float[Tensor, "batch channel *space"]]:
    """Yield predicted frames one by one; memory does not grow with ``num_steps``.

    A model that was trained on shifted samples is asked at another offset of the grid in every step
    (and answers are moved back): the seams of its patches then fall elsewhere each time, and their
    errors average out instead of growing.

    Args:
        model: Predicts the next frames from normalised history.
        processor: Statistics of the fields.
        history: Physical frames, oldest first.
        names: Field name of each channel.
        num_steps: Frames to predict.
        mask: True inside the domain.
        periodic: Axes along which the grid may be moved.
        conditions: What :meth:`PDEProcessor.conditions_of` makes of what else is known.
        strict: Raise on the first frame that is not finite; else yield it and go on.

    Raises:
        NumericalError: A predicted frame is not finite; says which step.
    """
    scale = processor.scale(history, names, mask)
    window = scale.normalize(history)
    moves = periodic if processor.shift_invariant else ()
    done = 0
    while done < num_steps:
        offsets = jitter_offsets(done, tuple(window.shape[3:]), moves)
        moved = None if mask is None else roll(mask, offsets)
        with torch.no_grad():  # not around the whole: a generator would switch it for its caller
            output = model(
                history=roll(window, offsets), field_names=names, mask=moved, **(conditions or {})
            )
        prediction = roll(output.prediction, tuple(-offset for offset in offsets))
        for i in range(min(prediction.shape[1], num_steps - done)):
            frame = scale.denormalize(prediction[:, i : i + 1])[:, 0]
            done += 1
            if strict and not bool(torch.isfinite(frame).all()):
                raise NumericalError(
                    f"rollout left the finite numbers at step {done} of {num_steps}",
                    do="Roll out fewer steps, or fine-tune the model on such data",
                )
            yield frame
        window = torch.cat([window, prediction], 1)[:, -processor.history :]


def rollout(
    model: nn.Module,
    processor: PDEProcessor,
    trajectory: Trajectory,
    num_steps: int,
    ensemble: int = 1,
) -> Trajectory:
    """Continue a trajectory from its last ``history`` frames.

    For rollouts that do not fit into memory, :func:`stream_rollout` yields one frame at a time.

    Args:
        model: From ``AutoModel.from_pretrained`` or ``load_adapter``.
        processor: Its processor.
        trajectory: At least ``processor.min_history`` frames, in physical units.
        num_steps: Frames to predict.
        ensemble: Members of which the mean is returned; :func:`rollout_ensemble` returns them all.

    Returns:
        The predicted frames, in physical units, at the times that follow.

    Raises:
        DataError: Too few frames, or non-finite values in the history.
        ModelError: A field that the model does not know.
        NumericalError: The prediction left the finite numbers.
    """
    if ensemble > 1:
        members = rollout_ensemble(model, processor, trajectory, num_steps, ensemble)
        mean = torch.stack([member.fields for member in members]).mean(0)
        source = Source(f"mean of {ensemble} rollouts of {trajectory.source}")
        return replace(members[0], fields=mean, source=source)
    return rollout_ensemble(
        model, processor, trajectory, num_steps, num_members=1, noise_fraction=0.0
    )[0]


def perturbed_histories(
    history: Float[Tensor, "one time channel *space"],
    num_members: int,
    noise_fraction: float,
    *,
    mask: Bool[Tensor, "one *space"] | None = None,
    seed: int = 0,
) -> Float[Tensor, "member time channel *space"]:
    """Members ``u + eps rms(u) N(0, 1)`` of one history, with a value at every point of their own.

    Args:
        history: Of one sample, in physical units.
        num_members: How many.
        noise_fraction: eps; rms is that of each field over the frames and the points inside.
        mask: True inside the domain.
        seed: Of the draws.
    """
    random = torch.Generator().manual_seed(seed)
    draw = torch.randn(num_members, *history.shape[1:], generator=random).to(history)
    return history + noise_fraction * sample_mean(history.square(), mask).sqrt() * draw


def stream_rollout(
    model: nn.Module,
    processor: PDEProcessor,
    trajectory: Trajectory,
    num_steps: int,
    num_members: int = 1,
    *,
    noise_fraction: float = 0.0,
    seed: int = 0,
) -> Iterator[Float[Tensor, "member channel *space"]]:
    """Frames that follow a trajectory, one by one, in physical units; memory does not grow.

    Members start from perturbed histories ``u + eps rms(u) N(0, 1)``, as in training.

    Args:
        model: From ``AutoModel.from_pretrained`` or ``load_adapter``.
        processor: Its processor.
        trajectory: At least ``processor.min_history`` frames, in physical units.
        num_steps: Frames to predict.
        num_members: Rollouts side by side.
        noise_fraction: Deviation of the perturbation over the RMS of each field in the history.
        seed: Of the perturbations.

    Raises:
        DataError: Too few frames, no step, no member, or non-finite values in the history.
        ModelError: A field that the model does not know.
        NumericalError: A prediction left the finite numbers.
    """
    if num_steps < 1:
        raise DataError("a rollout needs at least one step", got=num_steps, do="Use --steps 1")
    if num_members < 1:
        raise DataError("an ensemble needs at least one member", got=num_members)
    inputs = processor(trajectory)  # raises on short or non-finite histories
    device = next(model.parameters()).device
    history = trajectory.fields[None, -processor.history :]
    mask = None if trajectory.mask is None else trajectory.mask[None]
    if noise_fraction:
        history = perturbed_histories(history, num_members, noise_fraction, mask=mask, seed=seed)
    else:
        history = history.expand(num_members, *history.shape[1:])
    conditions = {
        key: _repeated(value, num_members) for key, value in inputs.items() if key in CONDITIONS
    }
    frames = rollout_frames(
        model,
        processor,
        history.to(device),
        trajectory.names,
        num_steps,
        mask=None if mask is None else mask.expand(num_members, *mask.shape[1:]).to(device),
        periodic=periodic_axes(trajectory.boundary),
        conditions=to_device(conditions, device),
    )
    return (frame.cpu() for frame in frames)


def rollout_times(trajectory: Trajectory, num_steps: int) -> Float[Tensor, " time"]:
    """Times of the frames that follow a trajectory."""
    steps = torch.arange(1, num_steps + 1, dtype=trajectory.times.dtype)
    return trajectory.times[-1] + steps * (trajectory.dt or 1.0)


def rollout_ensemble(
    model: nn.Module,
    processor: PDEProcessor,
    trajectory: Trajectory,
    num_steps: int,
    num_members: int,
    *,
    noise_fraction: float = NOISE_FRACTION,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> list[Trajectory]:
    """All frames of :func:`stream_rollout`, whose arguments and errors these are.

    Args:
        model: From ``AutoModel.from_pretrained`` or ``load_adapter``.
        processor: Its processor.
        trajectory: At least ``processor.min_history`` frames, in physical units.
        num_steps: Frames to predict.
        num_members: Rollouts.
        noise_fraction: Deviation of the perturbation over the RMS of each field in the history.
        seed: Of the perturbations.
        advance: Called with 1 after every step.

    Returns:
        One trajectory a member, in physical units, at the times that follow.
    """
    frames = []
    for frame in stream_rollout(
        model,
        processor,
        trajectory,
        num_steps,
        num_members,
        noise_fraction=noise_fraction,
        seed=seed,
    ):
        frames.append(frame)
        if advance is not None:
            advance(1)
    times = rollout_times(trajectory, num_steps)
    source = Source(f"rollout of {trajectory.source}")
    return [
        replace(trajectory, fields=member, times=times, source=source)
        for member in torch.stack(frames, 1)
    ]


def _repeated(value: Any, count: int) -> Any:
    """What is known of one sample, for so many."""
    if isinstance(value, Tensor):
        return value.expand(count, *value.shape[1:])
    if isinstance(value, Mapping):
        return {name: _repeated(inner, count) for name, inner in value.items()}
    return value
