"""Kept part of a real Fourier transform on the latent grid, by FFT or by real matrix products.

A spectrum is a real tensor ``[batch, 2, *kept, channel]``: real parts first, then imaginary ones.
Both ways give the same numbers up to rounding. On small grids the products are faster, and they
contain no complex numbers, which exported models cannot have.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.utils._python_dispatch import _get_current_dispatch_mode

# Up to here products win against FFTs (scripts/bench_spectral.py).
MAX_PRODUCT_SIZE = 64
TRANSFORMS = ("auto", "fft", "products")

Key = ParamSpec("Key")
Built = TypeVar("Built")


@dataclass(frozen=True)
class KeptModes:
    """Which frequencies of a transform are kept.

    Args:
        latent: Points per axis.
        num_modes: Frequencies per axis, K; ``None`` is all of them.
        last_axis_modes: The same for the last axis, which holds only ``k >= 0``.
        truncation: ``symmetric`` keeps all k with ``|k| < K`` on the leading axes; ``one_sided``
            the first K entries.
    """

    latent: tuple[int, ...]
    num_modes: int | None = None
    last_axis_modes: int | None = None
    truncation: str = "symmetric"

    def rows(self, axis: int) -> Tensor:
        """Kept frequencies of one leading axis, as indices of the full (two-sided) FFT axis."""
        size, K = self.latent[axis], self.num_modes
        if self.keeps_all(axis):
            return torch.arange(size)
        assert K is not None
        if self.truncation == "one_sided":
            return torch.arange(K)
        return torch.cat([torch.arange(K), torch.arange(size - K + 1, size)])

    def rows_exist(self, axis: int) -> Tensor:
        """Which of these rows a grid has; all of them unless its size is not known yet."""
        size, K = self.latent[axis], self.num_modes
        if K is None or self.keeps_all(axis):
            return torch.arange(size) < size
        if self.truncation == "one_sided":
            return torch.arange(K) < size
        return torch.cat([2 * torch.arange(K) < size, 2 * torch.arange(K - 1, 0, -1) <= size])

    def num_rows(self, axis: int) -> int:
        """Number of these rows."""
        if self.num_modes is None or self.keeps_all(axis):
            return self.latent[axis]
        return self.num_modes if self.truncation == "one_sided" else 2 * self.num_modes - 1

    def keeps_all(self, axis: int) -> bool:
        """True if a leading axis is not truncated."""
        if self.num_modes is None:
            return True
        reach = self.num_modes if self.truncation == "one_sided" else 2 * self.num_modes - 1
        return _known(reach >= self.latent[axis])

    @property
    def columns(self) -> int:
        """Kept frequencies 0, 1, ... of the last axis."""
        half = self.latent[-1] // 2 + 1
        if self.last_axis_modes is None or _known(half <= self.last_axis_modes):
            return half
        return self.last_axis_modes

    def by_products(self, transform: str) -> bool:
        """True if matrix products shall do it."""
        if torch.compiler.is_exporting():
            return True
        if transform == "auto":
            return max(self.latent) <= MAX_PRODUCT_SIZE
        return transform == "products"


def _known(condition: bool) -> bool:
    """A comparison of sizes; one that an export leaves open counts as false.

    Every size takes the same way through an exported model, so that all frequencies are computed
    there, and those that the grid at hand does not have are multiplied by zero.
    """
    return statically_known_true(condition) if torch.compiler.is_exporting() else condition


def known_equal(size: int, other: int) -> bool:
    """True if two sizes are the same, and an export does not leave that open."""
    return _known(size == other)


def cached(build: Callable[Key, Built]) -> Callable[Key, Built]:
    """Keep the small tensors between calls; a traced graph computes them itself.

    Nor are those kept that a dispatch mode made, such as the fake ones of a dry run.
    """
    stored = lru_cache(maxsize=256)(build)

    @wraps(build)
    def get(*key: Key.args, **named: Key.kwargs) -> Built:
        if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
            return build(*key, **named)
        with torch.inference_mode(False):  # or training could not use what inference has stored
            return stored(*key, **named)

    return get


def _angles(frequencies: Tensor, size: int) -> Tensor:
    """``2 pi k x / size``, float64 ``[k, x]``; whole numbers first, so nothing is lost."""
    turns = torch.outer(frequencies, torch.arange(size)) % size
    return turns.double() * (2 * math.pi / size)


@cached
def _last_axis_forward(kept: KeptModes, device: torch.device) -> Tensor:
    """Real values to ``(real, imaginary)``: ``[2 columns, size]``."""
    size = kept.latent[-1]
    angle = _angles(torch.arange(kept.columns), size)
    matrix = torch.cat([angle.cos(), -angle.sin()]) / size**0.5
    return matrix.float().to(device)


@cached
def _last_axis_inverse(kept: KeptModes, device: torch.device) -> Tensor:
    """``(real, imaginary)`` to real values: ``[size, 2 columns]``.

    All frequencies but 0 and Nyquist stand for their mirror image too. The sines of those two are
    zero, so their imaginary parts, which no real signal has, drop out.
    """
    size, columns = kept.latent[-1], torch.arange(kept.columns)
    angle = _angles(columns, size).T  # [size, columns]
    twice = torch.where((columns == 0) | (2 * columns == size), 1.0, 2.0).double()
    twice = twice * (2 * columns <= size)
    matrix = torch.cat([angle.cos() * twice, -angle.sin() * twice], 1) / size**0.5
    return matrix.float().to(device)


def _rotation(angle: Tensor) -> Tensor:
    """``exp(-i angle)`` ``[a, b]`` as a real matrix on ``(b, part)``: ``[part, a, b, part]``."""
    real, imaginary = angle.cos(), -angle.sin()
    return torch.stack([torch.stack([real, -imaginary], -1), torch.stack([imaginary, real], -1)])


@cached
def _row_forward(kept: KeptModes, axis: int, device: torch.device) -> Tensor:
    """``(point, part)`` to ``(part, kept row)``: ``[2 rows, 2 size]``."""
    size = kept.latent[axis]
    rotation = _rotation(_angles(kept.rows(axis), size))  # [part, row, point, part]
    rotation = rotation * kept.rows_exist(axis)[:, None, None]
    return (rotation.flatten(2).flatten(0, 1) / size**0.5).float().to(device)


@cached
def _row_inverse(kept: KeptModes, axis: int, device: torch.device) -> Tensor:
    """``(part, kept row)`` to ``(point, part)``: ``[2 size, 2 rows]``, the transpose of forward."""
    return _row_forward(kept, axis, device).T.contiguous()


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No automatic mixed precision inside the block, of which some kernels know nothing."""
    if torch.compiler.is_exporting():
        return nullcontext()  # exported graphs of other runtimes know no autocast
    return torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)


