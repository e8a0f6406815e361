"""Many similar systems one after another: sorted, started warm, with a recycled Krylov space.

Sorting puts systems next to each other whose coefficients are alike. Each is solved by conjugate
gradients that start from the solution of the previous system and leave out directions that were
slow before: approximate eigenvectors, harvested from the previous run.

What it is worth on a CPU at 128^2 (``scripts/bench_steady.py``): for independently drawn random
coefficients neither sorting nor the warm start saves iterations. Recycling 8 directions saves up to
a fifth of them, and 32 directions up to a half where the diagonal alone is the preconditioner; but
an iteration is so cheap that the work on the subspace costs more than it saves. It pays in
iterations where systems are truly alike. So it is an option, not the default.

Source: Sorting Krylov Recycling, Wang et al. (2024), arXiv 2401.09516, which reports up to 13.9
times with GCRO-DR in the place of conjugate gradients and against GMRES.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.krylov import TOLERANCE, FastPoisson, Preconditioner, deflated_cg, harvest

FEATURE_SIZE = 16
"""Blocks an axis on which coefficients are compared."""
NUM_RECYCLED = 8
"""Directions that are handed on."""
NUM_KEPT = 16
"""Preconditioned residuals of a run in which they are looked for."""


@dataclass(frozen=True)
class Run:
    """How one system was solved.

    Args:
        solution: ``[nx, ny]``.
        num_iterations: Of conjugate gradients.
        factorised: Whether they did not converge and its matrix was factorised instead.
    """

    solution: np.ndarray
    num_iterations: int
    factorised: bool = False


def features(system: FivePointSystem) -> np.ndarray:
    """What two systems are compared by: means of ``log`` of the diagonal on blocks."""
    values = np.log(system.diagonal)
    for axis in range(2):
        count = min(FEATURE_SIZE, values.shape[axis])
        parts = np.array_split(values, count, axis=axis)
        values = np.stack([part.mean(axis) for part in parts], axis=axis)
    return values.ravel()


def similarity_order(points: np.ndarray) -> list[int]:
    """Greedy tour: from the point farthest from the mean, always on to the nearest one left.

    Args:
        points: ``[sample, feature]``.
    """
    current = int(np.argmax(np.square(points - points.mean(0)).sum(1)))
    left = np.ones(len(points), dtype=bool)
    order = [current]
    for _ in range(len(points) - 1):
        left[current] = False
        distance = np.square(points - points[current]).sum(1)
        current = int(np.argmin(np.where(left, distance, np.inf)))
        order.append(current)
    return order


def solve_recycled(
    systems: Sequence[FivePointSystem],
    *,
    tolerance: float = TOLERANCE,
    sort: bool = True,
    warm: bool = True,
    num_recycled: int = NUM_RECYCLED,
    preconditioner: Callable[[FivePointSystem], Preconditioner] = FastPoisson,
) -> list[Run]:
    """Solve systems of one grid one after another, each with what the previous ones left.

    Args:
        systems: Real, symmetric and positive definite.
        tolerance: On every relative residual.
        sort: Solve in the order of similarity; else in the order given.
        warm: Start from the previous solution; else from zero.
        num_recycled: Directions handed on; 0 for none.
        preconditioner: Made for every system.

    Returns:
        One run per system, in the order given.
    """
    order = list(range(len(systems)))
    if sort:
        order = similarity_order(np.stack([features(system) for system in systems]))
    shape = systems[0].diagonal.shape
    start, recycled = np.zeros(shape), np.zeros((0, *shape))
    runs: dict[int, Run] = {}
    for index in order:
        system, near = systems[index], preconditioner(systems[index])
        solution, count, kept = deflated_cg(
            system,
            near,
            start=start,
            recycled=recycled,
            tolerance=tolerance,
            num_kept=NUM_KEPT if num_recycled else 0,
        )
        runs[index] = _completed(system, Run(solution, count), tolerance)
        if warm:
            start = runs[index].solution
        if num_recycled and len(kept):
            recycled = harvest(system, near, np.concatenate((recycled, kept)), num_recycled)
    return [runs[index] for index in range(len(systems))]


def solve_alone(system: FivePointSystem, tolerance: float = TOLERANCE) -> Run:
    """Solve one system from zero: a function of that system, to the last bit.

    Args:
        system: Real, symmetric and positive definite.
        tolerance: On the relative residual.
    """
    solution, count, _ = deflated_cg(system, FastPoisson(system), tolerance=tolerance)
    return _completed(system, Run(solution, count), tolerance)


def _completed(system: FivePointSystem, run: Run, tolerance: float) -> Run:
    """The run, or a direct solve where iteration did not get there.

    The recursion's residual drifts from the true one, which is why 10 times as much may be left.
    """
    if system.relative_residual(run.solution) <= 10 * tolerance:
        return run
    return replace(run, solution=system.solve(), factorised=True)
