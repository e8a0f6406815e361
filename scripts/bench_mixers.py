"""Speed and size of every mixer in the same trunk: python scripts/bench_mixers.py [--hidden N].

All trunks run the same blocks on the same latent grid in one process, step by step in turns, so
that a busy machine slows all; what counts is how the medians compare.
  parameters  of the whole trunk, millions, and the share of them that mixes
  forward     inference, milliseconds
  step        forward, mean square error, backward, AdamW, milliseconds
"""

from collections.abc import Callable

import torch
from timing import medians, parsed, parser_with
from torch import Tensor, nn

from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import quiet_upstream
from pdefm.models.mixers import MIXERS


class Contender:
    """The blocks of a model with one mixer, one optimizer, one batch."""

    def __init__(self, mixer: str, latent: Tensor, target: Tensor, heads: int, modes: int) -> None:
        config = DPOTConfig(
            mixer=mixer,
            hidden_size=latent.shape[-1],
            num_hidden_layers=4,
            num_attention_heads=heads,
            num_modes=modes,
            num_dims=latent.ndim - 2,
        )
        with quiet_upstream():
            self.trunk = nn.Sequential(*DPOTModel(config).layers).to(latent.device)
        self.latent, self.target = latent, target
        self.optimizer = torch.optim.AdamW(self.trunk.parameters(), fused=True)

    def infer(self) -> Tensor:
        """One forward pass."""
        with torch.no_grad():
            return self.trunk(self.latent)

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        # In a model the embedding before the trunk wants its gradient too.
        latent = self.latent.detach().requires_grad_()
        (self.trunk(latent) - self.target).square().mean().backward()
        self.optimizer.step()

    def sizes(self) -> tuple[int, int]:
        """Parameters of the trunk, and those of its mixers."""
        counts = {name: p.numel() for name, p in self.trunk.named_parameters()}
        return sum(counts.values()), sum(n for name, n in counts.items() if ".mixer." in name)


def main() -> None:
    """Parse, run, print a table."""
    parser = parser_with(__doc__)
    parser.add_argument("--mixers", nargs="*", default=sorted(MIXERS), choices=sorted(MIXERS))
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--modes", type=int, default=8)
    parser.add_argument("--latent", type=int, nargs="+", default=[16, 16], help="points per axis")
    parser.add_argument("--batch", type=int, default=8)
    options = parsed(parser)
    shape = (options.batch, *options.latent, options.hidden)
    latent, target = (torch.randn(shape).to(options.device) for _ in range(2))
    contenders = [
        Contender(name, latent, target, options.heads, options.modes) for name in options.mixers
    ]
    columns: list[list[Callable[[], object]]] = [
        [contender.infer for contender in contenders],
        [contender.step for contender in contenders],
    ]
    forward, step = (medians(calls, options) for calls in columns)
    print(f"{'mixer':<18}{'parameters':>12}{'mixing':>9}{'forward':>10}{'step':>10}")
    for name, contender, *times in zip(options.mixers, contenders, forward, step, strict=True):
        total, mixing = contender.sizes()
        row = f"{name:<18}{total / 1e6:>10.2f} M{100 * mixing / total:>7.0f} %"
        print(row + "".join(f"{time:>10.1f}" for time in times))


if __name__ == "__main__":
    main()