def to_spectrum(
    values: Float[Tensor, "batch *latent channel"], kept: KeptModes, transform: str = "auto"
) -> Float[Tensor, "batch 2 *kept channel"]:
    """Orthonormal real Fourier transform over the latent axes, kept frequencies only.

    Args:
        values: In any precision; the transform runs in float32.
        kept: Made for this latent grid.
        transform: ``auto``, ``fft`` or ``products``.
    """
    B, *latent, D = values.shape
    n, device = len(latent), values.device
    with full_precision(device):
        values = values.float()
        if not kept.by_products(transform):
            return _fft(values, kept)
        columns, lines = kept.columns, B * math.prod(latent[:-1])
        values = values.reshape(lines, latent[-1], D)
        spectrum = _apply(_last_axis_forward(kept, device), values)
        sizes = [kept.num_rows(axis) for axis in range(n - 1)]
        for axis in range(n - 2, -1, -1):
            # The axes behind are transformed already and ride along: [B *before, (x, 2), rest].
            before, rest = B * math.prod(latent[:axis]), math.prod(sizes[axis + 1 :]) * columns * D
            spectrum = spectrum.reshape(before, 2 * latent[axis], rest)
            spectrum = _apply(_row_forward(kept, axis, device), spectrum)
        return spectrum.reshape(B, 2, *sizes, columns, D)


