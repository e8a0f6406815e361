"""Periodic equations solved by Fourier modes and ETDRK, each sample with its own time step."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, inf, isfinite, log2
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.base import Integration, Parameters, per_frame
from pdefm.pdes.etdrk import ETDRK2, ETDRK4, ExponentialStepper, NonlinearTerm
from pdefm.pdes.stepped import SteppedPDE
from pdefm.pdes.wavenumbers import Wavenumbers

METHODS: Mapping[str, type[ExponentialStepper]] = {"etdrk4": ETDRK4, "etdrk2": ETDRK2}
STEP_FRACTIONS = {"etdrk4": 1.0, "etdrk2": 0.5}
"""Largest step of each method, as a part of ``time_step_limit``."""
SAMPLES_IN_CACHE = 16
"""Samples that advance together on a CPU: more of 64 x 64 points leave its caches."""


def power_of_two_substeps(frame_dt: float, limit: float) -> int:
    """Smallest ``2^j`` with ``frame_dt / 2^j <= limit``; 0 if the limit is not positive."""
    if not limit > 0:
        return 0
    if limit >= frame_dt:
        return 1
    # 2^60 steps are as impossible as more: it keeps the integer finite for a denormal limit.
    return 2 ** min(60, ceil(log2(frame_dt / limit)))


def crossing_rate(
    velocity: Float[Tensor, "batch dim *space"], grid: Grid
) -> Float[Tensor, " batch"]:
    """Largest ``sum_i |u_i| / dx_i`` over the grid, in 1/time: cells crossed per unit of time."""
    rates = [velocity[:, i].abs() / axis.spacing for i, axis in enumerate(grid.axes)]
    return torch.stack(rates).sum(0).flatten(1).amax(1)


class SpectralPDE(SteppedPDE):
    """``u_t = L u + N(u)`` on a periodic box, ``L`` diagonal in Fourier space.

    Every frame is divided into the smallest power of two of substeps that respects
    ``time_step_limit`` of the sample at the start of that frame; samples with the same number
    advance together. So a result does not depend on the other samples of the batch.

    Args:
        dt: Time between saved frames.
        parameter_ranges: Replaces ranges by name.
        num_substeps: Fixed number of steps a frame instead, for convergence studies.
        method: ``etdrk4`` evaluates ``N`` four times a step, ``etdrk2`` twice, for a lower accuracy
            in twice as many steps.

    Raises:
        RecipeError: Unknown method, or as for every PDE that is stepped.
    """

    boundary = BoundaryCondition.PERIODIC
    micro_batch = 64
    max_substeps = 1024

    def __init__(
        self,
        *,
        dt: float | None = None,
        parameter_ranges: Mapping[str, Sequence[float] | float] | None = None,
        num_substeps: int | None = None,
        method: str = "etdrk4",
    ) -> None:
        super().__init__(dt=dt, parameter_ranges=parameter_ranges, num_substeps=num_substeps)
        self.method = self._checked_choice("method", method, list(METHODS))

    def scheme(self) -> dict[str, Any]:
        """See ``SteppedPDE.scheme``."""
        return {"method": f"Fourier {self.method.upper()}", "dealiasing": "2/3"}

    def modes(self, grid: Grid, dtype: torch.dtype, device: torch.device) -> Wavenumbers:
        """The modes in which ``L`` is diagonal: Fourier ones, unless there are walls."""
        return Wavenumbers(grid, dtype, device)

    @abstractmethod
    def linear_operator(
        self, wavenumbers: Wavenumbers, parameters: Parameters
    ) -> Float[Tensor, "batch channel *modes"] | Complex[Tensor, "batch channel *modes"]:
        """Eigenvalues of ``L``, float64 or complex128, in 1/time."""

    @abstractmethod
    def nonlinear(self, wavenumbers: Wavenumbers, parameters: Parameters) -> NonlinearTerm:
        """Function ``N`` of the coefficients; what it needs per batch is prepared here, once."""

    @abstractmethod
    def time_step_limit(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, " batch"]:
        """Largest step at which the explicit part ``N`` is stable and accurate.

        Args:
            state: Physical units.
            parameters: One value per sample.
            grid: Where the state lives.
        """

    def integrate(
        self,
        initial: Float[Tensor, "batch channel *space"],
        parameters: Parameters,
        grid: Grid,
        times: Float[Tensor, " time"],
    ) -> Integration:
        """See ``PDE.integrate``."""
        run = _Run(self, initial, parameters, grid)
        moments = times.tolist()
        for start, stop in pairwise(moments):
            run.advance_frame(stop - start)
        return Integration(torch.stack(run.frames, dim=1), tuple(run.faults))

    def tendency(
        self, state: Float[Tensor, "batch channel *space"], parameters: Parameters, grid: Grid
    ) -> Float[Tensor, "batch channel *space"]:
        """``L u + N(u)`` of the modes that the 2/3 rule keeps. See ``PDE.tendency``."""
        wavenumbers = self.modes(grid, state.dtype, state.device)
        parameters = {name: value.to(state.device) for name, value in parameters.items()}
        linear = self.linear_operator(wavenumbers, parameters).to(wavenumbers.complex_dtype)
        state_hat = wavenumbers.to_spectral(state)
        slope_hat = linear * state_hat + self.nonlinear(wavenumbers, parameters)(state_hat)
        return wavenumbers.to_physical(slope_hat)

    def invariants(
        self,
        states: Float[Tensor, "batch time channel *space"],
        parameters: Parameters,
        grid: Grid,
    ) -> dict[str, Float[Tensor, "batch time"]]:
        """See ``PDE.invariants``."""
        wavenumbers = self.modes(grid, states.dtype, states.device)
        values = self.state_invariants(
            wavenumbers, per_frame(parameters, states.shape[1]), states.flatten(0, 1)
        )
        return {name: value.unflatten(0, states.shape[:2]) for name, value in values.items()}

    def state_invariants(
        self,
        wavenumbers: Wavenumbers,
        parameters: Parameters,
        state: Float[Tensor, "batch channel *space"],
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Invariants of single states; a name for each in ``invariant_kinds``."""
        return {}


