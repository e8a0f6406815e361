"""Conjugate gradients with a fast Poisson solver, and in the complement of a known subspace.

Source: deflated conjugate gradients are Saad, Yeung, Erhel & Guyomarc'h (2000), SIAM J. Sci.
Comput. 21, 1909-1926.
"""

from typing import Protocol, runtime_checkable

import numpy as np

from pdefm.pdes.five_point import FivePointSystem

TOLERANCE = 1e-12
"""Relative residual at which iteration stops: rounding to float32 then hides who solved."""
MAX_ITERATIONS = 1000
SMALL_CONTRAST = 10.0


@runtime_checkable
class Preconditioner(Protocol):
    """A symmetric positive definite matrix that is near a system's matrix and easy to invert."""

    def apply(self, values: np.ndarray) -> np.ndarray:
        """``M v`` for ``[..., nx, ny]``."""
        ...

    def solve(self, values: np.ndarray) -> np.ndarray:
        """``M^-1 v`` for ``[..., nx, ny]``."""
        ...


class FastPoisson:
    """``M = s L s`` with the unit square's five-point Laplacian ``L``, inverted by sine transforms.

    ``L`` has zero values on the walls. ``s`` gives ``M`` the diagonal of the system, which takes up
    all of a coefficient that varies smoothly but does harm where it only jumps a little; so
    ``s = 1`` where the diagonal varies by less than ``SMALL_CONTRAST``, which then bounds the
    condition number.

    Source: the scaling is Concus & Golub (1973), SIAM J. Numer. Anal. 10, 1103-1120.

    Args:
        system: Its shape and diagonal are used.
    """

    def __init__(self, system: FivePointSystem) -> None:
        shape = system.diagonal.shape
        axes = [4 * np.sin(np.pi * np.arange(1, n + 1) / (2 * n)) ** 2 * n**2 for n in shape]
        self.eigenvalues = axes[0][:, None] + axes[1]
        diagonal = np.full(shape, 2.0 * (shape[0] ** 2 + shape[1] ** 2))
        for axis, count in enumerate(shape):
            edges = (slice(None),) * axis
            for edge in (0, -1):
                diagonal[(*edges, edge)] += count**2
        ratio = system.diagonal / diagonal
        rough = ratio.max() > SMALL_CONTRAST * ratio.min()
        self.scale = np.sqrt(ratio) if rough else np.ones(shape)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """See ``Preconditioner.apply``."""
        return self.scale * self._multiply(self.scale * values, self.eigenvalues)

    def solve(self, values: np.ndarray) -> np.ndarray:
        """See ``Preconditioner.solve``."""
        return self._multiply(values / self.scale, 1 / self.eigenvalues) / self.scale

    def _multiply(self, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
        from scipy.fft import dstn, idstn

        waves = np.asarray(dstn(values, 2, axes=(-2, -1))) * factors
        return np.asarray(idstn(waves, 2, axes=(-2, -1)))


class Subspace:
    """Directions that are left to a direct solve, ``P v = v - W (W^T A W)^-1 (A W)^T v``.

    Args:
        system: Symmetric and positive definite.
        vectors: ``W [k, nx, ny]``, linearly independent; ``k`` may be 0.
    """

    def __init__(self, system: FivePointSystem, vectors: np.ndarray) -> None:
        self.shape = system.diagonal.shape
        self.vectors = vectors.reshape(len(vectors), system.diagonal.size)  # [k, nx * ny]
        self.images = system.apply(vectors).reshape(self.vectors.shape)  # [k, nx * ny]
        self.inverse = np.linalg.inv(self.vectors @ self.images.T) if len(vectors) else None

    def correction(self, residual: np.ndarray) -> np.ndarray:
        """``W (W^T A W)^-1 W^T r``: after it, the residual is orthogonal to ``W``."""
        if self.inverse is None:
            return np.zeros(self.shape)
        return (self.inverse @ (self.vectors @ residual.ravel()) @ self.vectors).reshape(self.shape)

    def project(self, direction: np.ndarray) -> np.ndarray:
        """``P v``, which is A-orthogonal to ``W``."""
        if self.inverse is None:
            return direction
        share = self.inverse @ (self.images @ direction.ravel())
        return direction - (share @ self.vectors).reshape(self.shape)


def deflated_cg(
    system: FivePointSystem,
    preconditioner: Preconditioner,
    *,
    start: np.ndarray | None = None,
    recycled: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    num_kept: int = 0,
) -> tuple[np.ndarray, int, np.ndarray]:
    """Preconditioned conjugate gradients in the complement of a subspace.

    Args:
        system: Symmetric and positive definite.
        preconditioner: Symmetric and positive definite.
        start: First guess ``[nx, ny]``; zero without one.
        recycled: Subspace ``[k, nx, ny]``; ``k`` may be 0.
        tolerance: On ``|b - A u| / |b|``.
        max_iterations: Then the best so far is returned.
        num_kept: How many of the first preconditioned residuals to return.

    Returns:
        Solution, number of iterations, and preconditioned residuals ``[num_kept or less, nx, ny]``.
    """
    shape = system.diagonal.shape
    start = np.zeros(shape) if start is None else start
    space = Subspace(system, np.zeros((0, *shape)) if recycled is None else recycled)
    target = tolerance * np.sqrt(np.square(system.right_hand_side).sum())
    residual = system.right_hand_side - system.apply(start)
    step = space.correction(residual)
    solution, residual = start + step, residual - system.apply(step)
    kept: list[np.ndarray] = []
    direction, weight, count = np.zeros_like(start), 1.0, 0
    while np.sqrt(np.square(residual).sum()) > target and count < max_iterations:
        improved = preconditioner.solve(residual)
        if len(kept) < num_kept:
            kept.append(improved)
        # Not a BLAS product: its order of summation changes with the number of threads.
        new_weight = float((residual * improved).sum())
        ratio = new_weight / weight if count else 0.0
        direction, weight = space.project(improved) + ratio * direction, new_weight
        image = system.apply(direction)
        length = weight / float((direction * image).sum())
        solution, residual = solution + length * direction, residual - length * image
        count += 1
    return solution, count, np.array(kept).reshape(len(kept), *shape)


def harvest(
    system: FivePointSystem, preconditioner: Preconditioner, vectors: np.ndarray, size: int
) -> np.ndarray:
    """Approximate eigenvectors of ``M^-1 A`` farthest below or above 1, by Rayleigh and Ritz.

    Args:
        system: Whose matrix is ``A``.
        preconditioner: ``M``.
        vectors: ``[m, nx, ny]`` whose span is searched.
        size: How many to return at most.

    Returns:
        ``[size or less, nx, ny]`` of unit energy ``v^T A v``.
    """
    flat = vectors.reshape(len(vectors), -1)  # [m, nx * ny]
    energy = flat @ system.apply(vectors).reshape(len(vectors), -1).T
    mass = flat @ preconditioner.apply(vectors).reshape(len(vectors), -1).T
    # Directions that the others span up to rounding are dropped first.
    size_of = 1 / np.sqrt(np.diag(mass))
    values, basis = np.linalg.eigh(size_of[:, None] * mass * size_of)
    good = values > 1e-10 * values[-1]
    basis = size_of[:, None] * basis[:, good] / np.sqrt(values[good])
    ritz, turned = np.linalg.eigh(basis.T @ energy @ basis)
    chosen = np.argsort(-np.abs(np.log(np.maximum(ritz, 1e-300))))[:size]
    mixed = (basis @ turned[:, chosen] / np.sqrt(ritz[chosen])).T @ flat
    return mixed.reshape(-1, *vectors.shape[1:])  # [size, nx, ny]
