"""Speed of the solvers: python scripts/bench_pdes.py [--resolution 64] [--device cpu] ...

For every family, generates samples as `pdefm data generate` does and prints
  seconds     time for all samples, frames included; of the processor on a CPU,
  substeps    mean number of time steps a frame,
  steps/s     time steps times trajectories a second, all overhead included; a step of ETDRK4
              evaluates the nonlinear term four times, one of ETDRK2 twice.
The fastest of --repeats runs counts. --methods compares the time steppers of the spectral families,
--num-substeps fixes the steps a frame, --errors prints the time errors instead. Steady families
have no time steps; scripts/bench_steady.py measures them. On a CPU it uses one thread unless
--threads says otherwise.
"""

import argparse
import time
from collections.abc import Callable, Sized
from functools import wraps
from typing import Any

import torch

from pdefm.pdes import PDES
from pdefm.pdes.base import PDE
from pdefm.pdes.etdrk import ETDRK2, ETDRK4
from pdefm.pdes.finite_volume_run import FiniteVolumeRun
from pdefm.pdes.sample import solve_samples
from pdefm.pdes.spectral import METHODS, SpectralPDE

STEPPERS = ((ETDRK2, "step"), (ETDRK4, "step"), (FiniteVolumeRun, "advance"))
"""Methods that make one time step of as many trajectories as their first argument is long."""
NUM_FINE_SUBSTEPS = 256


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


def equations(families: list[str], methods: list[str], num_substeps: int | None) -> list[PDE]:
    """Spectral families once a method, the others once."""
    return [
        PDES[name](num_substeps=num_substeps, **settings)
        for name in families
        for settings in (
            [{"method": method} for method in methods]
            if issubclass(PDES[name], SpectralPDE)
            else [{}]
        )
    ]


def time_error(pde: PDE, resolution: int) -> float:
    """Largest relative difference of a frame to ``NUM_FINE_SUBSTEPS`` steps of ETDRK4 a frame.

    Of six samples of eleven frames in float64, in the norm over all channels and points.
    """
    size: dict[str, Any] = {"resolution": resolution, "num_frames": 11}
    fine = PDES[pde.name](num_substeps=NUM_FINE_SUBSTEPS)
    states, reference = (
        solve_samples(solver, 6, seed=0, dtype=torch.float64, **size).fields.flatten(2)
        for solver in (pde, fine)
    )
    return float(((states - reference).norm(dim=-1) / reference.norm(dim=-1)).max())


def print_errors(pdes: list[PDE], resolution: int) -> None:
    """A line for every spectral family and method."""
    for pde in pdes:
        if isinstance(pde, SpectralPDE):
            print(f"{pde.name:<28}{pde.method:<8}{time_error(pde, resolution):>9.0e}", flush=True)


def main() -> None:
    """Parse, run, print a table."""
    moving = [name for name in sorted(PDES) if not PDES[name].steady]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="*", default=moving)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--num-trajectories", type=int, default=32)
    parser.add_argument("--num-frames", type=int, default=21)
    parser.add_argument("--methods", nargs="*", default=["etdrk4"], choices=list(METHODS))
    parser.add_argument("--num-substeps", type=int)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--errors", action="store_true", help="time errors in place of speed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pdes = equations(options.families, options.methods, options.num_substeps)
    if options.errors:
        print_errors(pdes, options.resolution)
        return
    head = f"{'family':<28}{'method':<8}"
    print(f"{head}{'seconds':>9}{'rejected':>10}{'substeps':>10}{'steps/s':>10}")
    for pde in pdes:
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
        seconds, num_rejected = float("inf"), 0
        for _ in range(options.repeats):
            start = clock()
            num_rejected = len(solve_samples(pde, **arguments).rejections)
            seconds = min(seconds, clock() - start)
        num_solved = options.num_trajectories + num_rejected
        per_frame = num_steps / (num_solved * (options.num_frames - 1))
        print(
            f"{pde.name:<28}{getattr(pde, 'method', ''):<8}{seconds:>9.2f}"
            f"{num_rejected:>10}{per_frame:>10.1f}{num_steps / seconds:>10.0f}"
        )


if __name__ == "__main__":
    main()
