"""How long a rollout takes, beside the solver that made the data."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from pdefm.data.solved_again import SolvedSample
from pdefm.errors import NumericalError


@dataclass(frozen=True)
class Speed:
    """Wall times of both, measured on one machine with one number of threads.

    Args:
        model_seconds: Of the model.
        num_steps: Steps of the model in that time, times members.
        num_threads: Of both.
        solver_seconds: Of the solver, with drawing the initial state; ``None`` if it is unknown.
        solver_steps: Frames in that time, the initial state not counted.
        solver: Name of the equation.
        unknown: Why there is no solver to compare with.
    """

    model_seconds: float
    num_steps: int
    num_threads: int
    solver_seconds: float | None = None
    solver_steps: int = 0
    solver: str | None = None
    unknown: str = "The data do not say which solver made them, so there is none to compare with."

    @property
    def seconds_per_step(self) -> float:
        """Of the model."""
        return self.model_seconds / self.num_steps

    @property
    def ratio(self) -> float | None:
        """Seconds per step of the solver over those of the model; above 1 the model is faster."""
        if self.solver_seconds is None:
            return None
        return self.solver_seconds / self.solver_steps / self.seconds_per_step

    def __str__(self) -> str:
        words = f"Model: {self.model_seconds:.3g} s for {self.num_steps} steps"
        if self.solver_seconds is None or self.ratio is None:
            return f"{words}. {self.unknown}"
        ratio = self.ratio
        faster = f"{ratio:.3g} times faster" if ratio >= 1 else f"{1 / ratio:.3g} times slower"
        threads = "one thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return (
            f"Solver: {self.solver_seconds:.3g} s for {self.solver_steps} steps. {words}. Per step"
            f" the model is {faster}, both on this machine with {threads}; a model's first run also"
            " warms it up."
        )

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        ratio = self.ratio
        return {
            "seconds_per_step": self.seconds_per_step,
            "num_threads": self.num_threads,
            "solver": self.solver,
            "solver_seconds_per_step": None if ratio is None else ratio * self.seconds_per_step,
            "solver_over_model": ratio,
        }


def speed_of(model_seconds: float, num_steps: int, sample: SolvedSample | None) -> Speed:
    """Time of a model's steps beside that of the solver of its data, which runs for it once more.

    The solver makes as many frames as the model, but no more than the data have.

    Args:
        model_seconds: Wall time of all steps.
        num_steps: Steps.
        sample: The trajectory that the model continued, or ``None`` if its solver is unknown.
    """
    threads = torch.get_num_threads()
    if sample is None or sample.num_frames < 2:
        return Speed(model_seconds, num_steps, threads)
    frames = min(num_steps + 1, sample.num_frames)
    start = time.perf_counter()
    try:
        sample.solve(frames)
    except NumericalError:
        return Speed(model_seconds, num_steps, threads)
    seconds = time.perf_counter() - start
    return Speed(model_seconds, num_steps, threads, seconds, frames - 1, sample.pde.name)
