"""Bottleneck adapters beside the mixers, in frequency space, wider for low frequencies."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from pydantic import Field as Limits
from pydantic import model_validator
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.spectral import KeptModes, from_spectrum, to_spectrum
from pdefm.tuners.base import Tuner, load_trainable_state, trainable_state

TINY = 1e-12


class FourierOptions(Section):
    """Options of the Fourier tuner."""

    widths: tuple[int, ...] = Limits(default=(16, 8, 4), min_length=1)
    """Width of the bottleneck in each band of frequencies, from the lowest band on."""
    cutoffs: tuple[int, ...] = (4, 8)
    """First wave number (periods per domain, the largest over the axes) of every band but the
    lowest."""

    @model_validator(mode="after")
    def _bands_fit(self) -> "FourierOptions":
        if min(self.widths) < 1 or list(self.widths) != sorted(self.widths, reverse=True):
            raise ValueError("widths must be positive and must not grow with the frequency")
        if len(self.cutoffs) != len(self.widths) - 1 or min(self.cutoffs, default=1) < 1:
            raise ValueError("cutoffs must be positive, one fewer than widths")
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise ValueError("cutoffs must grow")
        return self


class FourierAdapter(nn.Module):
    r"""``u + irfftn(V g(U rfftn(u)))`` with ``g(z) = sigmoid(|z| + b) z`` on every frequency.

    U is a real matrix on the channels, V a complex one that starts at zero; the gate looks at the
    modulus only, so that a translated input gives the translated output. A frequency of band i
    passes the first ``widths[i]`` channels of the bottleneck.

    Source: bottleneck adapters in Fourier layers with a capacity that falls with the frequency:
    F-Adapter (NeurIPS 2025). The equation here is ours.
    """

    def __init__(self, mixer: nn.Module, hidden_size: int, options: FourierOptions) -> None:
        super().__init__()
        self.mixer = mixer
        self.widths, self.cutoffs = options.widths, options.cutoffs
        width = options.widths[0]
        self.down = nn.Parameter(torch.randn(hidden_size, width) / math.sqrt(hidden_size))
        self.bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(width, 2 * hidden_size))

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent channel"]
    ) -> Float[Tensor, "batch *latent channel"]:
        """The mixer's output and the adapter's."""
        kept = KeptModes(tuple(hidden_states.shape[1:-1]))
        spectrum = to_spectrum(hidden_states, kept)  # [B, 2, *kept, D]
        narrow = spectrum @ self.down.float()  # [B, 2, *kept, width]
        modulus = (narrow.square().sum(1, keepdim=True) + TINY).sqrt()
        gate = torch.sigmoid(modulus + self.bias) * self._open(kept, narrow.device)
        both = (narrow * gate).movedim(1, -2).flatten(-2)  # [B, *kept, 2 width]
        wide = (both @ self._complex_up()).unflatten(-1, (2, -1)).movedim(-2, 1)
        branch = from_spectrum(wide, kept)
        return self.mixer(hidden_states) + branch.to(hidden_states.dtype)

    def _complex_up(self) -> Tensor:
        """Complex V as the real ``[2 width, 2 channel]`` that acts on (real, imaginary)."""
        real, imaginary = self.up.chunk(2, -1)
        return torch.cat(
            [torch.cat([real, imaginary], -1), torch.cat([-imaginary, real], -1)]
        ).float()

    def _open(self, kept: KeptModes, device: torch.device) -> Tensor:
        """1 where a frequency passes a channel of the bottleneck, else 0: ``[*kept, width]``."""
        return open_channels(kept, self.widths, self.cutoffs).to(device)


def open_channels(kept: KeptModes, widths: Sequence[int], cutoffs: Sequence[int]) -> Tensor:
    """Which channels of the bottleneck each frequency passes, ``[*kept, widths[0]]``."""
    rows = [
        torch.fft.fftfreq(size, 1 / size).abs().round().long()[kept.rows(axis)]
        for axis, size in enumerate(kept.latent[:-1])
    ]
    numbers = torch.meshgrid(*rows, torch.arange(kept.columns), indexing="ij")
    largest = torch.stack(numbers).amax(0)  # [*kept]
    band = torch.bucketize(largest, torch.tensor(cutoffs, dtype=torch.long), right=True)
    passed = torch.tensor(widths)[band]
    return (torch.arange(widths[0]) < passed[..., None]).float()


class FourierTuner(Tuner):
    """A Fourier adapter beside every mixer, and the slices of the fields."""

    name = "fourier"
    options_class = FourierOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Freeze the base and wrap its mixers."""
        options = cast(FourierOptions, self.options)
        model.requires_grad_(False)
        for layer in model.layers:
            block = cast(nn.Module, layer)
            mixer = cast(nn.Module, block.mixer)
            adapter = FourierAdapter(mixer, model.config.hidden_size, options)
            block.mixer = adapter.to(next(mixer.parameters()).device)
        for module, name in model.field_slices():
            getattr(module, name).requires_grad_(True)
        return model

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Adapters and field slices."""
        return trainable_state(model)

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Put adapters and field slices back."""
        load_trainable_state(model, state)
