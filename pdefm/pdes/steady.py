"""Steady problems: coefficients in, one solution out."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid
from pdefm.errors import RecipeError
from pdefm.pdes.base import PDE, Integration, Parameters, per_frame
from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.recycling import solve_alone, solve_recycled

SOLVERS = ("direct", "iterative", "recycled")
TOLERANCE = 1e-10
"""Relative residual of a sample that counts as solved."""


class SteadyPDE(PDE):
    """A family of steady problems ``F(u; coefficients) = 0``, stored as one frame at time 0.

    A subclass writes ``coefficients`` (fields, and measured numbers as tensors without axes),
    ``system`` (the linear system of one sample) and ``tendency`` (``F`` by torch operations, of
    which ``residual`` is made). Solved in float64 on the CPU, whatever the device.

    Args:
        solver: ``direct`` factorises every sample's matrix; ``iterative`` takes conjugate gradients
            with a fast Poisson solver, and factors only where they do not converge. ``recycled``
            sorts the samples of a micro-batch and solves them one after another by iteration that
            starts from what the previous ones left: the same solutions up to a relative residual of
            1e-11, but not to the last bit, which then depends on the others in the micro-batch.
            The class says a default.
        parameter_ranges: As for every PDE.

    Raises:
        RecipeError: Unknown solver, or as for every PDE.
    """

    steady = True
    dt = 1.0
    solver = "direct"
    symmetric_positive = True
    """Whether ``system`` is real, symmetric and positive definite; only then can it be iterated."""
    shared_matrix = False
    """Whether all samples on one grid have the same matrix, which is then factorised once."""

    def __init__(
        self,
        *,
        solver: str | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
    ) -> None:
        super().__init__(parameter_ranges=parameter_ranges)
        chosen = type(self).solver if solver is None else solver
        known = SOLVERS if self.symmetric_positive else ("direct",)
        self.solver = self._checked_choice("solver", chosen, known)

    def configuration(self) -> dict[str, Any]:
        """As for every PDE, with the solver and without a time step."""
        settings = super().configuration() | {"solver": self.solver}
        del settings["dt"]
        return settings

    @abstractmethod
    def system(self, sample: Mapping[str, Any], grid: Grid) -> FivePointSystem:
        """Linear system of one sample.

        Args:
            sample: Numbers, and coefficient fields as float64 arrays ``[*space]``.
            grid: Where the fields live.
        """

    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Zeros: nothing is drawn, as the solution follows from the coefficients."""
        return torch.zeros(len(self.channel_names), *grid.shape, dtype=torch.float64)

    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """Solve every sample; the one frame is the solution, and ``initial`` only says the dtype.

        Raises:
            RecipeError: More than one time.
        """
        if len(times) != 1:
            raise RecipeError(
                f"{self.name} is steady and has one frame", got=len(times), do="Set num_frames: 1"
            )
        columns = {name: value.double().cpu().numpy() for name, value in parameters.items()}
        samples = [{name: c[i] for name, c in columns.items()} for i in range(len(initial))]
        solved = self.solve_steady(samples, grid)
        states = solved.states.to(initial)
        return Integration(states, solved.faults)

    def solve_steady(self, samples: Sequence[Mapping[str, Any]], grid: Grid) -> Integration:
        """Solve samples by the chosen solver.

        Args:
            samples: For each, numbers and float64 arrays ``[*space]`` by name.
            grid: Where the fields live.

        Returns:
            Float64 states ``[batch, 1, channel, *space]``, and why a sample failed.
        """
        systems = [self.system(sample, grid) for sample in samples]
        if self.solver == "direct":
            factors = systems[0].factorise() if self.shared_matrix else None
            solutions = [system.solve(factors) for system in systems]
        elif self.solver == "iterative":
            solutions = [solve_alone(system).solution for system in systems]
        else:
            solutions = [run.solution for run in solve_recycled(systems)]
        states, faults = [], []
        for system, solution in zip(systems, solutions, strict=True):
            residual = system.relative_residual(solution)
            solved = residual <= TOLERANCE
            faults.append("" if solved else f"was not solved: relative residual {residual:.2g}")
            parts = [np.real(solution), np.imag(solution)][: len(self.channel_names)]
            states.append(torch.from_numpy(np.stack(parts)))
        return Integration(torch.stack(states)[:, None], tuple(faults))

    def residual(
        self,
        states: Float[Tensor, "batch time channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"] | None = None,
    ) -> Float[Tensor, "batch time channel *space"]:
        """``F(u)`` of every frame, zero up to rounding for a solution of the discrete equation.

        Args:
            states: One frame a sample, physical units.
            parameters: One value or coefficient field per sample.
            grid: Where the states live.
            times: Not needed.
        """
        num_frames = states.shape[1]
        repeated = per_frame(parameters, num_frames)
        return self.tendency(states.flatten(0, 1), repeated, grid).unflatten(0, (-1, num_frames))
