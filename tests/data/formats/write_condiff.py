"""Small files with the layout of ConDiff: float64, contiguous, flattened column by column."""

from pathlib import Path

import h5py
import numpy as np


def condiff_arrays(
    num_samples: int = 3, resolution: int = 8, seed: int = 0
) -> dict[str, np.ndarray]:
    """``k`` on nodes, and ``rhs`` and ``x`` on cells ``[N, X, Y]``, not yet flattened."""
    rng = np.random.default_rng(seed)
    nodes, cells = (num_samples, *[resolution + 1] * 2), (num_samples, *[resolution] * 2)
    return {
        "k": np.exp(2.0 * rng.normal(size=nodes)),
        "rhs": rng.normal(size=cells),
        "x": rng.normal(size=cells),
    }


def save_condiff(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Flatten ``rhs`` and ``x`` as the publisher's matrices do; ``k`` may be missing (Poisson)."""
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            flat = [sample.flatten("F") for sample in values] if key != "k" else values
            file.create_dataset(key, data=np.asarray(flat, np.float64))
    return path


def write_condiff(path: Path) -> Path:
    """Three samples with a coefficient on 8 x 8 cells."""
    return save_condiff(path, condiff_arrays())
