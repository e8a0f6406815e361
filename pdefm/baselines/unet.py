"""U-Net of a library of image networks."""

from math import gcd
from typing import Any, ClassVar

from torch import nn

from pdefm.baselines.base import Baseline, Built, Demands, nearest_width
from pdefm.baselines.channels import ChannelNetwork

DIVISOR = 16  # four times half as many points
MAX_GROUPS = 4


def missing(size: int, closes: bool) -> int:
    """Points that an axis lacks to be halved four times."""
    return -size % DIVISOR


class UNetBaseline(Baseline):
    """Four times halved and doubled again, with two 3-point convolutions a level and skips.

    Convolutions continue around where all axes close; else they see zeros beyond the ends. Grids
    that cannot be halved four times are extended, and the answer is cut.

    Source: U-Net (arXiv 1505.04597); ``monai.networks.nets.BasicUNet`` with group norms.
    """

    name = "unet"
    role = "U-Net"
    library: ClassVar[tuple[str, str] | None] = ("monai", "monai.networks.nets")

    def build(self, demands: Demands) -> Built:
        """A U-Net of the wanted number of weights."""
        library = self.module()

        def make(width: int) -> nn.Module:
            return library.BasicUNet(
                spatial_dims=len(demands.grid),
                in_channels=demands.channels_in,
                out_channels=demands.channels_out,
                features=(width, width, 2 * width, 4 * width, 8 * width, width),
                act="gelu",
                norm=("group", {"num_groups": gcd(width, MAX_GROUPS)}),
            )

        width = nearest_width(make, demands.num_weights)
        network: Any = make(width)
        if all(demands.periodic):
            for layer in network.modules():
                if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                    layer.padding_mode = "circular"
        wrapped = ChannelNetwork(network, network.final_conv, demands, missing)
        return Built(wrapped, {"width": width, "num_halvings": 4})
