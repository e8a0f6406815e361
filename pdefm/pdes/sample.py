"""Seeded samples of an equation: draw, solve, check, and redraw what is no use."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import NumericalError, RecipeError
from pdefm.pdes.base import PDE

SAMPLING_VERSION = 1
"""Grows whenever the rules below would give other samples for the same seed."""
MAX_ATTEMPTS = 8
EXPLOSION_FACTOR = 1e3
"""A sample may not grow beyond this many times its largest initial value."""
FROZEN_FRACTION = 1e-3
"""A channel must change by this part of its largest value."""
FADED_FRACTION = 0.05
"""A channel must keep this part of its contrast; what is left below is no dynamics to learn, and
relative errors of it would outweigh every other sample."""


@dataclass(frozen=True)
class Rejection:
    """A draw that was not used.

    Args:
        index: Of the sample.
        attempt: 0 for the first draw.
        reason: In words.
    """

    index: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class Solution:
    """Samples of one equation on one grid, on the CPU.

    Args:
        fields: ``[sample, time, channel, *space]`` in physical units.
        times: ``[time]``, float64, from 0.
        parameters: One value a sample, float64, measured ones of ``coefficients`` included.
        grid: Points and extents.
        names: One per channel.
        units: One per channel.
        boundary: Per axis, condition at the lower and the upper side.
        constants: Coefficient fields ``[sample, *space]``, in the precision of ``fields``.
        mask: ``[sample, *space]``, true inside the domain; ``None`` means everywhere.
        rejections: Draws that were replaced, by index and attempt.
    """

    fields: Float[Tensor, "sample time channel *space"]
    times: Float[Tensor, " time"]
    parameters: dict[str, Float[Tensor, " sample"]]
    grid: Grid
    names: tuple[str, ...]
    units: tuple[str, ...]
    boundary: tuple[tuple[BoundaryCondition, BoundaryCondition], ...]
    constants: dict[str, Float[Tensor, "sample *space"]] = field(default_factory=dict)
    mask: Bool[Tensor, "sample *space"] | None = None
    rejections: tuple[Rejection, ...] = ()


def sample_generator(pde_name: str, seed: int, index: int, attempt: int) -> np.random.Generator:
    """Random numbers of one draw, the same in every process (``hash`` is not)."""
    key = (zlib.crc32(pde_name.encode()), index, attempt)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def solve_samples(
    pde: PDE,
    num_samples: int,
    *,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    first_index: int = 0,
    micro_batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Solution:
    """Draw and solve samples ``first_index .. first_index + num_samples - 1``.

    Sample ``i`` is a function of the equation's name and settings, ``seed``, ``i`` and the
    attempt; how many others are asked for and how they are batched does not matter.

    Args:
        pde: Equation with its settings.
        num_samples: How many.
        resolution: Points per axis.
        num_frames: Saved frames, the initial state included, ``pde.dt`` apart.
        seed: Not negative.
        device: Where the solver runs.
        dtype: Precision of the states, in the solver and in the result.
        first_index: Index of the first sample.
        micro_batch: Samples in flight; the equation's own number unless given.
        progress: Told how many samples have just been finished, after every micro-batch.

    Returns:
        The samples in the order of their index.

    Raises:
        NumericalError: ``MAX_ATTEMPTS`` draws of one sample were all rejected.
        RecipeError: A number is out of range.
    """
    micro_batch = pde.micro_batch if micro_batch is None else micro_batch
    for name, value, least in (
        ("num_samples", num_samples, 1),
        ("num_frames", num_frames, 1),
        ("seed", seed, 0),
        ("first_index", first_index, 0),
        ("micro_batch", micro_batch, 1),
    ):
        if value < least:
            raise RecipeError(f"{name} must be at least {least}", got=value, do=f"Raise {name}")
    maker = _Maker(pde, pde.grid(resolution), num_frames, seed, torch.device(device), dtype)
    pending = [(first_index + i, 0) for i in range(num_samples)]
    with _flushed_denormals(), torch.no_grad():
        while pending:
            batch, pending = pending[:micro_batch], pending[micro_batch:]
            again = maker.solve(batch)
            pending = again + pending
            if progress is not None and len(again) < len(batch):
                progress(len(batch) - len(again))
    return maker.solution()


class _Maker:
    """Solves micro-batches and keeps what is good."""

    def __init__(
        self,
        pde: PDE,
        grid: Grid,
        num_frames: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.pde, self.grid, self.seed, self.device, self.dtype = pde, grid, seed, device, dtype
        self.times = torch.arange(num_frames, dtype=torch.float64) * pde.dt
        self.fields: dict[int, Tensor] = {}
        self.parameters: dict[int, dict[str, Any]] = {}
        self.rejections: list[Rejection] = []

    def solve(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Solve ``(index, attempt)`` pairs; return the pairs to try next."""
        drawn, initial = [], []
        for index, attempt in batch:
            rng = sample_generator(self.pde.name, self.seed, index, attempt)
            scalars = self.pde.sample_parameters(rng)
            drawn.append(scalars | self.pde.coefficients(scalars, self.grid, rng))
            initial.append(self.pde.initial_state(drawn[-1], self.grid, rng))
        parameters = {name: column.to(self.device) for name, column in stacked(drawn).items()}
        start = torch.stack(initial).to(self.device, self.dtype)
        solved = self.pde.integrate(start, parameters, self.grid, self.times)
        states = solved.states.cpu()
        again = []
        for i, (index, attempt) in enumerate(batch):
            reason = solved.faults[i] or unusable_reason(states[i])
            if not reason:
                # A copy: a view would keep the whole micro-batch alive.
                self.fields[index], self.parameters[index] = states[i].clone(), drawn[i]
                continue
            self.rejections.append(Rejection(index, attempt, reason))
            if attempt + 1 == MAX_ATTEMPTS:
                raise NumericalError(
                    f"{self.pde.name}: sample {index} of seed {self.seed} was rejected "
                    f"{MAX_ATTEMPTS} times, the last time because it {reason}",
                    do="Lower dt or narrow the parameter ranges",
                )
            again.append((index, attempt + 1))
        return again

    def solution(self) -> Solution:
        """What was kept, by index."""
        order = sorted(self.fields)
        columns = stacked([self.parameters[index] for index in order])
        fields = {name for name, column in columns.items() if column.dim() > 1} - {"mask"}
        return Solution(
            fields=torch.stack([self.fields[index] for index in order]),
            times=self.times,
            parameters={name: column for name, column in columns.items() if column.ndim == 1},
            grid=self.grid,
            names=self.pde.channel_names,
            units=self.pde.channel_units,
            boundary=self.pde.sides,
            constants={name: columns[name].to(self.dtype) for name in columns if name in fields},
            mask=columns.get("mask"),
            rejections=tuple(sorted(self.rejections, key=lambda r: (r.index, r.attempt))),
        )


