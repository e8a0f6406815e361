"""Small files with the layout of PDEgym: NetCDF-4 with named dimensions, float32."""

from pathlib import Path

import h5netcdf
import h5py
import numpy as np

DIMENSIONS = {
    5: ("sample", "time", "channel", "x", "y"),
    4: ("sample", "time", "x", "y"),
    3: ("sample", "x", "y"),
}


def save(path: Path, variable: str, values: np.ndarray, steady: bool = False, **more) -> Path:
    """One NetCDF-4 file of ``variable``, and of ``more`` variables ``[sample, x, y]``.

    ``steady`` means that the second of four axes is the channel, not the time.
    """
    names = DIMENSIONS[values.ndim]
    if steady:
        names = ("sample", "channel", "x", "y")
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(names, values.shape, strict=True))
        file.create_variable(variable, names, data=values.astype(np.float32))
        for key, extra in more.items():
            file.create_variable(key, DIMENSIONS[3], data=extra.astype(np.float32))
    return path


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Random float32 values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_poseidon(path: Path, num_samples: int = 2, num_frames: int = 21, size: int = 8) -> Path:
    """An assembled ``NS-*.nc``: ``velocity`` of u, v and a tracer."""
    return save(path, "velocity", numbers(num_samples, num_frames, 3, size, size))


def write_poseidon_shards(
    folder: Path, variable: str = "velocity", num_shards: int = 12, channels: int = 3, size: int = 8
) -> np.ndarray:
    """Shards ``velocity_0.nc`` to ``velocity_11.nc`` of one or two samples each.

    Returns:
        All samples in the order of the shards' numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "assemble_data.py").write_text("# the publisher's script\n")
    (folder / "README.md").write_text("# data card\n")
    parts = []
    for number in range(num_shards):
        parts.append(numbers(1 + number % 2, 21, channels, size, size, seed=number))
        save(folder / f"{variable}_{number}.nc", variable, parts[-1])
    return np.concatenate(parts)


def write_helmholtz(path: Path, num_samples: int = 12, size: int = 8) -> Path:
    """``Helmholtz.h5``: groups ``Sample_{i}`` of ``a``, ``u`` and the scalar ``bc``."""
    with h5py.File(path, "w") as file:
        for i in range(num_samples):
            group = file.create_group(f"Sample_{i}")
            group["a"] = numbers(size, size, seed=i)
            group["u"] = numbers(size, size, seed=100 + i)
            group["bc"] = np.float64(0.25 * i)
    return path
