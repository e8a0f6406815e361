"""Exponential time differencing: the linear part exact, the rest by a Runge-Kutta method.

For ``u' = L u + N(u)`` with diagonal ``L``. Sources: Cox & Matthews (2002), J. Comput. Phys. 176,
430-455, eq. 20-22 (order 2) and 26-29 (order 4); Kassam & Trefethen (2005), SIAM J. Sci. Comput.
26, 1214-1233, on why the coefficients must not be evaluated as written.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import factorial

import torch
from jaxtyping import Complex, Float, Inexact, Shaped
from torch import Tensor

NonlinearTerm = Callable[[Tensor], Tensor]
NUM_TAYLOR_TERMS = 20


def phi_functions(
    z: Shaped[Tensor, "*shape"],
) -> tuple[Shaped[Tensor, "*shape"], Shaped[Tensor, "*shape"], Shaped[Tensor, "*shape"]]:
    """``phi_1, phi_2, phi_3`` with ``phi_k(z) = sum_j z^j / (j + k)!``, without cancellation.

    ``phi_1 = (e^z - 1)/z`` and ``phi_{k+1} = (phi_k - 1/k!)/z`` loses all digits near zero, so
    inside the unit circle ``phi_3`` is its Taylor series (next term below 1e-21) and the recurrence
    runs the other way, where it gains digits.

    Args:
        z: float64 or complex128, dimensionless.

    Returns:
        Three tensors like ``z``, to a few units in the last place.
    """
    near = z.abs() < 1
    small = torch.where(near, z, torch.zeros_like(z))
    near_3 = torch.full_like(z, 1 / factorial(NUM_TAYLOR_TERMS + 2))
    for j in reversed(range(NUM_TAYLOR_TERMS - 1)):
        near_3 = near_3 * small + 1 / factorial(j + 3)
    near_2 = 0.5 + small * near_3
    near_1 = 1 + small * near_2
    large = torch.where(near, torch.ones_like(z), z)
    far_1 = (torch.exp(large) - 1) / large
    far_2 = (far_1 - 1) / large
    far_3 = (far_2 - 0.5) / large
    return (
        torch.where(near, near_1, far_1),
        torch.where(near, near_2, far_2),
        torch.where(near, near_3, far_3),
    )


class ExponentialStepper(ABC):
    """One step of fixed length for a diagonal linear operator.

    Coefficients are computed in float64 or complex128 and cast once to the state's precision, as
    complex numbers: promoting real times complex in every step costs more than the product.

    Args:
        linear: Eigenvalues of ``L``, real or complex, per sample, channel and mode, in 1/time.
        step_size: Time step.
        dtype: That of the state: complex, or real for a real linear part of real modes.
    """

    def __init__(
        self,
        linear: Float[Tensor, "batch channel *modes"] | Complex[Tensor, "batch channel *modes"],
        step_size: float,
        dtype: torch.dtype,
    ) -> None:
        exact = torch.complex128 if linear.is_complex() else torch.float64
        self.prepare(linear.to(exact) * step_size, step_size, dtype)

    @abstractmethod
    def prepare(
        self, z: Inexact[Tensor, "batch channel *modes"], step_size: float, dtype: torch.dtype
    ) -> None:
        """Compute the coefficients, of ``z = step_size L`` in double precision."""

    @abstractmethod
    def step(
        self, state: Inexact[Tensor, "batch channel *modes"], nonlinear: NonlinearTerm
    ) -> Inexact[Tensor, "batch channel *modes"]:
        """State one ``step_size`` later.

        Args:
            state: Coefficients.
            nonlinear: ``N``, from coefficients to coefficients, in a tensor of its own.
        """


class ETDRK2(ExponentialStepper):
    """``a = e^z u + h phi_1 N(u)``, then ``a + h phi_2 (N(a) - N(u))``: of second order.

    Half the work of a step of ``ETDRK4`` for a far larger error; see ``ExponentialStepper``.
    """

    def prepare(
        self, z: Inexact[Tensor, "batch channel *modes"], step_size: float, dtype: torch.dtype
    ) -> None:
        """See ``ExponentialStepper.prepare``."""
        phi_1, phi_2, _ = phi_functions(z)
        self._full = torch.exp(z).to(dtype)
        self._first = (step_size * phi_1).to(dtype)
        self._second = (step_size * phi_2).to(dtype)

    def step(
        self, state: Inexact[Tensor, "batch channel *modes"], nonlinear: NonlinearTerm
    ) -> Inexact[Tensor, "batch channel *modes"]:
        """See ``ExponentialStepper.step``; ``nonlinear`` is evaluated twice."""
        at_start = nonlinear(state)
        result = (self._full * state).addcmul_(self._first, at_start)
        return result.addcmul_(self._second, nonlinear(result).sub_(at_start))


class ETDRK4(ExponentialStepper):
    """Four stages, of fourth order; see ``ExponentialStepper``."""

    def prepare(
        self, z: Inexact[Tensor, "batch channel *modes"], step_size: float, dtype: torch.dtype
    ) -> None:
        """See ``ExponentialStepper.prepare``."""
        phi_1, phi_2, phi_3 = phi_functions(z)
        self._full = torch.exp(z).to(dtype)
        self._half = torch.exp(z / 2).to(dtype)
        self._stage = (step_size / 2 * phi_functions(z / 2)[0]).to(dtype)
        self._first = (step_size * (phi_1 - 3 * phi_2 + 4 * phi_3)).to(dtype)
        self._middle = (step_size * (2 * phi_2 - 4 * phi_3)).to(dtype)
        self._last = (step_size * (4 * phi_3 - phi_2)).to(dtype)

    def step(
        self, state: Inexact[Tensor, "batch channel *modes"], nonlinear: NonlinearTerm
    ) -> Inexact[Tensor, "batch channel *modes"]:
        """See ``ExponentialStepper.step``; ``nonlinear`` is evaluated four times."""
        at_start = nonlinear(state)
        half = self._half * state
        stage_a = torch.addcmul(half, self._stage, at_start)
        at_a = nonlinear(stage_a)
        at_b = nonlinear(half.addcmul_(self._stage, at_a))
        at_middle = at_a.add_(at_b)
        stage_c = (self._half * stage_a).addcmul_(self._stage, at_b.mul_(2).sub_(at_start))
        at_c = nonlinear(stage_c)
        result = (self._full * state).addcmul_(self._first, at_start)
        return result.addcmul_(self._middle, at_middle).addcmul_(self._last, at_c)
