"""One run of the page: the truth from a solver or a file, and the model's rollout beside it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from pdefm.data.checks.base import Finding
from pdefm.data.doctor import diagnose
from pdefm.data.generate import make_pde
from pdefm.data.open import open_trajectories
from pdefm.data.shards import one_thread, solve_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.demo.choices import Choice, free_parameters, why_not
from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.rollout import rollout_ensemble
from pdefm.evaluation.speed import Speed
from pdefm.metrics import relative_l2
from pdefm.models.processing_pde import PDEProcessor

MAX_STEPS = 100
DOCTOR_SECONDS = 5.0
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Run:
    """What came of it.

    Args:
        truth: History and the frames that are predicted.
        prediction: The model's frames.
        solver_seconds: Wall time of the whole truth; ``None`` if it came from a file.
        model_seconds: Wall time of the prediction.
        notes: What the reader should know.
    """

    truth: Trajectory
    prediction: Trajectory
    solver_seconds: float | None
    model_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def num_steps(self) -> int:
        """Predicted frames."""
        return self.prediction.num_frames

    @property
    def truth_name(self) -> str:
        """Where the truth came from, for labels."""
        return "data" if self.solver_seconds is None else "solver"

    @property
    def future(self) -> Trajectory:
        """The truth of the predicted frames."""
        return self.truth.frames(self.truth.num_frames - self.num_steps, self.truth.num_frames)

    @cached_property
    def errors(self) -> dict[str, list[float]]:
        """Relative L2 error of every field at every step."""
        mask = None if self.truth.mask is None else self.truth.mask[None]
        found = relative_l2(self.prediction.fields[None], self.future.fields[None], mask=mask)[0]
        return dict(zip(self.truth.names, found.T.tolist(), strict=True))

    def speed(self) -> str:
        """Wall times in words; of the solver, drawing the initial state is part of it."""
        return str(
            Speed(
                self.model_seconds,
                self.num_steps,
                num_threads=1,
                solver_seconds=self.solver_seconds,
                solver_steps=self.truth.num_frames - 1,
                unknown="The data came from a file, so there is no solver to compare with.",
            )
        )


def _checked_steps(num_steps: int | None) -> int:
    if num_steps is None or not 1 <= num_steps <= MAX_STEPS:
        raise RecipeError(f"steps must be 1 to {MAX_STEPS}", got=num_steps, do="Change the number")
    return num_steps


def _predict(
    model: nn.Module,
    processor: PDEProcessor,
    truth: Trajectory,
    num_steps: int,
    advance: Advance | None,
) -> tuple[Trajectory, float]:
    history = truth.frames(0, processor.history)
    start = time.perf_counter()
    with one_thread():  # as the solver, or the times could not be compared
        members = rollout_ensemble(
            model, processor, history, num_steps, 1, noise_fraction=0.0, advance=advance
        )
    return members[0], time.perf_counter() - start


def _outside_training(choice: Choice, truth: Trajectory) -> list[str]:
    """What the model has not seen."""
    notes = []
    seen = choice.processor.get("dt")
    if seen and not 0.999 * seen[0] <= truth.dt <= 1.001 * seen[1]:
        notes.append(f"time step {truth.dt:g}; the training saw {seen[0]:g} to {seen[1]:g}")
    kinds = choice.processor.get("boundaries")
    here = sorted({str(side) for sides in truth.boundary for side in sides})
    if kinds and (new := [kind for kind in here if kind not in kinds]):
        notes.append(f"boundary {', '.join(new)}; the training saw {', '.join(kinds)}")
    return notes


def run_equation(
    choice: Choice,
    loaded: tuple[nn.Module, PDEProcessor],
    family: str,
    parameters: Mapping[str, float | None],
    seed: int | None,
    num_steps: int | None,
    advance: Advance | None = None,
) -> Run:
    """Solve an equation and let the model continue its first frames.

    Args:
        choice: Which model.
        loaded: What ``choice.load`` returned.
        family: Name of the equation.
        parameters: Values within the declared ranges.
        seed: Of the initial state.
        num_steps: Frames to predict.
        advance: Called with 1 after every step of the model.

    Raises:
        RecipeError: The model cannot take this equation, or a number is out of range.
        NumericalError: The solver or the model left the finite numbers.
    """
    num_steps = _checked_steps(num_steps)
    if reason := why_not(choice, family):
        raise RecipeError(
            f"{family} {reason}", do="Choose an equation from the top of the list, or an adapter"
        )
    if seed is None or seed < 0:
        raise RecipeError("seed must not be negative", got=seed, do="Use 0")
    ranges = free_parameters(family)
    for name, value in parameters.items():
        low, high, _ = ranges[name]
        if value is None or not low <= value <= high:
            raise RecipeError(f"{name} must be {low:g} to {high:g}", got=value)
    pde = make_pde(family, {"parameter_ranges": dict(parameters)})
    model, processor = loaded
    start = time.perf_counter()
    solved, _ = solve_trajectories(
        pde,
        range(1),
        resolution=choice.resolution,
        num_frames=processor.history + num_steps,
        seed=seed,
        first_index=0,
    )
    seconds = time.perf_counter() - start
    prediction, model_seconds = _predict(model, processor, solved[0], num_steps, advance)
    notes = tuple(_outside_training(choice, solved[0]))
    return Run(solved[0], prediction, seconds, model_seconds, notes)


def _first_error(findings: list[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.severity == "error"), None)


def run_file(
    choice: Choice,
    loaded: tuple[nn.Module, PDEProcessor],
    path: str | Path,
    num_steps: int | None,
    *,
    axes: str = "",
    names: str = "",
    advance: Advance | None = None,
) -> Run:
    """Let the model continue the first frames of a file's first trajectory.

    Args:
        choice: Which model.
        loaded: What ``choice.load`` returned.
        path: Any file that ``open_trajectories`` opens.
        num_steps: Frames to predict; fewer if the file ends before.
        axes: Meaning of an array's axes, as ``N T C X Y``.
        names: Field names of the channels.
        advance: Called with 1 after every step of the model.

    Raises:
        DataError: What the reader or the doctor says, or too few frames.
        ModelError: A field that the model does not know.
    """
    num_steps = _checked_steps(num_steps)
    given: dict[str, Any] = {"axes": axes.strip(), "names": names.strip()}
    collection = open_trajectories(path, **{key: text for key, text in given.items() if text})
    diagnosis = diagnose(collection, max_trajectories=1, max_seconds=DOCTOR_SECONDS)
    if found := _first_error(diagnosis.findings):
        raise DataError(found.what, do=found.do)
    model, processor = loaded
    frames = collection.num_frames(0)
    if frames <= processor.history:
        raise DataError(
            f"the model needs {processor.history} frames and at least one to compare with",
            got=f"{frames} frames",
            do="Give longer trajectories",
        )
    truth = collection.read(0, 0, min(frames, processor.history + num_steps))
    notes = _outside_training(choice, truth)
    if truth.num_frames < processor.history + num_steps:
        notes.append(f"the file ends after {truth.num_frames - processor.history} steps")
    steps = truth.num_frames - processor.history
    prediction, seconds = _predict(model, processor, truth, steps, advance)
    return Run(truth, prediction, None, seconds, tuple(notes))