_Prepared = tuple[ExponentialStepper, NonlinearTerm]


class _Run:
    """A batch on its way: coefficients, saved frames, faults, and steppers kept between frames."""

    def __init__(
        self, pde: SpectralPDE, initial: Tensor, parameters: Parameters, grid: Grid
    ) -> None:
        self.pde, self.grid = pde, grid
        self.parameters = {name: value.to(initial.device) for name, value in parameters.items()}
        self.wavenumbers = pde.modes(grid, initial.dtype, initial.device)
        self.state_hat = self.wavenumbers.to_spectral(initial)
        self.frames = [initial]
        self.faults = [""] * len(initial)
        self._steppers: dict[tuple[float, tuple[int, ...]], _Prepared] = {}

    def _substeps(self, frame_dt: float) -> dict[int, list[int]]:
        """Samples by their number of substeps; those that need too many are given up."""
        if self.pde.num_substeps:
            limits = [frame_dt / self.pde.num_substeps] * len(self.faults)
        else:
            limit = self.pde.time_step_limit(self.frames[-1], self.parameters, self.grid)
            limits = (STEP_FRACTIONS[self.pde.method] * limit).tolist()
        groups: dict[int, list[int]] = {}
        for sample, limit in enumerate(limits):
            if self.faults[sample]:
                continue
            count = self.pde.num_substeps or power_of_two_substeps(frame_dt, limit)
            if not isfinite(limit) and limit != inf:
                self.faults[sample] = f"became non-finite before frame {len(self.frames)}"
            elif not 0 < count <= self.pde.max_substeps and not self.pde.num_substeps:
                self.faults[sample] = (
                    f"time step too small: frame {len(self.frames)} needs steps below {limit:.3g}, "
                    f"over {self.pde.max_substeps} a frame"
                )
            else:
                groups.setdefault(count, []).append(sample)
        return groups

    def _stepper(self, step_size: float, samples: tuple[int, ...]) -> _Prepared:
        """Coefficients for these samples, from the previous frame if they are the same ones."""
        if (step_size, samples) in self._steppers:
            return self._steppers[step_size, samples]
        chosen = {name: value[list(samples)] for name, value in self.parameters.items()}
        linear = self.pde.linear_operator(self.wavenumbers, chosen)
        method = METHODS[self.pde.method](linear, step_size, self.wavenumbers.complex_dtype)
        return method, self.pde.nonlinear(self.wavenumbers, chosen)

    def advance_frame(self, frame_dt: float) -> None:
        """Advance every sample that has not failed by ``frame_dt`` and save the frame."""
        following = torch.full_like(self.state_hat, float("nan"))
        most = SAMPLES_IN_CACHE if following.device.type == "cpu" else len(self.faults)
        steppers = {}
        for count, members in self._substeps(frame_dt).items():
            # Equal frames differ in the last bits of their times; 12 digits make one key of them.
            step_size = float(f"{frame_dt / count:.12g}")
            for start in range(0, len(members), most):
                samples = tuple(members[start : start + most])
                method, term = self._stepper(step_size, samples)
                steppers[step_size, samples] = method, term
                state_hat = self.state_hat[list(samples)]
                for _ in range(count):
                    state_hat = method.step(state_hat, term)
                following[list(samples)] = state_hat
        self._steppers = steppers
        self.state_hat = following
        frame = self.wavenumbers.to_physical(following)
        finite = frame.flatten(1).isfinite().all(1).tolist()
        for sample, good in enumerate(finite):
            if not good and not self.faults[sample]:
                self.faults[sample] = f"became non-finite in frame {len(self.frames)}"
        self.frames.append(frame)
