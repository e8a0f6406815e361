"""Speed of the solvers: python scripts/bench_pdes.py [--resolution 64] [--device cpu] ...

For every family, generates samples as `pdefm data generate` does and prints
  seconds     time for all samples, frames included,
  substeps    mean number of time steps a frame,
  steps/s     time steps times trajectories a second, all overhead included.
On a CPU it uses one thread unless --threads says otherwise.
"""

import argparse
import time

import torch
from torch import Tensor

from pdefm.pdes import PDES
from pdefm.pdes.base import PDE
from pdefm.pdes.etdrk import ETDRK4, NonlinearTerm
from pdefm.pdes.sample import solve_samples


def count_steps(pde: PDE, arguments: dict) -> int:
    """Time steps times trajectories of a run, rejected draws included."""
    total = 0
    step = ETDRK4.step

    def counting(self: ETDRK4, state: Tensor, nonlinear: NonlinearTerm) -> Tensor:
        nonlocal total
        total += len(state)
        return step(self, state, nonlinear)

    ETDRK4.step = counting
    try:
        solve_samples(pde, **arguments)
    finally:
        ETDRK4.step = step
    return total


def main() -> None:
    """Parse, run, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="*", default=sorted(PDES))
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--num-trajectories", type=int, default=32)
    parser.add_argument("--num-frames", type=int, default=21)
    parser.add_argument("--micro-batch", type=int, default=16)
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
        start = time.perf_counter()
        solution = solve_samples(pde, **arguments)
        seconds = time.perf_counter() - start
        num_solved = options.num_trajectories + len(solution.rejections)
        per_frame = num_steps / (num_solved * (options.num_frames - 1))
        print(
            f"{name:<16}{seconds:>9.2f}{len(solution.rejections):>10}{per_frame:>10.1f}"
            f"{num_steps / seconds:>10.0f}"
        )


if __name__ == "__main__":
    main()
