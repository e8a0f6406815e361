"""Fourier neural operator, as its authors' library has it."""

import os
from typing import Any, ClassVar

from torch import nn

from pdefm.baselines.base import Baseline, Built, Demands, count_unbuilt, nearest_width
from pdefm.baselines.channels import ChannelNetwork

NUM_LAYERS = 4
MODES = (16, 12, 8, 6, 4, 2)
MIN_WIDTH = 16
MARGIN = 8  # an open axis gets one part in so many more, so that it does not close


def margin(size: int, closes: bool) -> int:
    """Points that an axis is extended by."""
    return 0 if closes else 2 * -(-size // (2 * MARGIN))


class FNOBaseline(Baseline):
    r"""Four Fourier layers ``v <- act(W v + sum_k R_k v_k exp(2 pi i k x))`` and skips.

    ``R_k`` is a complex matrix for each of the lowest frequencies: up to 16 an axis, fewer where
    the grid has fewer, or where so many would leave a width below 16. Axes that do not close are
    extended by an eighth, as the published code pads them.

    Source: Fourier neural operator (arXiv 2010.08895); ``neuralop.models.FNO``, with its defaults.
    """

    name = "fno"
    role = "Fourier neural operator"
    learning_rate = 1e-2
    library: ClassVar[tuple[str, str] | None] = ("neuraloperator", "neuralop.models")

    def module(self) -> Any:
        """The library, which imports a tracker that is not used."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        return super().module()

    def build(self, demands: Demands) -> Built:
        """An FNO of the wanted number of weights."""
        library = self.module()

        def make(width: int, modes: int) -> nn.Module:
            return library.FNO(
                n_modes=tuple(min(2 * modes, size) for size in demands.grid),
                in_channels=demands.channels_in,
                out_channels=demands.channels_out,
                hidden_channels=width,
                n_layers=NUM_LAYERS,
            )

        modes = next(
            (
                modes
                for modes in MODES
                if count_unbuilt(lambda m=modes: make(MIN_WIDTH, m)) <= demands.num_weights
            ),
            MODES[-1],
        )
        width = nearest_width(lambda width: make(width, modes), demands.num_weights)
        network: Any = make(width, modes)
        wrapped = ChannelNetwork(network, network.projection.fcs[-1], demands, margin)
        return Built(wrapped, {"width": width, "num_modes": modes, "num_layers": NUM_LAYERS})
