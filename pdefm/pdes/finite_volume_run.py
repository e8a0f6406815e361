"""A batch of samples of a conservation law on its way through time."""

from collections.abc import Callable
from math import ceil, isfinite
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.pdes.base import Integration, Parameters
from pdefm.pdes.padded_cells import PaddedCells, as_rows, inner_rows

if TYPE_CHECKING:
    from pdefm.pdes.finite_volume import FiniteVolumePDE

CPU_BLOCK_CELLS = 40_000
"""Cells in flight on a CPU: as many samples as keep all temporaries in its cache."""
SSP_RUNGE_KUTTA = {2: (0.0, 1 / 2), 3: (0.0, 3 / 4, 1 / 3)}
"""Weight of the step's first state after each stage, by order of the method.

Source: Shu & Osher (1988), J. Comput. Phys. 77, 439-471."""


class FiniteVolumeRun:
    """A batch on its way; row ``i`` of every tensor belongs to sample ``samples[i]``."""

    def __init__(
        self,
        pde: "FiniteVolumePDE",
        initial: Tensor,
        parameters: Parameters,
        cells: PaddedCells,
        times: list[float],
    ) -> None:
        self.pde, self.cells, self.times = pde, cells, times
        self.samples = list(range(len(initial)))
        self.faults = [""] * len(initial)
        self.frames = initial.new_full((len(initial), len(times), *initial.shape[1:]), float("nan"))
        self.rows = as_rows(parameters, cells, initial)
        self.clock = [times[0]] * len(initial)
        self.saved = [0] * len(initial)
        padded = cells.pad(initial.movedim(1, 0), pde.vector_start)
        self.conserved = pde.to_conserved(cells.inner(padded), inner_rows(self.rows, self.cells))
        self.primitive = padded
        self.frames[:, 0] = initial
        if len(times) == 1:
            self.samples = []

    def _refresh(self) -> None:
        """Primitive variables and ghost cells of the conserved state."""
        self.pde.to_primitive(
            self.conserved, inner_rows(self.rows, self.cells), self.cells.inner(self.primitive)
        )
        self.cells.fill_ghosts(self.primitive, self.pde.vector_start)

    def _keep(self, slots: list[int]) -> None:
        """Drop all samples but those in ``slots``."""
        if len(slots) == len(self.samples):
            return
        self.samples = [self.samples[i] for i in slots]
        self.clock = [self.clock[i] for i in slots]
        self.conserved = self.conserved[:, slots]
        self.primitive = self.primitive[:, slots]
        self.rows = {name: value[slots] for name, value in self.rows.items()}

    def _steps(self) -> list[float]:
        """Step of every sample; those that cannot go on are given up."""
        rates = self.pde.signal_rate(self.primitive, self.rows, self.cells.spacings)
        good, steps = [], []
        for slot, rate in enumerate(rates.amax(-1).tolist()):
            sample = self.samples[slot]
            frame = self.saved[sample] + 1
            span = self.times[frame] - self.times[frame - 1]
            remaining = self.times[frame] - self.clock[slot]
            if not isfinite(rate):
                self.faults[sample] = f"became non-finite or negative before frame {frame}"
                continue
            fixed = self.pde.num_substeps
            count = ceil(remaining * rate / self.pde.courant_number)
            count = max(1, round(remaining / span * fixed) if fixed else count)
            if remaining / count * self.pde.max_substeps < span and not fixed:
                self.faults[sample] = (
                    f"time step too small: frame {frame} needs steps below "
                    f"{remaining / count:.3g}, over {self.pde.max_substeps} a frame"
                )
                continue
            self.clock[slot] = (
                self.times[frame] if count == 1 else (self.clock[slot] + remaining / count)
            )
            good.append(slot)
            steps.append(remaining / count)
        self._keep(good)
        return steps

    def finish(self) -> None:
        """Step until every sample has reached its last frame or failed."""
        while self.samples:
            self.step()

    def step(self) -> None:
        """Advance every sample by its own step, and save those that reach a frame."""
        steps = self._steps()
        if steps:
            self.advance(steps)
            self._refresh()
            self._save()

    def advance(self, steps: list[float]) -> None:
        """One Runge-Kutta step of every sample, each by its own time."""
        dt = self.primitive.new_tensor(steps)[:, None]
        start = self.conserved
        for stage, weight in enumerate(SSP_RUNGE_KUTTA[self.pde.order_in_time]):
            if stage:
                self._refresh()
            slope = self.pde.conserved_tendency(self.primitive, self.rows, self.cells)
            self.conserved = slope.mul_(dt).add_(self.conserved)
            if weight:
                self.conserved.lerp_(start, weight)

    def _save(self) -> None:
        """Store the samples that are at a frame; let go of finished and impossible ones."""
        going = []
        for slot, sample in enumerate(self.samples):
            frame = self.saved[sample] + 1
            if self.clock[slot] < self.times[frame]:
                going.append(slot)
                continue
            row = self.cells.inner(self.primitive[:, slot : slot + 1])
            state = self.cells.unpad(row)[:, 0]
            self.saved[sample] = frame
            if not bool(state.isfinite().all()):
                self.faults[sample] = f"became non-finite in frame {frame}"
            elif not bool((state[: self.pde.num_positive] > 0).all()):
                names = " or ".join(self.pde.channel_names[: self.pde.num_positive])
                self.faults[sample] = f"lost its positive {names} in frame {frame}"
            else:
                self.frames[sample, frame] = state
                if frame + 1 < len(self.times):
                    going.append(slot)
        self._keep(going)


def integrate_in_blocks(
    start_run: Callable[[Tensor, Parameters], FiniteVolumeRun],
    initial: Float[Tensor, "batch channel *space"],
    parameters: Parameters,
    num_points: int,
) -> Integration:
    """Run a batch to its end, on a CPU a few samples at a time.

    Args:
        start_run: Makes a run of some initial states and their parameters.
        initial: Physical units.
        parameters: One value or coefficient field per sample.
        num_points: Cells of one sample in memory.
    """
    block = len(initial)
    if initial.device.type == "cpu":
        block = max(1, CPU_BLOCK_CELLS // num_points)
    states, faults = [], []
    for first in range(0, len(initial), block):
        chosen = {name: value[first : first + block] for name, value in parameters.items()}
        run = start_run(initial[first : first + block], chosen)
        run.finish()
        states.append(run.frames)
        faults += run.faults
    return Integration(torch.cat(states), tuple(faults))
