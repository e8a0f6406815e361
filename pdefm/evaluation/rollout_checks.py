"""When a rollout should no longer be believed, without knowing the truth."""

from jaxtyping import Bool, Float
from torch import Tensor

from pdefm.data.trajectory import Trajectory, periodic_axes
from pdefm.models.processing_pde import PDEProcessor
from pdefm.rollout_metrics import conservation_drift

ENERGY_FACTOR = 4.0
NUM_DEVIATIONS = 10.0
LARGEST_DRIFT = 0.5
FirstSteps = dict[str, dict[str, int | None]]
"""First step (from 1 on) at which each field breaks each rule, ``None`` if it never does."""


class RolloutCheck:
    """The rules, asked frame by frame.

    ``energy``: the RMS of a frame is more than four times the largest of the history. ``range``: a
    value is more than ten standard deviations from the mean of the training data. ``drift``, on
    periodic domains only: the mean has moved by more than half of the history's RMS.

    Args:
        history: Known frames.
        processor: Has the statistics of the training data.

    Attributes:
        first: What was found so far, over all members.
    """

    def __init__(self, history: Trajectory, processor: PDEProcessor) -> None:
        self.names = history.names
        self.mask = None if history.mask is None else history.mask[None]
        known = self._inside(history.fields[None])
        self.last = known[:, -1:]
        self.limit = known.square().flatten(3).mean(-1).sqrt().amax(1, keepdim=True)
        self.scale = processor.field_scale(history.names, known)
        self.periodic = all(periodic_axes(history.boundary))
        rules = ["energy", "range"] + ["drift"] * self.periodic
        self.first: FirstSteps = {rule: dict.fromkeys(self.names) for rule in rules}
        self.num_steps = 0

    def _inside(self, frames: Tensor) -> Tensor:
        return frames if self.mask is None else frames.masked_fill(~self.mask[:, None, None], 0.0)

    def _broken(
        self, frames: Float[Tensor, "member one channel *space"]
    ) -> dict[str, Bool[Tensor, "member one channel"]]:
        inside = self._inside(frames)
        size = inside.square().flatten(3).mean(-1).sqrt()
        away = self._inside(((inside - self.scale.mean) / self.scale.std).abs())
        broken = {
            "energy": size > ENERGY_FACTOR * self.limit + 1e-12,
            "range": away.flatten(3).amax(-1) > NUM_DEVIATIONS,
        }
        if self.periodic:
            members = len(frames)
            mask = None if self.mask is None else self.mask.expand(members, *self.mask.shape[1:])
            last = self.last.expand(members, *self.last.shape[1:])
            broken["drift"] = conservation_drift(inside, last, mask=mask) > LARGEST_DRIFT
        return broken

    def add(self, frames: Float[Tensor, "member channel *space"]) -> list[str]:
        """Look at the next step of all members.

        Returns:
            A line for each rule and field that is broken for the first time.
        """
        self.num_steps += 1
        new: FirstSteps = {}
        for rule, hits in self._broken(frames[:, None]).items():
            for name, hit in zip(self.names, hits.any(0)[0].tolist(), strict=True):
                if hit and self.first[rule][name] is None:
                    self.first[rule][name] = self.num_steps
                    new.setdefault(rule, {})[name] = self.num_steps
        return broken_rules(new)


def check_rollout(
    history: Trajectory, prediction: Trajectory, processor: PDEProcessor
) -> FirstSteps:
    """First step at which each field breaks each rule of :class:`RolloutCheck`.

    Args:
        history: Known frames.
        prediction: The frames that follow.
        processor: Has the statistics of the training data.
    """
    check = RolloutCheck(history, processor)
    for frame in prediction.fields:
        check.add(frame[None])
    return check.first


def broken_rules(found: FirstSteps) -> list[str]:
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
