"""Speed and memory against the published model: python scripts/bench_model.py [--sizes tiny].

Both run the same weights, batch and thread count in one process, step by step in turns, so that a
busy machine slows both; the medians' ratio is what counts. `published` is the model layer by layer
as it was released (tests/reference/dpot_published.py), in float32 and eager.
  forward     inference, milliseconds
  step        forward, relative L2 loss, backward, AdamW, milliseconds
  memory      peak of a step above weights and optimizer state (activations, gradients), MiB
  difference  largest difference of the two outputs, over the largest output
MFU counts the multiplications that ours needs (--peak-tflops says what the device could do).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import medians, parsed, parser_with, print_profile
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from pdefm.metrics import relative_l2
from pdefm.models.dpot.convert_dpot import convert_state_dict, infer_config
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import quiet_upstream
from tests.reference.dpot_published import PublishedDPOT

SIZES = {
    "tiny": {"width": 512, "depth": 4, "heads": 4, "mlp_ratio": 1, "decoder": 32},
    "small": {"width": 1024, "depth": 6, "heads": 8, "mlp_ratio": 1, "decoder": 32},
    "medium": {"width": 1024, "depth": 12, "heads": 8, "mlp_ratio": 4, "decoder": 32},
}
FIELDS, FRAMES, PATCH = 4, 10, 8


class Contender:
    """A model in its own layout, one optimizer, one batch."""

    def __init__(
        self, model: nn.Module, history: Tensor, target: Tensor, bf16: bool, compiled: bool
    ) -> None:
        self.model, self.history, self.target, self.bf16 = model, history, target, bf16
        self.forward = torch.compile(model) if compiled else model
        fused = isinstance(model, DPOTModel)
        self.optimizer = torch.optim.AdamW(model.parameters(), fused=fused or None)

    def predict(self) -> Tensor:
        """Prediction ``[B, T', C, X, Y]``."""
        with torch.autocast(self.history.device.type, torch.bfloat16, enabled=self.bf16):
            output = self.forward(self.history)
        if isinstance(output, Tensor):
            return output.permute(0, 3, 4, 1, 2)
        return output.prediction

    def infer(self) -> Tensor:
        """One forward pass."""
        with torch.no_grad():
            return self.predict()

    def step(self) -> Tensor:
        """One training step."""
        self.optimizer.zero_grad()
        loss = relative_l2(self.predict().float(), self.target).mean()
        loss.backward()
        self.optimizer.step()
        return loss


def build(size: dict[str, Any], options: argparse.Namespace) -> tuple[Contender, Contender]:
    """The published model and ours with its weights."""
    torch.manual_seed(options.seed)
    shape = {"size": options.resolution, "patch": PATCH, "fields": FIELDS, "frames": FRAMES}
    published = PublishedDPOT(**shape, **size, modes=32)
    # The released initialisation leaves the spectral branch at nothing; here it must count.
    for name, parameter in published.named_parameters():
        if ".filter." in name:
            nn.init.normal_(parameter, std=0.05)
    state = {name: tensor.clone() for name, tensor in published.state_dict().items()}
    with quiet_upstream():
        ours = DPOTModel(infer_config(state))
    ours.load_state_dict(convert_state_dict(state, FIELDS))
    grid = (options.resolution, options.resolution)
    history = torch.randn(options.batch, FRAMES, FIELDS, *grid).to(options.device)
    target = torch.randn(options.batch, 1, FIELDS, *grid).to(options.device)
    theirs = history.permute(0, 3, 4, 1, 2).contiguous()
    return (
        Contender(published.to(options.device), theirs, target, bf16=False, compiled=False),
        Contender(ours.to(options.device), history, target, options.bf16, options.compile),
    )


def peak_memory(call: Callable[[], object], device: str) -> float:
    """MiB allocated at the worst moment of a call, above what was there before it."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    profiler: Any = recorded.profiler
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak / 2**20


def step_memory(contender: Contender, device: str) -> float:
    """Peak of a step, its gradients included."""
    contender.step()  # makes the optimizer state
    contender.optimizer.zero_grad(set_to_none=True)
    return peak_memory(contender.step, device)


def training_flops(contender: Contender) -> float:
    """Multiplications and additions of a step in matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        relative_l2(
            contender.model(contender.history).prediction, contender.target
        ).mean().backward()
    return float(counter.get_total_flops())


def main() -> None:
    """Parse, run, print a table."""
    parser = parser_with(__doc__)
    parser.add_argument("--sizes", nargs="*", default=["tiny", "small"], choices=sorted(SIZES))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--bf16", action="store_true", help="ours under bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="ours compiled")
    parser.add_argument("--profile", action="store_true", help="print what our time is spent on")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for MFU")
    options = parsed(parser)
    print(f"{'':<8}{'':<10}{'published':>10}{'ours':>10}{'ratio':>8}")
    for name in options.sizes:
        published, ours = build(SIZES[name], options)
        expected = published.infer()
        difference = float((ours.infer() - expected).abs().max() / expected.abs().max())
        rows = {
            "forward": medians([published.infer, ours.infer], options),
            "step": medians([published.step, ours.step], options),
            "memory": [step_memory(contender, options.device) for contender in (published, ours)],
        }
        for label, (theirs, own) in rows.items():
            ratio = own / theirs if label == "memory" else theirs / own
            print(f"{name:<8}{label:<10}{theirs:>10.1f}{own:>10.1f}{ratio:>8.2f}")
        print(f"{name:<8}{'difference':<10}{difference:>20.1e}")
        if options.peak_tflops:
            mfu = training_flops(ours) / (rows["step"][1] * 1e9 * options.peak_tflops)
            print(f"{name:<8}{'MFU':<10}{100 * mfu:>19.1f}%")
        if options.profile:
            print_profile({"forward": ours.infer, "step": ours.step}, options.device)


if __name__ == "__main__":
    main()
