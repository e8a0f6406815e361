"""Fourier modes of a periodic grid, cut by the 2/3 rule, in one to three dimensions."""

from functools import cached_property
from math import pi, prod

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from pdefm.domain import Grid

MODES_PER_BLOCK = 16
"""Vector units multiply complex numbers in blocks and round the rest of an array differently: only
with whole blocks in every sample does its result not depend on its place in a batch."""


def num_kept_modes(num_points: int) -> int:
    """Number of modes ``m >= 0`` with ``3 m < num_points``: products of two alias none of them."""
    return -(-num_points // 3)


class Wavenumbers:
    """The kept modes: ``|m| < N / 3`` on every axis; the rest is zero or not stored.

    The last space axis holds ``m >= 0`` only (the fields are real) and only the kept ones, so all
    spectral arithmetic is a third shorter than with the layout of ``rfftn``. Some zeros may follow
    them, see ``MODES_PER_BLOCK``. The modes of that axis come first, before those of the other
    axes, ``[z, x, y]``: so the transforms along these run over neighbours in memory.

    Args:
        grid: Periodic.
        dtype: float32 or float64, that of the physical state.
        device: Where multipliers live.
    """

    def __init__(self, grid: Grid, dtype: torch.dtype, device: torch.device) -> None:
        self.grid = grid
        self.device = device
        self.dtype = dtype
        self.complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
        num_dims = grid.num_dims
        self._leading = tuple(range(1 - num_dims, 0))
        self._kept = tuple(num_kept_modes(n) for n in grid.shape)
        leading, last = prod(grid.shape[:-1]), self._kept[-1]
        while leading * last % MODES_PER_BLOCK:
            last += 1
        self._num_zeros = last - self._kept[-1]
        self.shape = (last, *grid.shape[:-1])
        self._num_points = grid.shape[-1]
        # Per leading axis, where the modes beyond the cut start and how many they are.
        self._cuts = tuple(
            (dim, kept, num_points - 2 * kept + 1)
            for dim, num_points, kept in zip(self._leading, grid.shape, self._kept, strict=False)
        )

    @cached_property
    def axes(self) -> tuple[Float[Tensor, "*modes"], ...]:
        """Angular wavenumber ``2 pi m / extent`` per axis, float64, broadcastable to the modes."""
        result = []
        num_dims = self.grid.num_dims
        for i, axis in enumerate(self.grid.axes):
            place = (i + 1) % num_dims
            mode = torch.arange(self.shape[place], dtype=torch.float64)
            if place > 0:
                mode = torch.where(mode > axis.num_points // 2, mode - axis.num_points, mode)
            shape = [-1 if j == place else 1 for j in range(num_dims)]
            wavenumber = (2 * pi / axis.extent * mode).reshape(shape)  # [1, .., modes, .., 1]
            result.append(wavenumber.to(self.device))
        return tuple(result)

    @cached_property
    def laplacian(self) -> Float[Tensor, "*modes"]:
        """Eigenvalues ``-|k|^2``, float64."""
        return -torch.stack(torch.broadcast_tensors(*[k.square() for k in self.axes])).sum(0)

    @cached_property
    def inverse_laplacian(self) -> Float[Tensor, "*modes"]:
        """``-1 / |k|^2``, and 0 for the mean, float64."""
        nonzero = self.laplacian != 0
        return torch.where(nonzero, 1 / torch.where(nonzero, self.laplacian, 1.0), 0.0)

    @cached_property
    def derivative(self) -> Complex[Tensor, "dim *modes"]:
        """Eigenvalues ``i k`` of the first derivatives, in the state's precision."""
        return 1j * torch.stack(torch.broadcast_tensors(*self.axes)).to(self.complex_dtype)

    def gradient(self, field: Float[Tensor, "batch 1 *space"]) -> Float[Tensor, "batch dim *space"]:
        """First derivatives of a scalar at the grid points."""
        return self.to_physical(self.to_spectral(field) * self.derivative)

    def coordinates(self) -> tuple[Float[Tensor, "*space"], ...]:
        """Positions of the grid points per axis, float64, on the device."""
        points = [torch.from_numpy(axis.coordinates()).to(self.device) for axis in self.grid.axes]
        return tuple(torch.meshgrid(*points, indexing="ij"))

    def to_physical(
        self, state_hat: Complex[Tensor, "batch channel *modes"]
    ) -> Float[Tensor, "batch channel *space"]:
        """Values at the grid points."""
        num_dims = len(self._kept)
        if self._num_zeros:
            state_hat = state_hat.narrow(-num_dims, 0, self._kept[-1])
        if num_dims > 1:
            state_hat = torch.fft.ifftn(state_hat, dim=self._leading).movedim(-num_dims, -1)
        return torch.fft.irfft(state_hat, n=self._num_points)

    def to_spectral(
        self, state: Float[Tensor, "batch channel *space"]
    ) -> Complex[Tensor, "batch channel *modes"]:
        """Fourier coefficients (unscaled FFT) with everything beyond the cut removed."""
        num_dims = len(self._kept)
        state_hat = torch.fft.rfft(state)[..., : self._kept[-1]]
        if num_dims > 1:
            state_hat = state_hat.movedim(-1, -num_dims).contiguous()
            state_hat = torch.fft.fftn(state_hat, dim=self._leading)
        for dim, start, count in self._cuts:
            state_hat.narrow(dim, start, count).zero_()
        if self._num_zeros:
            state_hat = functional.pad(state_hat, (0, 0) * (num_dims - 1) + (0, self._num_zeros))
        return state_hat
