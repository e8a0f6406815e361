"""What every equation offers, whatever its method, dimension or boundary."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pdefm.domain import AXIS_NAMES, BoundaryCondition, Field, Grid
from pdefm.errors import NumericalError, RecipeError
from pdefm.registry import nearest_name_hint

Range = tuple[float, float]
Parameters = Mapping[str, Tensor]
"""Per name, a scalar for each sample ``[batch]`` or a coefficient field ``[batch, *space]``."""
MIN_RESOLUTION = 8
INVARIANT_KINDS = ("conserved", "decays", "grows", "bounded")
"""What an invariant may do in time: stay, never grow, never fall, or never become much larger
(ten times in size) than it was at first."""


@dataclass(frozen=True)
class Integration:
    """States of a batch, and for each sample why it failed.

    Args:
        states: ``[batch, time, channel, *space]``; frames after a failure are NaN.
        faults: One per sample; empty text means none.
    """

    states: Float[Tensor, "batch time channel *space"]
    faults: tuple[str, ...]


class PDE(ABC):
    """A family of evolutions: one equation, a range for each parameter, random initial states.

    A subclass sets the class attributes and writes ``initial_state``, ``integrate`` and
    ``tendency``; ``coefficients`` and ``invariants`` if it has any. ``solver_version`` grows
    whenever the same seed would give other numbers.

    Args:
        dt: Time between saved frames; the class says a default.
        parameter_ranges: Replaces ranges by name; a number instead of a pair fixes the value.

    Raises:
        RecipeError: An unknown parameter, an impossible range or a ``dt`` that is not positive.
    """

    name: str
    solver_version: int
    fields: tuple[Field, ...]
    parameter_ranges: Mapping[str, Range]
    log_uniform: frozenset[str] = frozenset()
    """Parameters drawn evenly in their logarithm; the others are drawn evenly."""
    extent: tuple[float, ...]
    boundary: BoundaryCondition
    dt: float
    steady: bool = False
    """Whether a sample is one frame without time."""
    invariant_kinds: Mapping[str, str] = MappingProxyType({})
    """Per name in ``invariants``, one of ``INVARIANT_KINDS``."""

    micro_batch: int = 16
    """Samples that ``solve_samples`` hands to ``integrate`` at a time, if not told otherwise."""

    def __init__(
        self,
        *,
        dt: float | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
    ) -> None:
        self.dt = self._checked_dt(type(self).dt if dt is None else dt)
        changes = {
            name: self._checked_range(name, value)
            for name, value in (parameter_ranges or {}).items()
        }
        self.parameter_ranges = {**type(self).parameter_ranges, **changes}

    def _checked_dt(self, dt: float) -> float:
        if isinstance(dt, int | float) and isfinite(dt) and dt > 0:
            return float(dt)
        raise RecipeError(
            f"{self.name}: dt must be a positive number", got=dt, do="Set dt, as in dt: 0.1"
        )

    def _checked_choice(self, what: str, value: str, known: Sequence[str]) -> str:
        if value in known:
            return value
        raise RecipeError(
            f"{self.name}: unknown {what}",
            got=f"'{value}'",
            do=nearest_name_hint(str(value), list(known)),
        )

    def _checked_range(self, name: str, value: Sequence[float] | float) -> Range:
        known = type(self).parameter_ranges
        if name not in known:
            raise RecipeError(
                f"{self.name}: unknown parameter",
                got=f"'{name}'",
                do=nearest_name_hint(name, list(known)),
            )
        try:
            low, high = (value, value) if isinstance(value, int | float) else map(float, value)
        except (TypeError, ValueError):
            low, high = float("nan"), float("nan")
        smallest = 0.0 if name in self.log_uniform and low != high else -float("inf")
        if not (isfinite(low) and isfinite(high) and smallest < low <= high):
            bound = "positive " if smallest == 0 else ""
            raise RecipeError(
                f"{self.name}: range of '{name}' needs two {bound}growing numbers or one number",
                got=value,
                do=f"Write it as {name}: {list(known[name])}",
            )
        return float(low), float(high)

    @property
    def num_dims(self) -> int:
        """Number of space axes."""
        return len(self.extent)

    @property
    def sides(self) -> tuple[tuple[BoundaryCondition, BoundaryCondition], ...]:
        """Per axis, what happens at the lower and the upper side: ``boundary`` on all of them."""
        return ((self.boundary, self.boundary),) * self.num_dims

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One name per channel; a vector field fills one channel per axis."""
        axes = AXIS_NAMES[: self.num_dims]
        return tuple(name for field in self.fields for name in field.component_names(axes))

    @property
    def channel_units(self) -> tuple[str, ...]:
        """One unit per channel."""
        axes = AXIS_NAMES[: self.num_dims]
        return tuple(field.unit for field in self.fields for _ in field.component_names(axes))

    def configuration(self) -> dict[str, Any]:
        """All that decides the numbers besides seed and resolution, as plain JSON values."""
        return {
            "name": self.name,
            "solver_version": self.solver_version,
            "channels": list(self.channel_names),
            "parameter_ranges": {key: list(pair) for key, pair in self.parameter_ranges.items()},
            "log_uniform": sorted(self.log_uniform),
            "extent": list(self.extent),
            "boundary": str(self.boundary),
            "dt": self.dt,
        }

    def grid(self, resolution: int | tuple[int, ...]) -> Grid:
        """Grid over the family's extent.

        Args:
            resolution: Points per axis; one number stands for all axes.

        Raises:
            RecipeError: Not one number per axis, or too few points.
        """
        shape = (resolution,) * self.num_dims if isinstance(resolution, int) else tuple(resolution)
        if len(shape) != self.num_dims or min(shape) < MIN_RESOLUTION:
            raise RecipeError(
                f"{self.name}: resolution needs {self.num_dims} numbers of at least "
                f"{MIN_RESOLUTION}",
                got=resolution,
                do="Set resolution, as in resolution: 64",
            )
        return Grid.regular(shape, self.extent, self.boundary is BoundaryCondition.PERIODIC)

    def sample_parameters(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw every parameter from its range; a fixed one uses up a draw too.

        So fixing one parameter leaves the values of all others as they were.
        """
        parameters = {}
        for name, (low, high) in self.parameter_ranges.items():
            fraction = rng.uniform()
            if low == high:
                parameters[name] = low
            elif name in self.log_uniform:
                parameters[name] = float(low * (high / low) ** fraction)
            else:
                parameters[name] = float(low + (high - low) * fraction)
        return parameters

    def coefficients(
        self, parameters: Mapping[str, float], grid: Grid, rng: np.random.Generator
    ) -> dict[str, Shaped[Tensor, "*space"]]:
        """Random fields of the equation that do not change in time, such as a speed of sound.

        Drawn before the initial state and from the same generator. Each joins the parameters
        under its name and is stored as a constant; a boolean one named ``mask`` (true inside the
        domain) is stored as the mask.

        Args:
            parameters: Values of ``sample_parameters``.
            grid: From ``grid``.
            rng: The only source of randomness.

        Returns:
            Float64 fields, the same functions at any resolution, or the boolean mask; a tensor
            without axes is a number measured on the fields and is recorded as a parameter.
        """
        return {}

    @abstractmethod
    def initial_state(
        self, parameters: Mapping[str, Any], grid: Grid, rng: np.random.Generator
    ) -> Float[Tensor, "channel *space"]:
        """Random smooth state at time 0, float64, the same function at any resolution.

        Args:
            parameters: Values of ``sample_parameters`` and fields of ``coefficients``.
            grid: From ``grid``.
            rng: The only source of randomness.
        """

    @abstractmethod
    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """Advance a batch; a sample that fails is reported and leaves its partners alone.

        Args:
            initial: States at ``times[0]``, physical units; dtype and device are those computed in.
            parameters: One value or coefficient field per sample.
            grid: Where ``initial`` lives.
            times: Growing, from 0.

        Returns:
            States at all times (the first is ``initial``), and a reason per failed sample.
        """

    @abstractmethod
    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """Right-hand side of ``u_t = f(u)``, differentiable, in units of the fields per time.

        Of a steady family, what is zero for a solution: ``f`` of ``f(u) = 0``.

        Args:
            state: Physical units.
            parameters: One value or coefficient field per sample.
            grid: Where the state lives.
        """

    def residual(
        self,
        states: Float[Tensor, "batch time channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Float[Tensor, "batch steps channel *space"]:
        """How far frames are from solving the equation, differentiable with respect to them.

        ``(u_{n+1} - u_n) / dt - (f(u_n) + f(u_{n+1})) / 2``, of second order in ``dt`` for an exact
        solution (Crank & Nicolson 1947, Proc. Camb. Phil. Soc. 43, 50-67).

        Args:
            states: Frames, physical units.
            parameters: One value or coefficient field per sample.
            grid: Where the states live.
            times: Growing, one per frame.

        Returns:
            One entry between each two frames, ``time - 1`` of them.
        """
        num_frames = states.shape[1]
        repeated = per_frame(parameters, num_frames)
        slopes = self.tendency(states.flatten(0, 1), repeated, grid).unflatten(0, (-1, num_frames))
        dt = times.diff().to(states).reshape(-1, *(1,) * (1 + grid.num_dims))  # [steps, 1, .., 1]
        return states.diff(dim=1) / dt - (slopes[:, :-1] + slopes[:, 1:]) / 2

    def invariants(
        self,
        states: Float[Tensor, "batch time channel *space"],
        parameters: Parameters,
        grid: Grid,
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """Quantities whose course in time is known, named as in ``invariant_kinds``.

        Args:
            states: Frames, physical units.
            parameters: One value or coefficient field per sample.
            grid: Where the states live.
        """
        return {}

    def solve(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Float[Tensor, "batch time channel *space"]:
        """States at all times, as ``integrate`` gives them, or an error if any sample failed.

        Raises:
            NumericalError: A sample blew up or needs too small a time step.
        """
        assert initial.shape[1:] == (len(self.channel_names), *grid.shape), initial.shape
        solved = self.integrate(initial, parameters, grid, times)
        for index, fault in enumerate(solved.faults):
            if fault:
                raise NumericalError(
                    f"{self.name}: sample {index} of {prod(initial.shape[:1])} {fault}",
                    do="Lower dt or the amplitude, raise the viscosity or the resolution",
                )
        return solved.states


def as_column(values: Float[Tensor, " batch"], num_axes: int) -> Tensor:
    """Float64 values ``[batch]`` as ``[batch, 1, ..., 1]`` with ``num_axes`` ones."""
    return values.to(torch.float64).reshape(-1, *(1,) * num_axes)  # [batch, 1, ..., 1]


def space_mean(values: Float[Tensor, "*lead"], num_dims: int) -> Float[Tensor, "*rest"]:
    """Mean over the last ``num_dims`` axes."""
    return values.mean(tuple(range(-num_dims, 0)))


def per_frame(parameters: Parameters, num_frames: int) -> dict[str, Tensor]:
    """Parameters of a batch whose frames are flattened into its batch axis."""
    return {name: value.repeat_interleave(num_frames, 0) for name, value in parameters.items()}
