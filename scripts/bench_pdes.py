"""Speed of the solvers: python scripts/bench_pdes.py [--resolution 64] [--device cpu] ...

For every family, generates samples as `pdefm data generate` does and prints
  seconds     time for all samples, frames included; of the processor on a CPU,
  substeps    mean number of time steps a frame,
  steps/s     time steps times trajectories a second, all overhead included; a step of ETDRK4
              evaluates the nonlinear term four times.
Steady families have no time steps; scripts/bench_steady.py measures them.
On a CPU it uses one thread unless --threads says otherwise.
"""

import argparse
import time
from collections.abc import Callable, Sized
from functools import wraps

import torch

from pdefm.pdes import PDES
from pdefm.pdes.base import PDE
from pdefm.pdes.etdrk import ETDRK4
from pdefm.pdes.finite_volume_run import FiniteVolumeRun
from pdefm.pdes.sample import solve_samples

STEPPERS = ((ETDRK4, "step"), (FiniteVolumeRun, "advance"))
"""Methods that make one time step of as many trajectories as their first argument is long."""


def count_steps(pde: PDE, arguments: dict) -> int:
    """Time steps times trajectories of a run, rejected draws included."""
    total = 0
    originals = [getattr(owner, name) for owner, name in STEPPERS]

    def counting(step: Callable) -> Callable:
        @wraps(step)
        def wrapped(self: object, first: Sized, *rest: object) -> object:
            nonlocal total
            total += len(first)
            return step(self, first, *rest)

        return wrapped

    try:
        for (owner, name), step in zip(STEPPERS, originals, strict=True):
            setattr(owner, name, counting(step))
        solve_samples(pde, **arguments)
    finally:
        for (owner, name), step in zip(STEPPERS, originals, strict=True):
            setattr(owner, name, step)
    return total


def main() -> None:
    """Parse, run, print a table."""
    moving = [name for name in sorted(PDES) if not PDES[name].steady]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="*", default=moving)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--num-trajectories", type=int, default=32)
    parser.add_argument("--num-frames", type=int, default=21)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'family':<16}{'seconds':>9}{'rejected':>10}{'substeps':>10}{'steps/s':>10}")
    for name in options.families:
        pde = PDES[name]()
        arguments = {
            "num_samples": options.num_trajectories,
            "resolution": options.resolution,
            "num_frames": options.num_frames,
            "micro_batch": options.micro_batch,
            "device": options.device,
            "seed": 0,
        }
        num_steps = count_steps(pde, arguments)  # also warms up
        clock = time.process_time if options.device == "cpu" else time.perf_counter
        start = clock()
        solution = solve_samples(pde, **arguments)
        seconds = clock() - start
        num_solved = options.num_trajectories + len(solution.rejections)
        per_frame = num_steps / (num_solved * (options.num_frames - 1))
        print(
            f"{name:<16}{seconds:>9.2f}{len(solution.rejections):>10}{per_frame:>10.1f}"
            f"{num_steps / seconds:>10.0f}"
        )


if __name__ == "__main__":
    main()
