"""What a run does with a loss or gradient that is not finite, and with a loss that leaps."""

import math
from collections import deque
from statistics import median
from typing import Any, Literal

from pydantic import Field as Limits

from pdefm.config import Section
from pdefm.errors import NumericalError

Verdict = Literal["apply", "skip", "rewind"]


class GuardSection(Section):
    """When a step is not applied."""

    max_nonfinite_steps: int = Limits(default=3, ge=0)
    """Steps in a row that may be skipped because loss or gradient is not finite, on any process;
    one more stops the run."""
    spike_ratio: float | None = Limits(default=None, gt=1)
    """A loss above so many times the median of the last ``spike_window`` ones is a spike; by
    default nothing is."""
    spike_window: int = Limits(default=50, ge=4)
    """Losses that the median is taken of; before there are so many, nothing is a spike."""
    spike_policy: Literal["log", "skip", "rewind"] = "log"
    """``log`` writes it down, ``skip`` does not apply the step, ``rewind`` goes back to a
    checkpoint and leaves out the batches that led there."""
    rewind_steps: int = Limits(default=100, ge=1)
    """How far back the checkpoint must lie."""
    rewind_skip: int = Limits(default=200, ge=1)
    """Steps' worth of batches that are left out from the spike on."""
    max_rewinds: int = Limits(default=3, ge=0)
    """After so many, a spike stops the run."""


class Guard:
    """Judges each step by numbers that all processes share, so that all decide alike.

    The rules are those of PaLM (arXiv 2204.02311, section 5.1: go back about 100 steps, skip 200 to
    500 batches) and of torchtitan (a loss that is not finite on any rank is never applied).

    Args:
        section: The recipe's.
    """

    def __init__(self, section: GuardSection) -> None:
        self.section = section
        self.in_a_row = 0
        self.rewinds = 0
        self.recent: deque[float] = deque(maxlen=section.spike_window)

    def judge(self, step: int, loss: float, norm: float) -> tuple[Verdict, str]:
        """Whether a step is applied, and why not.

        Args:
            step: Number of the step, from 1.
            loss: Mean over all processes.
            norm: Gradient norm before clipping.

        Raises:
            NumericalError: Too many bad steps in a row, or too many rewinds.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.in_a_row += 1
            if self.in_a_row > self.section.max_nonfinite_steps:
                raise NumericalError(
                    f"loss or gradient is not finite at step {step}, {self.in_a_row} in a row",
                    got=f"loss {loss}, gradient norm {norm}",
                    do="See events.jsonl for the batches; lower train.learning_rate, or look at the"
                    " data with pdefm data doctor",
                )
            return "skip", f"not finite: loss {loss}, gradient norm {norm}"
        self.in_a_row = 0
        ratio = self.section.spike_ratio
        full = len(self.recent) == self.section.spike_window
        if ratio is not None and full and loss > ratio * median(self.recent):
            return self._judge_spike(step, loss)
        self.recent.append(loss)
        return "apply", ""

    def _judge_spike(self, step: int, loss: float) -> tuple[Verdict, str]:
        reason = f"loss {loss:.4g} is {loss / median(self.recent):.3g} times the running median"
        policy = self.section.spike_policy
        if policy == "log":
            self.recent.append(loss)
            return "apply", reason
        if policy == "skip":
            return "skip", reason
        if self.rewinds == self.section.max_rewinds:
            raise NumericalError(
                f"the loss leapt at step {step} after {self.rewinds} rewinds",
                got=reason,
                do="Lower train.learning_rate or raise train.guard.max_rewinds",
            )
        self.rewinds += 1
        return "rewind", reason

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"in_a_row": self.in_a_row, "rewinds": self.rewinds, "recent": list(self.recent)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint kept."""
        self.in_a_row, self.rewinds = state["in_a_row"], state["rewinds"]
        self.recent = deque(state["recent"], maxlen=self.section.spike_window)