def stacked(drawn: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Parameters of single samples, one tensor a name: scalars ``[sample]`` in float64, fields."""
    return {
        name: torch.stack([values[name] for values in drawn])
        if isinstance(first, Tensor)
        else torch.tensor([values[name] for values in drawn], dtype=torch.float64)
        for name, first in drawn[0].items()
    }


def unusable_reason(states: Float[Tensor, "time channel *space"]) -> str:
    """Why a trajectory teaches nothing, or empty text.

    Non-finite, exploding (beyond ``EXPLOSION_FACTOR`` times its largest initial value), frozen (a
    channel that does not change) or faded (a channel that has lost its contrast). A single frame is
    only checked for being finite.
    """
    if not bool(states.isfinite().all()):
        return "became non-finite"
    if len(states) < 2:
        return ""
    flat = states.flatten(2)  # [time, channel, points]
    largest = float(flat[0].abs().max())
    if float(flat.abs().max()) > EXPLOSION_FACTOR * largest:
        return f"exploded: grew from {largest:.3g} to {float(flat.abs().max()):.3g}"
    change = (flat - flat[:1]).abs().amax((0, 2))
    if bool((change <= FROZEN_FRACTION * flat.abs().amax((0, 2))).any()):
        return "is frozen: a channel does not change"
    before, after = flat[[0, -1]].std(-1, correction=0)
    if bool((after <= FADED_FRACTION * before).any()):
        return "faded: a channel became constant in space"
    return ""


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Treat numbers too small for full precision as zero: they are a hundred times slower."""
    was_on = float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)
