"""Latent Fourier transforms, FFT against matrix products: python scripts/bench_spectral.py.

Prints milliseconds of forth and back, with the backward pass, for square latent grids; decides
MAX_PRODUCT_SIZE in pdefm/models/spectral.py. All take turns in one process; medians.
"""

import functools

import torch
from timing import medians, parsed, parser_with
from torch import Tensor

from pdefm.models.spectral import KeptModes, from_spectrum, to_spectrum


def there_and_back(values: Tensor, kept: KeptModes, transform: str) -> None:
    """Both transforms and their gradients."""
    back = from_spectrum(to_spectrum(values, kept, transform), kept, transform)
    back.backward(back.detach())
    values.grad = None


def main() -> None:
    """Parse, run, print a table."""
    parser = parser_with(__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=[8, 16, 24, 32, 48, 64])
    parser.add_argument("--num-dims", type=int, default=2)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4)
    options = parsed(parser)
    print(f"{'latent':<10}{'fft':>10}{'products':>10}{'ratio':>8}")
    for size in options.sizes:
        latent = (size,) * options.num_dims
        kept = KeptModes(latent)
        values = torch.randn(options.batch, *latent, options.channels, device=options.device)
        values.requires_grad_()
        fft, products = medians(
            [functools.partial(there_and_back, values, kept, t) for t in ("fft", "products")],
            options,
        )
        name = " x ".join(map(str, latent))
        print(f"{name:<10}{fft:>10.2f}{products:>10.2f}{fft / products:>8.2f}")


if __name__ == "__main__":
    main()
