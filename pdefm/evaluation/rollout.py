"""Auto-regressive rollout in physical units."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pdefm.data.batch import to_device
from pdefm.data.shift import jitter_offsets, roll
from pdefm.data.trajectory import Source, Trajectory, periodic_axes
from pdefm.errors import DataError, NumericalError
from pdefm.models.processing_pde import PDEProcessor

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
            if not bool(torch.isfinite(frame).all()):
                raise NumericalError(
                    f"rollout left the finite numbers at step {done} of {num_steps}",
                    do="Roll out fewer steps, or fine-tune the model on such data",
                )
            yield frame
        window = torch.cat([window, prediction], 1)[:, -processor.history :]


def rollout(
    model: nn.Module, processor: PDEProcessor, trajectory: Trajectory, num_steps: int
) -> Trajectory:
    """Continue a trajectory from its last ``history`` frames.

    Args:
        model: From ``AutoModel.from_pretrained`` or ``load_adapter``.
        processor: Its processor.
        trajectory: At least ``processor.min_history`` frames, in physical units.
        num_steps: Frames to predict.

    Returns:
        The predicted frames, in physical units, at the times that follow.

    Raises:
        DataError: Too few frames, or non-finite values in the history.
        ModelError: A field that the model does not know.
        NumericalError: The prediction left the finite numbers.
    """
    if num_steps < 1:
        raise DataError("a rollout needs at least one step", got=num_steps, do="Use --steps 1")
    inputs = processor(trajectory)  # raises on short or non-finite histories
    device = next(model.parameters()).device
    history = trajectory.fields[None, -processor.history :].to(device)
    mask = None if trajectory.mask is None else trajectory.mask[None].to(device)
    frames = rollout_frames(
        model,
        processor,
        history,
        trajectory.names,
        num_steps,
        mask=mask,
        periodic=periodic_axes(trajectory.boundary),
        conditions=to_device({k: v for k, v in inputs.items() if k in CONDITIONS}, device),
    )
    steps = torch.arange(1, num_steps + 1, dtype=trajectory.times.dtype)
    return replace(
        trajectory,
        fields=torch.cat(list(frames)).cpu(),
        times=trajectory.times[-1] + steps * (trajectory.dt or 1.0),
        source=Source(f"rollout of {trajectory.source}"),
    )
