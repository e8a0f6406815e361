"""What the benchmarks of the model share: options, times in turns, a profile by kind of work."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

PROFILED_CALLS = 5
# What the names of the operators begin with, without their `aten::`; the first that fits.
KINDS = {
    "matrix products (MLP, decoder)": ("mm", "addmm"),
    "batched products (mixer, transforms, time)": ("bmm", "baddbmm"),
    "convolution (patches)": ("convolution", "_convolution", "mkldnn_conv", "cudnn_conv"),
    "GELU and its gradient": ("gelu",),
    "group norm and its gradient": ("native_group_norm",),
    "optimizer": ("_fused_adamw",),
    "copies": ("copy_", "cat", "fill_", "index"),
    "sums and other pointwise work": ("add", "sum", "mul", "sub", "neg", "div", "cos"),
}
REST = "everything else, calls included"


def parser_with(description: str | None, repeats: int = 15) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark; the first line of the text describes it."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Options of the command line; their threads and seed are set."""
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options


def timed(call: Callable[[], object], device: str) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.accelerator.synchronize()
    return 1e3 * (time.perf_counter() - start)


def medians(calls: Sequence[Callable[[], object]], options: argparse.Namespace) -> list[float]:
    """Median time of each call in milliseconds, all taking turns."""
    for _ in range(3):
        for call in calls:
            call()
    rounds = [[timed(call, options.device) for call in calls] for _ in range(options.repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def kind_of(operator: str) -> str:
    """Which of :data:`KINDS` an operator belongs to."""
    name = operator.removeprefix("aten::")
    fitting = (kind for kind, starts in KINDS.items() if name.startswith(starts))
    return next(fitting, REST)


def time_by_kind(call: Callable[[], object], device: str) -> dict[str, float]:
    """Milliseconds of one call by kind of work, on the device."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device != "cpu" else [])
    with profile(activities=activities) as recorded:
        for _ in range(PROFILED_CALLS):
            call()
    found = dict.fromkeys([*KINDS, REST], 0.0)
    for event in recorded.key_averages():
        if device == "cpu":
            found[kind_of(event.key)] += event.self_cpu_time_total
        elif event.key.startswith("aten::"):  # its kernels are events of their own, too
            found[kind_of(event.key)] += event.self_device_time_total
    return {kind: time / (1e3 * PROFILED_CALLS) for kind, time in found.items()}


def print_profile(calls: dict[str, Callable[[], object]], device: str) -> None:
    """Milliseconds and share of every kind of work, a column a call."""
    profiles = {name: time_by_kind(call, device) for name, call in calls.items()}
    print(f"{'':<44}" + "".join(f"{name + ', ms':>14}{'share':>7}" for name in calls))
    for kind in (*KINDS, REST):
        cells = [(p[kind], 100 * p[kind] / sum(p.values())) for p in profiles.values()]
        print(f"{kind:<44}" + "".join(f"{ms:>14.1f}{share:>5.0f} %" for ms, share in cells))