def from_spectrum(
    spectrum: Float[Tensor, "batch 2 *kept channel"], kept: KeptModes, transform: str = "auto"
) -> Float[Tensor, "batch *latent channel"]:
    """Inverse of :func:`to_spectrum`; what was not kept is zero.

    Where the spectrum is not that of a real field, the result is the real part of the inverse over
    the leading axes, continued as if it were: the same on every device.
    """
    B, D, latent = spectrum.shape[0], spectrum.shape[-1], kept.latent
    n, device = len(latent), spectrum.device
    with full_precision(device):
        values = spectrum.float()
        if not kept.by_products(transform):
            return _inverse_fft(values, kept)
        columns, sizes = kept.columns, [kept.num_rows(axis) for axis in range(n - 1)]
        for axis in range(n - 1):
            before, rest = B * math.prod(latent[:axis]), math.prod(sizes[axis + 1 :]) * columns * D
            values = values.reshape(before, 2 * sizes[axis], rest)
            values = _apply(_row_inverse(kept, axis, device), values)  # [B *before, (x, 2), rest]
        values = values.reshape(B * math.prod(latent[:-1]), 2 * columns, D)
        return _apply(_last_axis_inverse(kept, device), values).reshape(B, *latent, D)


def _apply(matrix: Tensor, values: Tensor) -> Tensor:
    """``[a, b]`` times ``[batch, b, c]``; broadcasting products of torch would copy the values."""
    return torch.bmm(matrix.expand(values.shape[0], -1, -1), values)


def _kept_index(kept: KeptModes, device: torch.device) -> tuple[Any, ...]:
    """Index of the kept part of a full spectrum ``[B, *latent, D]``."""
    leading = len(kept.latent) - 1
    rows = [
        # Each index vector along its own direction, so that all select their product.
        kept.rows(axis).to(device).view(-1, *(1,) * (leading - 1 - axis))
        for axis in range(leading)
    ]
    return (slice(None), *rows, slice(kept.columns))


def _keeps_everything(kept: KeptModes) -> bool:
    n = len(kept.latent)
    return kept.columns == kept.latent[-1] // 2 + 1 and all(map(kept.keeps_all, range(n - 1)))


def _fft(values: Tensor, kept: KeptModes) -> Tensor:
    axes = tuple(range(1, values.ndim - 1))
    spectrum = torch.fft.rfftn(values, dim=axes, norm="ortho")
    if not _keeps_everything(kept):
        spectrum = spectrum[_kept_index(kept, values.device)]
    return torch.stack([spectrum.real, spectrum.imag], 1)


def _inverse_fft(values: Tensor, kept: KeptModes) -> Tensor:
    B, D, latent = values.shape[0], values.shape[-1], kept.latent
    spectrum = torch.complex(values[:, 0], values[:, 1])  # [B, *kept, D]
    if not _keeps_everything(kept):
        full = spectrum.new_zeros(B, *latent[:-1], latent[-1] // 2 + 1, D)
        full[_kept_index(kept, values.device)] = spectrum
        spectrum = full
    last = spectrum.ndim - 2
    if last > 1:
        spectrum = torch.fft.ifftn(spectrum, dim=tuple(range(1, last)), norm="ortho")
    columns = torch.arange(spectrum.shape[last], device=values.device)
    # FFT libraries differ in what they make of imaginary parts that no real field has.
    alone = ((columns == 0) | (2 * columns == latent[-1]))[:, None]
    spectrum = torch.complex(spectrum.real, spectrum.imag.masked_fill(alone, 0.0))
    return torch.fft.irfft(spectrum, n=latent[-1], dim=last, norm="ortho")
