"""Steady Darcy problems, four ways: python scripts/bench_steady.py [--resolution 128] ...

For every kind of coefficient prints, per sample, the iterations of conjugate gradients (mean) and
milliseconds of solving (coefficients and matrices are made before) of
  direct      LU factors of every matrix, the default of data generation,
  cold        conjugate gradients from zero,
  warm        from the previous sample's solution,
  recycled    the same, with the slow directions of the previous samples left out,
with the samples in the order they were drawn and sorted by similarity, and with two
preconditioners: a fast Poisson solver, and the diagonal alone. `direct` is solved to rounding, the
others to --tolerance; `difference` is the largest one to `direct`, relative to the largest value.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from pdefm.pdes import PDES
from pdefm.pdes.five_point import FivePointSystem
from pdefm.pdes.krylov import FastPoisson
from pdefm.pdes.recycling import NUM_RECYCLED, Run, solve_recycled
from pdefm.pdes.sample import sample_generator

FAMILIES = ("darcy", "darcy_two_phase", "darcy_high_contrast")
WAYS = {
    "cold": {"sort": False, "warm": False, "num_recycled": 0},
    "warm": {"sort": False, "warm": True, "num_recycled": 0},
    "warm, sorted": {"sort": True, "warm": True, "num_recycled": 0},
    "recycled": {"sort": False, "warm": True, "num_recycled": NUM_RECYCLED},
    "recycled, sorted": {"sort": True, "warm": True, "num_recycled": NUM_RECYCLED},
}


class Diagonal:
    """The diagonal of the matrix as preconditioner."""

    def __init__(self, system: FivePointSystem) -> None:
        self.diagonal = system.diagonal

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Diagonal times values."""
        return self.diagonal * values

    def solve(self, values: np.ndarray) -> np.ndarray:
        """Values over diagonal."""
        return values / self.diagonal


def draw(family: str, resolution: int, num_samples: int) -> list[FivePointSystem]:
    """Systems of samples 0, 1, ... of seed 0."""
    pde = PDES[family]()
    grid = pde.grid(resolution)
    systems = []
    for index in range(num_samples):
        rng = sample_generator(family, 0, index, 0)
        scalars = pde.sample_parameters(rng)
        fields = pde.coefficients(scalars, grid, rng)
        sample = scalars | {name: value.numpy() for name, value in fields.items()}
        systems.append(pde.system(sample, grid))
    return systems


def timed(work: Callable[[], list[Run]]) -> tuple[list[Run], float]:
    """Result, and milliseconds of CPU time per sample."""
    start = time.process_time()
    runs = work()
    return runs, 1e3 * (time.process_time() - start) / len(runs)


def main() -> None:
    """Parse, run, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="*", default=FAMILIES)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--num-samples", type=int, default=32)
    parser.add_argument("--tolerance", type=float, default=1e-8)
    parser.add_argument("--skip-diagonal", action="store_true", help="the slow half of the table")
    options = parser.parse_args()
    preconditioners: dict[str, Callable] = {"Poisson": FastPoisson}
    if not options.skip_diagonal:
        preconditioners["diagonal"] = Diagonal
    print(f"{'family':<20}{'preconditioner':<16}{'way':<18}", end="")
    print(f"{'iterations':>10}{'ms':>8}{'speed-up':>10}{'difference':>12}")
    for family in options.families:
        systems = draw(family, options.resolution, options.num_samples)
        systems[0].solve()
        exact, direct = timed(lambda s=systems: [Run(system.solve(), 0) for system in s])
        print(f"{family:<20}{'-':<16}{'direct':<18}{'-':>10}{direct:>8.1f}")
        for name, make in preconditioners.items():
            cold = 0.0
            for way, settings in WAYS.items():
                runs, spent = timed(
                    lambda s=systems, settings=settings, make=make: solve_recycled(
                        s, tolerance=options.tolerance, preconditioner=make, **settings
                    )
                )
                cold = cold or spent
                difference = max(
                    np.abs(run.solution - right.solution).max() / np.abs(right.solution).max()
                    for run, right in zip(runs, exact, strict=True)
                )
                count = np.mean([run.num_iterations for run in runs])
                print(
                    f"{family:<20}{name:<16}{way:<18}{count:>10.1f}{spent:>8.1f}"
                    f"{cold / spent:>10.2f}{difference:>12.1e}"
                )


if __name__ == "__main__":
    main()
