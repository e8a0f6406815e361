"""When a rollout should no longer be believed, without knowing the truth."""

from pdefm.data.trajectory import Trajectory, periodic_axes
from pdefm.models.processing_pde import PDEProcessor
from pdefm.rollout_metrics import conservation_drift

ENERGY_FACTOR = 4.0
NUM_DEVIATIONS = 10.0
LARGEST_DRIFT = 0.5


def check_rollout(
    history: Trajectory, prediction: Trajectory, processor: PDEProcessor
) -> dict[str, dict[str, int | None]]:
    """First step (from 1 on) at which each field breaks each rule, ``None`` if it never does.

    ``energy``: the RMS of a frame is more than four times the largest of the history. ``range``: a
    value is more than ten standard deviations from the mean of the training data. ``drift``, on
    periodic domains only: the mean has moved by more than half of the history's RMS.

    Args:
        history: Known frames.
        prediction: The frames that follow.
        processor: Has the statistics of the training data.
    """
    mask = None if prediction.mask is None else prediction.mask[None]
    frames = prediction.fields[None]  # [1, T, C, *space]
    known = history.fields[None]
    if mask is not None:
        outside = ~mask[:, None, None]
        frames, known = frames.masked_fill(outside, 0.0), known.masked_fill(outside, 0.0)
    size = frames.square().flatten(3).mean(-1).sqrt()
    limit = known.square().flatten(3).mean(-1).sqrt().amax(1, keepdim=True)
    broken = {"energy": size > ENERGY_FACTOR * limit + 1e-12}
    scale = processor.field_scale(prediction.names, frames)
    away = ((frames - scale.mean) / scale.std).abs()
    if mask is not None:
        away = away.masked_fill(~mask[:, None, None], 0.0)
    broken["range"] = away.flatten(3).amax(-1) > NUM_DEVIATIONS
    if all(periodic_axes(prediction.boundary)):
        broken["drift"] = conservation_drift(frames, known[:, -1:], mask=mask) > LARGEST_DRIFT
    return {
        rule: {
            name: int(hits[0, :, i].int().argmax()) + 1 if bool(hits[0, :, i].any()) else None
            for i, name in enumerate(prediction.names)
        }
        for rule, hits in broken.items()
    }


def broken_rules(found: dict[str, dict[str, int | None]]) -> list[str]:
    """A line a rule and field that is broken."""
    words = {
        "energy": f"its RMS is more than {ENERGY_FACTOR:g} times that of the history",
        "range": f"values lie more than {NUM_DEVIATIONS:g} deviations off the training mean",
        "drift": f"its mean has moved by more than {LARGEST_DRIFT:g} times the RMS",
    }
    return [
        f"{name}, step {step}: {words[rule]}"
        for rule, by_field in found.items()
        for name, step in by_field.items()
        if step is not None
    ]
