"""What equations of two phases share."""

from jaxtyping import Float
from torch import Tensor

from pdefm.pdes.base import as_column, space_mean
from pdefm.pdes.wavenumbers import Wavenumbers


def free_energy(
    wavenumbers: Wavenumbers,
    interface_energy: Float[Tensor, " batch"],
    phase: Float[Tensor, "batch 1 *space"],
) -> Float[Tensor, " batch"]:
    """Ginzburg-Landau energy per volume, ``e |grad u|^2 / 2 + (1 - u^2)^2 / 4``."""
    num_dims = wavenumbers.grid.num_dims
    slopes = wavenumbers.gradient(phase).square().sum(1)
    wells = (1 - phase[:, 0].square()).square() / 4
    return space_mean(
        as_column(interface_energy, num_dims).to(phase) / 2 * slopes + wells, num_dims
    )
